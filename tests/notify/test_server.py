"""A real server: its notices outlive its death, and its door holds over HTTP."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from chronos_py.api.principals import HASHER
from tests.notify.receivers import PATIENCE_S, MailServer, WebServer
from tests.test_cli import JOB, Servers

OUTAGE_S = float(os.environ.get("CHRONOS_TEST_OUTAGE", "0"))  # 60 was tried: the result is the same


@pytest.fixture
def serve() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.end()


def test_no_notice_is_lost_when_receivers_and_server_die(tmp_path: Path, serve: Servers):
    mail, web = MailServer(), WebServer()
    mail_port, web_port = mail.port, web.port
    mail.stop()
    web.stop()
    options = (
        "--mail_server", f"127.0.0.1:{mail_port}", "--mail_from", "chronos@x.org",
        "--http_notification_url", f"http://127.0.0.1:{web_port}/hook", "--cluster_name", "prod",
    )  # fmt: skip
    server = serve(tmp_path, *options).wait()
    for number in range(3):
        server.post({**JOB, "name": f"job{number}"})
        assert requests.delete(f"{server.url}/v1/scheduler/job/job{number}", timeout=10).status_code == 204
    deadline = time.monotonic() + PATIENCE_S
    while True:
        report = requests.get(f"{server.url}/health", timeout=10).json()["notifications"]
        if all(channel["waiting"] == 3 and channel["problem"] for channel in report.values()):
            break
        assert time.monotonic() < deadline, report
        time.sleep(0.05)
    text = requests.get(f"{server.url}/metrics?format=prometheus", timeout=10).text
    assert 'chronos_notifications_waiting{channel="mail"} 3.0' in text
    time.sleep(OUTAGE_S)
    worker = server.workers[0]
    server.stop(signal.SIGKILL)
    worker.wait(PATIENCE_S)
    serve(tmp_path, *options).wait()
    mail, web = MailServer(mail_port), WebServer(web_port)
    try:
        for number in range(3):
            subject = f"[prod] [Chronos] Your job 'job{number}' was deleted!"
            assert json.loads(web.get().body)["subject"] == subject
            assert f"Subject: {subject}".encode() in mail.mails.get(timeout=PATIENCE_S).content
    finally:
        mail.stop()
        web.stop()


def test_users_over_http(tmp_path: Path, serve: Servers):
    file = tmp_path / "access.toml"
    file.write_text(f'[users.ann]\nhash = "{HASHER.hash("pass")}"\nrole = "reader"\n')
    server = serve(tmp_path, "--access_file", str(file)).wait()
    for path in ("/", "/ping", "/health", "/metrics", "/executor/x", "/node", "/api/docs", "/nowhere"):
        answer = requests.get(server.url + path, timeout=10)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'basic realm="Mesosphere"')
    ann = ("ann", "pass")
    assert requests.get(f"{server.url}/v1/scheduler/jobs", auth=ann, timeout=10).text == "[]"
    refused = requests.post(f"{server.url}/v1/scheduler/iso8601", json=JOB, auth=ann, timeout=10)
    assert refused.status_code == 403
    file.write_text(file.read_text().replace("reader", "operator"))
    assert requests.post(f"{server.url}/v1/scheduler/iso8601", json=JOB, auth=ann, timeout=10).status_code == 204
    entry = json.loads((server.folder / "audit.jsonl").read_text())
    assert (entry["who"], entry["action"], entry["job"]) == ("user ann", "submit", "a")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--mail_server", "smtp"), "--mail_server smtp: must be host:port"),
        (("--access_file", "/nowhere"), "--access_file /nowhere: cannot be read"),
        (("--graphite_host_port", "graphite"), "--graphite_host_port graphite: must be host:port"),
        (("--http_credentials", "nobody"), "must be user:password"),
    ],
)
def test_what_stops_the_start(tmp_path: Path, serve: Servers, options: tuple[str, str], sentence: str):
    server = serve(tmp_path, *options)
    assert server.process.wait(PATIENCE_S) == 2
    assert sentence in server.log.read_text()
