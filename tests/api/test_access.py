"""Who may ask for what: every route and method, by role; and that secrets stay with those who may see them."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from werkzeug.test import Client, TestResponse

from chronos_py.api import create_app
from chronos_py.api.audit import NEWEST, AuditLog
from chronos_py.api.auth import PER_ADDRESS, PER_NAME, WINDOW_S, Access, Failures, with_access
from chronos_py.api.backend import ApiSettings
from chronos_py.api.guard import SECRET_VARIABLES, GuardSettings
from chronos_py.api.masking import without_url_secrets
from chronos_py.api.principals import HASHER, AccessFile, BadAccessFile, parse
from chronos_py.cli import main
from chronos_py.logs import HIDDEN
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.job import Fetch, JobState, Pair, Variable
from chronos_py.model.revision import Author, Revision, definition
from chronos_py.model.run import Outcome, Trigger
from chronos_py.model.view import JobView
from chronos_py.ui import ui_blueprint
from tests.api.backend import FakeBackend, a_run
from tests.builders import a_job
from tests.fakes import NEW_YEAR

PASSWORD = "correct horse"
HASH = HASHER.hash(PASSWORD)
ROLES = ("reader", "operator", "admin")
LIMITED = 'owners = ["ann@x.org"]\nlabels = {team = "news"}\n'
FILE = "".join(f'[users.{role}]\nhash = "{HASH}"\nrole = "{role}"\n' for role in ROLES)
FILE += f'[users.limited]\nhash = "{HASH}"\nrole = "operator"\n{LIMITED}'
FILE += f'[tokens.ci]\nhash = "{HASH}"\nrole = "operator"\nexpires = 2030-01-01T00:00:00Z\n'
SECRETS = ("s3cr3t-env", "s3cr3t-command", "s3cr3t-uri", "s3cr3t-fetch", "s3cr3t-reason", "s3cr3t-argument")


class Clock:
    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


def basic(user: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Site:
    """The application behind its door."""

    def __init__(self, folder: Path, **guard: Any) -> None:
        self.clock = Clock()
        self.path = folder / "access.toml"
        self.path.write_text(FILE)
        self.path.chmod(0o600)
        self.backend = a_backend()
        self.audit = AuditLog(folder / "audit.jsonl")
        settings = GuardSettings(asked=True, secret_variables=re.compile(SECRET_VARIABLES), **guard)
        shown = ApiSettings()
        self.app = create_app(
            self.backend, shown, None, settings, self.audit, pages=lambda guarded: ui_blueprint(guarded, shown)
        )
        access = Access(("root", "top:secret"), AccessFile(self.path), self.clock)
        self.client = Client(with_access(self.app.wsgi_app, access, "Mesosphere"))

    def ask(self, who: str | dict[str, str] | None, method: str, path: str, **more: Any) -> TestResponse:
        headers = basic(who) if isinstance(who, str) else who
        return self.client.open(path, method=method, headers=headers or {}, **more)

    def write(self, text: str) -> None:
        """Replace the file as an editor would."""
        other = self.path.with_suffix(".new")
        other.write_text(text)
        os.replace(other, self.path)


def a_backend() -> FakeBackend:
    backend = FakeBackend()
    job = a_job(
        "a", owner="bob@x.org", command="curl http://me:s3cr3t-command@h/x", uris=("http://u:s3cr3t-uri@h/y",),
        fetch=(Fetch("ftp://s3cr3t-fetch@h/z"),), arguments=("http://u:s3cr3t-argument@h",),
        environment=(Variable("DB_PASSWORD", "s3cr3t-env"), Variable("PATH", "/bin")),
    )  # fmt: skip
    ours = a_job("ours", owner="ann@x.org", environment=(Variable("TOKEN", "open-to-ann"),))
    labelled = a_job("labelled", labels=(Pair("team", "news"), Pair("x", "y")))
    for one in (job, ours, labelled):
        backend.view.jobs[one.name] = JobView(one, JobState(), one.schedule)
    text = json.dumps(definition(job))
    backend.revisions.kept = [Revision(1, "a", NEW_YEAR, Author("ann"), text, text.replace("/bin", "/sbin"))]
    backend.view.runs[1] = a_run(1, "a", arguments="http://u:s3cr3t-argument@h")
    backend.view.runs[2] = a_run(2, "ours")
    reason = "cannot fetch http://u:s3cr3t-reason@h"
    backend.history.rows = [
        RunRecord(9, "a", Trigger.MANUAL, NEW_YEAR, NEW_YEAR, NEW_YEAR, Outcome.FAILED, reason, attempts=1)
    ]
    return backend


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def routes(site: Site) -> list[tuple[str, str]]:
    """Return (method, path) of all there is, with names and numbers put in."""
    found = []
    for rule in site.app.url_map.iter_rules():
        path = re.sub(r"<int[^>]*:(number|revision)>", "1", rule.rule)
        path = re.sub(r"<int[^>]*:attempt>", "0", path).replace("<name>", "a").replace("<task_id>", "ct:1:0:a:")
        path = path.replace("<stream>", "stdout").replace("<percentile>", "mean")
        path = path.replace("<path:filename>", "style.css").replace("<path:rest>", "nowhere")
        assert "<" not in path
        found += [(method, path) for method in sorted(rule.methods or ())]
    assert len(found) > 100
    return found


STREAMS = ("/api/events", "/ui/live")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")


def test_without_credentials_there_is_the_401_alone(site: Site):
    paths = {path for _, path in routes(site)} | {"/nowhere", "/static/x.js", "/executor/x", "/scheduler//jobs", "*"}
    for path in sorted(paths):
        for method in METHODS:
            answer = site.ask(None, method, path)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"] == 'basic realm="Mesosphere"'
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert not site.backend.requests


def allowed(role: str, method: str, path: str) -> bool:
    """The table of roles, written down a second time: who may send what."""
    if path.startswith(("/api/audit", "/logging")):
        return role == "admin"
    if method in ("GET", "HEAD", "OPTIONS") or path == "/api/jobs/immediate/status":
        return True
    if (method, path.removeprefix("/v1")) == ("DELETE", "/scheduler/task/all"):
        return role == "admin"
    return role in ("operator", "admin")


@pytest.mark.parametrize("role", ROLES)
def test_roles_hold_on_every_route(site: Site, role: str):
    for method, path in routes(site):
        if path in STREAMS:
            continue
        before = len(site.backend.requests)
        body = {"json": json.loads(JOB)} if method in ("POST", "PUT", "PATCH") else {}
        answer = site.ask(role, method, path, **body)
        answer.close()
        status = answer.status_code
        assert (status != 403) == allowed(role, method, path), (method, path, status)
        assert status != 401
        if role == "reader":
            assert len(site.backend.requests) == before, (method, path)


JOB = '{"name":"a","command":"true","schedule":"R/2026-01-01T00:00:00Z/PT1M","owner":"bob@x.org"}'


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/v1/scheduler/job/a", None, 403),
        ("PUT", "/v1/scheduler/job/ours", None, 204),
        ("PUT", "/scheduler/job/labelled", None, 204),
        ("DELETE", "/scheduler/job/a", None, 403),
        ("DELETE", "/v1/scheduler/task/kill/a", None, 403),
        ("PUT", "/v1/scheduler/job/success/a", None, 403),
        ("DELETE", "/api/runs/1", None, 403),
        ("DELETE", "/api/runs/2", None, 204),
        ("PATCH", "/api/runs/1", {"priority": 5}, 403),
        ("PATCH", "/api/jobs/a", {"cpus": 1}, 403),
        ("PATCH", "/api/jobs/ours", {"cpus": 1}, 204),
        ("PATCH", "/api/jobs/ours", {"owner": "bob@x.org"}, 403),  # to give away is to make another's job
        ("PATCH", "/api/jobs/labelled", {"labels": {"team": "sport"}}, 403),
        ("POST", "/v1/scheduler/iso8601", {**json.loads(JOB), "name": "new"}, 403),
        ("POST", "/v1/scheduler/iso8601", {**json.loads(JOB), "name": "new", "owner": "ann@x.org"}, 204),
        ("POST", "/v1/scheduler/iso8601", {**json.loads(JOB), "owner": "ann@x.org"}, 403),  # to take one over
        ("PUT", "/scheduler/task/ct:1:0:a:", {"statusCode": 0}, 403),
        ("DELETE", "/scheduler/task/all", None, 403),
        ("POST", "/api/jobs/immediate", {"command": "true", "owner": "bob@x.org"}, 403),
        ("POST", "/api/jobs/immediate/kill", {"labels": {"team": "news"}}, 403),
        ("PUT", "/v1/scheduler/job/nowhere", None, 403),
    ],
)
def test_limits_to_owners_and_labels(site: Site, method: str, path: str, body: Any, status: int):
    more = {} if body is None else {"json": body}
    assert site.ask("limited", method, path, **more).status_code == status
    entry = site.audit.newest(1)[0]
    assert (entry["who"], entry["done"]) == ("user limited", status == 204)


@pytest.mark.parametrize("who", ["reader", "limited"])
def test_no_secret_in_any_answer(site: Site, who: str):
    for method, path in routes(site):
        if method == "GET" and path not in STREAMS and "audit" not in path:
            for encoding in ("identity", "gzip"):
                asked = f"{path}?name=a&number=1&job=a&copy=a" if path.startswith("/ui") else path
                answer = site.client.get(asked, headers=basic(who) | {"Accept-Encoding": encoding})
                data = answer.get_data()
                if answer.headers.get("Content-Encoding") == "gzip":
                    data = gzip.decompress(data)
                answer.close()
                assert not [secret for secret in SECRETS if secret.encode() in data], path
    shown = json.loads(site.ask(who, "GET", "/v1/scheduler/job/a").text)
    assert shown["environmentVariables"] == [
        {"name": "DB_PASSWORD", "value": HIDDEN},
        {"name": "PATH", "value": "/bin"},
    ]
    assert shown["command"] == f"curl http://{HIDDEN}@h/x"
    ours = json.loads(site.ask(who, "GET", "/v1/scheduler/job/ours").text)["environmentVariables"]
    assert ours == [{"name": "TOKEN", "value": "open-to-ann" if who == "limited" else HIDDEN}]


@pytest.mark.parametrize("who", ["operator", "admin"])
def test_who_may_change_a_job_sees_all_of_it_whoever_asked_before(site: Site, who: str):
    for path in ("/scheduler/jobs", "/v1/scheduler/jobs", "/api/jobs"):
        masked = site.ask("reader", "GET", path).text
        whole = site.ask(who, "GET", path).text
        assert "s3cr3t-env" in whole
        assert "s3cr3t" not in masked
        assert site.ask("reader", "GET", path).text == masked
        assert len(json.loads(masked)) == len(json.loads(whole))


def test_a_masked_job_is_masked_anew_when_it_changes(site: Site):
    site.ask("reader", "GET", "/v1/scheduler/jobs")
    job = a_job("a", environment=(Variable("API_KEY", "s3cr3t-new"),), description="changed")
    site.backend.view.jobs["a"] = JobView(job, JobState(), job.schedule)
    site.backend.view.changed += 1
    text = site.ask("reader", "GET", "/v1/scheduler/jobs").text
    assert '"changed"' in text
    assert "s3cr3t" not in text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://u:p@h/x", f"http://{HIDDEN}@h/x"),
        ("https://token@h", f"https://{HIDDEN}@h"),
        ("s3://a:b@c@h", f"s3://{HIDDEN}@h"),
        ("http://h/x@y", "http://h/x@y"),
        ('{"a":"http://h","b":"x@y"}', '{"a":"http://h","b":"x@y"}'),
        ("mail a@b", "mail a@b"),
        ("http://h http://u:p@h", f"http://h http://{HIDDEN}@h"),
    ],
)
def test_urls(text: str, masked: str):
    assert without_url_secrets(text) == masked


# --- runAsUser


def test_only_listed_users(tmp_path: Path):
    site = Site(tmp_path, users=frozenset({"www"}), default_user="root")
    job = {**json.loads(JOB), "name": "new"}
    refused = site.ask("admin", "POST", "/v1/scheduler/iso8601", json={**job, "runAsUser": "bob"})
    assert refused.status_code == 400
    assert "runAsUser" in refused.text
    assert site.ask("admin", "POST", "/v1/scheduler/iso8601", json=job).status_code == 400  # root, by default
    assert site.ask("admin", "PATCH", "/api/jobs/a", json={"runAsUser": "bob"}).status_code == 400
    assert site.ask("admin", "POST", "/v1/scheduler/iso8601", json={**job, "runAsUser": "www"}).status_code == 204


# --- who somebody is


def test_credentials_users_and_tokens(site: Site):
    assert site.ask(basic("root", "top:secret"), "GET", "/api/audit").status_code == 200
    assert site.ask(basic("reader"), "GET", "/ping").text == "pong\n"
    assert site.ask(bearer(f"ci.{PASSWORD}"), "GET", "/ping").status_code == 200
    for wrong in (
        basic("reader", "x"), basic("nobody"), basic("ci"), bearer("ci.x"), bearer(PASSWORD), bearer("no.x"),
        bearer(f"reader.{PASSWORD}"), basic("root"), {"Authorization": "x" * 5000}, {"Authorization": "Basic é"},
    ):  # fmt: skip
        assert site.ask(wrong, "GET", "/ping").status_code == 401


def test_expiry(site: Site):
    assert site.ask(bearer(f"ci.{PASSWORD}"), "GET", "/ping").status_code == 200
    site.clock.at = 1_893_456_000.0  # 2030-01-01
    assert site.ask(bearer(f"ci.{PASSWORD}"), "GET", "/ping").status_code == 401


def test_rotation_without_restart(site: Site):
    assert site.ask("reader", "GET", "/ping").status_code == 200
    site.write(FILE.replace("[users.reader]", "[users.other]"))
    assert site.ask("reader", "GET", "/ping").status_code == 401
    assert site.ask("other", "GET", "/ping").status_code == 200
    site.write("no toml")
    assert site.ask("other", "GET", "/ping").status_code == 200  # the last good content
    site.path.unlink()
    assert site.ask("other", "GET", "/ping").status_code == 200
    site.write(FILE)
    assert site.ask("other", "GET", "/ping").status_code == 401


def test_a_changed_role_counts_at_once(site: Site):
    assert site.ask("operator", "PUT", "/v1/scheduler/job/a").status_code == 204
    site.write(FILE.replace('role = "operator"', 'role = "reader"'))
    assert site.ask("operator", "PUT", "/v1/scheduler/job/a").status_code == 403


def test_many_failures_have_to_wait(site: Site):
    wrong = [{"Authorization": "Basic " + base64.b64encode(f"root:{n}".encode()).decode()} for n in range(PER_NAME)]
    access_before = site.ask("reader", "GET", "/ping").status_code
    assert access_before == 200
    site.path.unlink()
    for header in wrong:
        assert site.ask(header, "GET", "/ping").status_code == 401
    answer = site.ask(basic("root", "top:secret"), "GET", "/ping")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "61")
    assert site.ask("reader", "GET", "/ping").status_code == 200  # who was right before is not locked out by others
    assert site.ask(None, "GET", "/ping").status_code == 401  # no guess
    site.clock.at += WINDOW_S
    assert site.ask(basic("root", "top:secret"), "GET", "/ping").status_code == 200


def test_failures_are_forgotten_and_bounded():
    clock = Clock()
    failures = Failures(2, clock)
    failures.note("a")
    assert failures.wait("a") == 0
    failures.note("a")
    assert failures.wait("a") == WINDOW_S
    clock.at += WINDOW_S
    assert failures.wait("a") == 0
    for number in range(10_100):
        failures.note(number)
    assert len(failures._times) == 10_000
    assert PER_ADDRESS > PER_NAME


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = ", "is no TOML"),
        ("[user.a]", "user: there are"),
        ("users = 1", "users: must be tables"),
        ("[users]\na = 1", "users.a: must be a table"),
        (f'[users.a]\nhash = "{HASH}"', "users.a.role: must be reader"),
        (f'[users.a]\nhash = "{HASH}"\nrole = "root"', "users.a.role"),
        ('[users.a]\nhash = "md5"\nrole = "admin"', "users.a.hash: must be an argon2 hash"),
        ('[users.a]\nrole = "admin"', "users.a.hash"),
        (f'[users.a]\nhash = "{HASH}"\nrole = "admin"\nowner = "x"', "users.a.owner: is not one of"),
        (f'[users.a]\nhash = "{HASH}"\nrole = "admin"\nowners = "x"', "users.a.owners: must be a list"),
        (f'[users.a]\nhash = "{HASH}"\nrole = "admin"\nlabels = ["x"]', "users.a.labels"),
        (f'[users.a]\nhash = "{HASH}"\nrole = "admin"\nexpires = 2030-01-01', "users.a.expires: must be"),
        (f'[users."a:b"]\nhash = "{HASH}"\nrole = "admin"', "users.a:b: a user's name"),
        (f'[tokens."a.b"]\nhash = "{HASH}"\nrole = "admin"', "tokens.a.b: a token's name"),
    ],
)
def test_a_bad_file(text: str, sentence: str, tmp_path: Path):
    with pytest.raises(BadAccessFile, match=sentence):
        parse(text)
    with pytest.raises(BadAccessFile, match="cannot be read"):
        AccessFile(tmp_path / "absent")


def test_entries_made_by_the_command_line_work(tmp_path: Path):
    made = CliRunner().invoke(main, ["access", "token", "bot", "--role", "operator"]).output
    token = made.splitlines()[0].removeprefix("# the token: ")
    hashed = CliRunner().invoke(main, ["access", "hash", "--password", "pä:ss"]).output.strip()
    file = tmp_path / "access.toml"
    file.write_text(f'{made}[users.ann]\nhash = "{hashed}"\nrole = "reader"\n')
    access = Access(None, AccessFile(file))
    who = [access.judge(header["Authorization"], "x") for header in (bearer(token), basic("ann", "pä:ss"))]
    assert [getattr(one, "name", None) for one in who] == ["token bot", "user ann"]
    assert CliRunner().invoke(main, ["access", "token", "a.b"]).exit_code == 2


# --- the audit log


def test_audit(site: Site, tmp_path: Path):
    site.ask("operator", "PUT", "/v1/scheduler/job/a")
    site.ask("reader", "GET", "/v1/scheduler/jobs")
    site.ask(bearer(f"ci.{PASSWORD}"), "DELETE", "/api/runs/1")
    site.ask("operator", "DELETE", "/scheduler/job/nowhere")
    entries = json.loads(site.ask("admin", "GET", "/api/audit?limit=10").text)["entries"]
    shown = [(e["who"], e["role"], e["action"], e["job"], e["done"]) for e in entries]
    assert shown == [
        ("user operator", "operator", "delete", "nowhere", False),
        ("token ci", "operator", "kill run", "a", True),
        ("user operator", "operator", "run", "a", True),
    ]
    assert entries[0]["error"].startswith("UnknownJob")
    assert entries[1]["run"] == 1
    lines = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == entries[::-1]
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_audit_log_goes_on_after_a_restart_and_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "audit.jsonl"
    first = AuditLog(file)
    for number in range(NEWEST + 5):
        first.note({"number": number})
    file.write_bytes(file.read_bytes() + b'{"torn')
    again = AuditLog(file).newest(NEWEST)
    assert again[0] == {"number": NEWEST + 4}
    monkeypatch.setattr("chronos_py.api.audit.LARGEST_BYTES", 100)
    other = AuditLog(tmp_path / "small")
    for number in range(100):
        other.note({"number": number})
    assert sum(path.stat().st_size for path in tmp_path.glob("small*")) < 300
    assert len(other.newest(NEWEST)) == 100


def test_an_audit_log_that_cannot_be_written_stops_nobody(tmp_path: Path):
    log = AuditLog(tmp_path / "absent" / "audit")
    log.note({"a": 1})
    assert log.newest(1) == [{"a": 1}]


def test_where_nobody_is_asked_all_is_open():
    backend = a_backend()
    client = create_app(backend).test_client()
    assert "s3cr3t-env" in client.get("/v1/scheduler/jobs").text
    assert client.delete("/scheduler/task/all").status_code == 204
    assert client.get("/api/audit").json == {
        "entries": [
            {
                "at": "2026-01-01T00:00:00.000Z", "who": "anonymous", "role": "admin", "from": "127.0.0.1",
                "action": "purge", "job": "", "done": True,
            }
        ]
    }  # fmt: skip


def test_attempts_are_filtered_too(site: Site):
    attempt = AttemptRecord(
        9, 0, "ct:1:0:a:", "a", "agent", "host", NEW_YEAR, NEW_YEAR, NEW_YEAR, Outcome.FAILED, "TASK_FAILED",
        message="http://u:s3cr3t-message@h",
    )  # fmt: skip
    site.backend.history.tries = [attempt]
    assert "s3cr3t" not in site.ask("reader", "GET", "/api/runs/9/attempts").text
