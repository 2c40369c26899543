"""Each channel against a real receiver: what it gets, to the byte."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from aiosmtpd.smtp import AuthResult
from click.testing import CliRunner

from chronos_py.cli import main
from chronos_py.config import BadSetting, settle
from chronos_py.model.job import Fetch, JobState
from chronos_py.model.notice import Notice, disabled_body, exhausted_body, failed_body, fields_of, subject_of
from chronos_py.notify.base import Failed, Refused
from chronos_py.notify.chat import ChatChannel
from chronos_py.notify.mail import MailChannel, MailSettings
from chronos_py.notify.sentry import Dsn, SentryChannel
from chronos_py.notify.settings import channels_of, events_of
from chronos_py.notify.webhook import WebhookChannel
from tests.builders import a_job
from tests.fakes import NEW_YEAR
from tests.notify.receivers import PATIENCE_S, MailServer, WebServer

TASK = "ct:1767225600000:2:größe:"
STATE = JobState(success_count=7, error_count=3, errors_since_last_success=1, last_error="2025-12-31T00:00:00.000Z")


def a_notice(event: str = "failed", cluster: str = "", owner: str = "a@x.org, b@x.org", number: int = 1) -> Notice:
    job = a_job(
        "größe", owner=owner, command='echo "hé"\n', uris=("http://u/1",), fetch=(Fetch("http://f/1"),),
        cpus=0.5, mem=1e7, retries=4,
    )  # fmt: skip
    bodies = {
        "failed": failed_body(NEW_YEAR, job.retries, TASK, "exit 1"),
        "disabled": disabled_body(NEW_YEAR, 2, TASK, ""),
        "exhausted": exhausted_body(job.name),
    }
    subject = subject_of(event, job.name, cluster)
    return Notice(
        number, event, NEW_YEAR, job.name, owner, subject, bodies.get(event), fields_of(job, STATE, "PT60S"), ("http",)
    )


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


@pytest.fixture
def smtp() -> Iterator[MailServer]:
    server = MailServer()
    yield server
    server.stop()


FIELDS = (
    '"job":"größe","command":"echo \\"hé\\"\\n","cpus":"0.5","softError":"false","errorCount":"3",'
    '"errorsSinceLastSuccess":"1","executor":"","executorFlags":"","lastError":"2025-12-31T00:00:00.000Z",'
    '"lastSuccess":"","mem":"1.0E7","retries":"4","successCount":"7","uris":"http://f/1,http://u/1"}'
)
FAILED = (
    "\\n'2026-01-01T00:00:00.000Z'. Retries attempted: 4.\\nTask id: ct:1767225600000:2:größe:\\n"
    "The scheduler provided this message:\\n\\nexit 1"
)
DISABLED = (
    "\\nFailed at '2026-01-01T00:00:00.000Z', 2 failures since last success\\nTask id: ct:1767225600000:2:größe:\\n"
)
EXHAUSTED = (
    "Job 'größe' has exhausted all of its recurrences and has been disabled.\\n"
    "Please consider either removing your job, or updating its schedule and re-enabling it.\\n"
)
SUBJECTS = {
    "failed": "[Chronos] job 'größe' failed!",
    "disabled": "[Chronos] job 'größe' disabled",
    "exhausted": "[Chronos] job 'größe' disabled",
    "deleted": "[Chronos] Your job 'größe' was deleted!",
}
BODIES = {"failed": FAILED, "disabled": DISABLED, "exhausted": EXHAUSTED}


@pytest.mark.parametrize("event", SUBJECTS)
@pytest.mark.parametrize("cluster", ["", "prod"])
def test_http(web: WebServer, event: str, cluster: str):
    channel = WebhookChannel(f"{web.url}/hook?x=1", "user:pä:ss")
    assert channel.send(a_notice(event, cluster), "a@x.org")
    got = web.get()
    prefix = "[prod]" if cluster else ""
    message = f'"message":"{BODIES[event]}",' if event in BODIES else ""
    assert got.body.decode() == f'{{"subject":"{prefix} {SUBJECTS[event]}",{message}"to":"a@x.org",{FIELDS}'
    assert got.path == "/hook?x=1"
    assert got.headers["Content-Type"] == "application/json"
    assert base64.b64decode(got.headers["Authorization"].removeprefix("Basic ")).decode() == "user:pä:ss"


def test_http_without_owner_and_credentials(web: WebServer):
    assert WebhookChannel(web.url).send(a_notice("deleted", owner=""), "")
    got = web.get()
    assert got.body.decode() == f'{{"subject":" {SUBJECTS["deleted"]}",{FIELDS}'
    assert "Authorization" not in got.headers


def test_http_as_chronos_2_has_it(web: WebServer):
    assert WebhookChannel(web.url, dialect=2).send(a_notice(), "")
    names = list(json.loads(web.get().body))
    assert names[names.index("cpus") : names.index("errorCount")] == ["cpus", "async", "softError", "epsilon"]


@pytest.mark.parametrize("name", ["slack", "mattermost"])
@pytest.mark.parametrize("event", BODIES)
def test_chat(web: WebServer, name: str, event: str):
    assert ChatChannel(name, web.url).send(a_notice(event), "a@x.org")
    got = web.get()
    assert got.body.decode() == f'{{"text":" {SUBJECTS[event]}: {BODIES[event]}"}}'
    assert got.headers["Content-Type"] == "application/json"


def test_chat_has_nothing_to_say_of_an_event_without_text(web: WebServer):
    assert not ChatChannel("slack", web.url).send(a_notice("deleted"), "a@x.org")
    assert web.posts.empty()


def test_sentry(web: WebServer):
    dsn = Dsn.parse(f"http://key:secret@127.0.0.1:{web.port}/path/42?raven.async=false")
    assert SentryChannel(dsn, "node1").send(a_notice(), "a@x.org")
    got = web.get()
    assert got.path == "/path/api/42/store/"
    assert "sentry_key=key, sentry_secret=secret" in got.headers["X-Sentry-Auth"]
    event = json.loads(got.body)
    text = json.loads(f'"{FAILED}"')
    assert (event["level"], event["message"]) == ("error", f" {SUBJECTS['failed']}\n\n{text}")
    assert event["tags"] == {"owner": "a@x.org", "job": "größe", "command": 'echo "hé"\n'}
    assert list(event["extra"]) == [
        "cpus", "softError", "errorCount", "errorsSinceLastSuccess", "executor", "executorFlags", "lastError",
        "lastSuccess", "mem", "retries", "successCount", "uris",
    ]  # fmt: skip
    SentryChannel(dsn, "node1").send(a_notice(), "a@x.org")
    assert json.loads(web.get().body)["event_id"] == event["event_id"]  # sent again: still one event


@pytest.mark.parametrize("text", ["", "http://host/1", "ftp://k@host/1", "http://k@host/", "http://k@/1", "k"])
def test_a_malformed_dsn(text: str):
    with pytest.raises(ValueError, match="must be of the form"):
        Dsn.parse(text)


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, Failed), (503, Failed), (429, Failed), (404, Failed), (403, Failed), (400, Refused), (302, Refused)],
)
def test_what_a_receiver_answers(web: WebServer, status: int, error: type[Exception]):
    web.statuses, web.headers = [status], {"Retry-After": "7"}
    with pytest.raises(error, match=str(status)) as caught:
        ChatChannel("slack", f"{web.url}/services/T0SECRET").send(a_notice(), "")
    assert "T0SECRET" not in str(caught.value)
    assert getattr(caught.value, "after", 7) == 7
    assert web.posts.qsize() == 1  # redirects are not followed


def test_nobody_there():
    with pytest.raises(Failed, match=r"ConnectionError at 127\.0\.0\.1") as caught:
        ChatChannel("slack", "http://127.0.0.1:1/T0SECRET").send(a_notice(), "")
    assert "T0SECRET" not in str(caught.value)


# --- mail


def mailer(server: MailServer, **settings: str) -> MailChannel:
    return MailChannel(MailSettings("127.0.0.1", server.port, "chronos@x.org", **settings), PATIENCE_S)


@pytest.mark.parametrize("event", SUBJECTS)
def test_mail(smtp: MailServer, event: str):
    assert mailer(smtp).send(a_notice(event), "b@x.org")
    mail = smtp.mails.get(timeout=PATIENCE_S)
    assert (mail.sender, mail.to, mail.tls) == ("chronos@x.org", ["b@x.org"], False)
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert message["Subject"].strip() == SUBJECTS[event]
    assert (message["From"], message["To"]) == ("chronos@x.org", "b@x.org")
    assert message["Message-ID"] == "<1.1.chronos@x.org>"
    assert message["Date"] == "Thu, 01 Jan 2026 00:00:00 -0000"
    assert message.get_content_type() == "text/plain"
    wanted = json.loads(f'"{BODIES.get(event, "")}"')
    assert message.get_content().replace("\r\n", "\n").rstrip("\n") == wanted.rstrip("\n")


def test_mail_goes_to_addresses_only(smtp: MailServer):
    assert not mailer(smtp).send(a_notice(owner=""), "")
    smtp.refusals = {"no@x.org": "550 no such user", "full@x.org": "452 full"}
    with pytest.raises(Refused, match="550 no such user"):
        mailer(smtp).send(a_notice(), "no@x.org")
    with pytest.raises(Failed, match="452 full"):
        mailer(smtp).send(a_notice(), "full@x.org")
    with pytest.raises(Refused, match="header"):
        mailer(smtp).send(a_notice(), "a@x.org\nBcc: all@x.org")
    assert smtp.mails.empty()


def test_a_job_name_cannot_add_a_header():
    assert subject_of("failed", "a\r\nBcc: x") == " [Chronos] job 'a Bcc: x' failed!"


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    return context, str(tmp_path / "ca.pem")


def _login(server: object, session: object, envelope: object, mechanism: str, data: object) -> AuthResult:
    right = getattr(data, "login", b"") == b"user" and getattr(data, "password", b"") == b"pass"
    return AuthResult(success=right, handled=False, auth_data=data)


def test_mail_by_starttls_with_a_login(authority: tuple[ssl.SSLContext, str]):
    context, ca_file = authority
    server = MailServer(tls_context=context, require_starttls=True, auth_required=True, authenticator=_login)
    try:
        settings = {"user": "user", "tls": "starttls", "ca_file": ca_file}
        assert mailer(server, password="pass", **settings).send(a_notice(), "a@x.org")
        mail = server.mails.get(timeout=PATIENCE_S)
        assert (mail.login, mail.tls) == ("user", True)
        with pytest.raises(Failed, match="refuses user and password: 535"):
            mailer(server, password="wrong", **settings).send(a_notice(), "a@x.org")
        with pytest.raises(Failed, match="CERTIFICATE_VERIFY_FAILED"):
            mailer(server, password="pass", user="user", tls="starttls").send(a_notice(), "a@x.org")
    finally:
        server.stop()


def test_no_mail_without_the_starttls_that_is_asked_for(smtp: MailServer):
    with pytest.raises(Failed, match="STARTTLS"):
        mailer(smtp, tls="starttls").send(a_notice(), "a@x.org")
    assert smtp.mails.empty()


# --- settings


def test_all_channels_from_flags():
    flags = {
        "mail_server": "[::1]:25", "mail_from": "c@x", "raven_dsn": "http://k:s@h/1", "slack_url": "http://s",
        "mattermost_url": "http://m", "http_notification_url": "https://h", "http_notification_credentials": "a:b",
        "notification_urls": "json://one json://two", "notification_events": "late, recovered",
    }  # fmt: skip
    settings = settle(flags, {})
    names = [channel.name for channel in channels_of(settings)]
    assert names == ["mail", "sentry", "slack", "mattermost", "http", "url-json", "url-json-2"]
    assert events_of(settings) == {"late", "recovered"}
    assert not channels_of(settle({}, {}))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"mail_server": "smtp", "mail_from": "x"}, "--mail_server smtp: must be host:port"),
        ({"mail_server": "smtp:25"}, "--mail_from : is needed"),
        ({"mail_server": "s:1", "mail_from": "x", "mail_ssl": True, "mail_starttls": True}, "choose one"),
        ({"slack_url": "hooks.slack.com/x"}, r"--slack_url \(not shown\): must be an http or https URL"),
        ({"http_notification_credentials": "a:b"}, "of no use"),
        ({"http_notification_url": "http://x", "http_notification_credentials": "ab"}, "must be user:password"),
        ({"raven_dsn": "http://host/1"}, r"--raven_dsn \(not shown\): must be of the form"),
        ({"notification_urls": "nonsense://x"}, r"\(not shown\): no service"),
        ({"notification_events": "late,early"}, "'early' is not one of"),
    ],
)
def test_bad_flags(flags: dict[str, object], sentence: str):
    with pytest.raises(BadSetting, match=sentence):
        settings = settle(flags, {})
        channels_of(settings)
        events_of(settings)


def test_notify_test_and_a_further_channel(web: WebServer, smtp: MailServer):
    web.statuses = [500]
    arguments = [
        "notify-test", "--slack_url", web.url, "--mail_server", f"127.0.0.1:{smtp.port}", "--mail_from", "c@x.org",
        "--notification_urls", f"json://127.0.0.1:{web.port}/up", "--to", "me@x.org",
    ]  # fmt: skip
    result = CliRunner().invoke(main, arguments)
    lines = result.output.splitlines()
    assert lines == ["mail: delivered", "slack: the receiver answers 500", "url-json: delivered"]
    assert result.exit_code == 1
    assert smtp.mails.get(timeout=PATIENCE_S).to == ["me@x.org"]
    assert [web.get().path, web.get().path] == ["/", "/up"]
    assert CliRunner().invoke(main, ["notify-test"]).exit_code == 2
