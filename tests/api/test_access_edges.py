"""What goes round the door: streams that stay open, parts of output, forms of other sites, many addresses."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chronos_py.api.auth import PER_ADDRESS, Access, Wait, with_access
from chronos_py.api.guard import SECRET_VARIABLES
from chronos_py.api.masking import Mask, same_length_without_url_secrets
from chronos_py.api.principals import AccessFile
from chronos_py.api.proxy import client_address
from chronos_py.logs import HIDDEN
from chronos_py.model.immediate import Immediate
from chronos_py.model.job import Container, Pair, Variable
from chronos_py.model.run import Phase
from chronos_py.model.view import JobView
from tests.api.backend import a_run
from tests.api.test_access import HASH, Clock, Site, basic
from tests.builders import a_job
from tests.fakes import NEW_YEAR

MASK = Mask(re.compile(SECRET_VARIABLES))


def stream_app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", environ["kind"])])
    return (b"%d" % number for number in range(10))


@pytest.mark.parametrize("end", ["expiry", "removal", "role"])
def test_a_stream_ends_when_its_credentials_do(tmp_path: Path, end: str):
    clock, path = Clock(), tmp_path / "access.toml"
    entry = f'[users.ann]\nhash = "{HASH}"\nrole = "admin"\nexpires = 2030-01-01T00:00:00Z\n'
    path.write_text(entry)
    app = with_access(stream_app, Access(None, AccessFile(path), clock), "x")
    authorization = basic("ann")["Authorization"]

    def open_(kind: str) -> Iterator[bytes]:
        environ = {"HTTP_AUTHORIZATION": authorization, "kind": kind, "REMOTE_ADDR": "::1"}
        return iter(app(environ, lambda *_: None))

    stream, page = open_("text/event-stream; charset=utf-8"), open_("text/plain")
    assert [next(stream), next(stream)] == [b"0", b"1"]
    if end == "expiry":
        clock.at = 1_900_000_000.0
    else:
        path.write_text(entry.replace("admin", "reader") if end == "role" else entry.replace("users.ann", "users.bob"))
    assert list(stream) == []
    assert len(list(page)) == 10, "an answer that has been made is not cut off"
    if end == "role":
        assert len(list(open_("text/event-stream"))) == 10


def test_one_network_of_ipv6_counts_as_one_address():
    access = Access(("root", "right"), now=Clock())
    for number in range(PER_ADDRESS):
        header = "Basic " + base64.b64encode(f"u{number}:wrong".encode()).decode()
        assert access.judge(header, f"2001:db8:1:2::{number:x}") is None
    header = "Basic " + base64.b64encode(b"root:right").decode()
    assert isinstance(access.judge(header, "2001:db8:1:2:ffff::1"), Wait)
    assert access.judge(header, "2001:db8:1:3::1") is not None
    assert access.judge("Basic eDp5", "::ffff:10.0.0.1") is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("PGPASSWORD=geheim psql -h db", f"PGPASSWORD={HIDDEN} psql -h db"),
        ("env API_KEY='ge heim' run; TOKEN=geheim; x", f"env API_KEY={HIDDEN} run; TOKEN={HIDDEN}; x"),
        ("tool --password geheim --verbose yes", f"tool --password {HIDDEN} --verbose yes"),
        ("tool --db-password=geheim -v", f"tool --db-password={HIDDEN} -v"),
        ("curl -u me:geheim http://h", f"curl -u me:{HIDDEN} http://h"),
        ("curl -H 'Authorization: Bearer geheim' h", f"curl -H 'Authorization: Bearer {HIDDEN}' h"),
        ("make MODE=fast --token --dry-run", "make MODE=fast --token --dry-run"),
        ("sort -k 2 | tee /tmp/secret", "sort -k 2 | tee /tmp/secret"),
    ],
)
def test_secrets_in_commands(text: str, shown: str):
    assert MASK.text(text) == shown


def test_secrets_in_arguments_and_containers():
    container = Container("image", parameters=(Pair("env", "DB_PASSWORD=geheim"), Pair("token", "geheim")))
    arguments = ("--password", "geheim", "-u", "me:geheim", "SECRET=geheim", "-v", "plain")
    job = a_job("a", arguments=arguments, container=container, executor_flags="--secret geheim",
                task_info_data="TOKEN=geheim", environment=(Variable("FLAGS", "--password geheim"),))  # fmt: skip
    masked = MASK.job(job)
    assert "geheim" not in repr(masked)
    assert masked.arguments[-2:] == ("-v", "plain")
    document = {"command": "TOKEN=geheim x", "arguments": list(arguments), "taskInfoData": "TOKEN=geheim",
                "container": {"parameters": [{"key": "env", "value": "A_TOKEN=geheim"}]},
                "environmentVariables": [{"name": "FLAGS", "value": "--password geheim"}]}  # fmt: skip
    assert "geheim" not in str(MASK.document(json.dumps(document)))


OUTPUT = b"fetching http://me:geheim@host/a\nthen ftp://geheim@x and no@one\n"


@pytest.mark.parametrize("who", ["reader", "limited"])
def test_no_part_of_output_has_what_the_whole_would_hide(tmp_path: Path, who: str):
    site = Site(tmp_path)
    site.backend.view.runs[1] = a_run(1, "a", phase=Phase.RUNNING, launched=NEW_YEAR)
    task = site.backend.view.runs[1].task_id
    site.backend.outputs[task, "stdout"] = OUTPUT
    seen = b""
    for offset in range(len(OUTPUT)):
        part = site.ask(who, "GET", f"/api/runs/1/attempts/0/stdout?offset={offset}&length=7")
        assert part.status_code == 200
        assert len(part.data) == len(OUTPUT[offset : offset + 7])
        seen += part.data[:1]
    assert seen == OUTPUT.replace(b"me:geheim@", b"*" * 10).replace(b"geheim@", b"*" * 7)
    file = site.ask(who, "GET", "/ui/run/1/0/stdout/file").data
    assert b"geheim" not in file
    assert len(file) == len(OUTPUT)
    found = site.ask(who, "GET", "/ui/run/1?find=gehe").data
    assert b"geheim" not in found
    assert site.ask("operator", "GET", "/api/runs/1/attempts/0/stdout").data == OUTPUT


@pytest.mark.parametrize(
    ("data", "more", "shown"),
    [
        (b"http://a:b", True, b"http://***"),
        (b"http://a:b", False, b"http://a:b"),
        (b"http://host/x and", True, b"http://host/x and"),
        (b"ftp://a:b@c:d@h", True, b"ftp://********h"),
        (b"nothing", True, b"nothing"),
    ],
)
def test_output_that_is_not_all_there_yet(data: bytes, more: bool, shown: bytes):
    masked = same_length_without_url_secrets(data, more=more)
    assert len(masked) == len(data)
    if not shown.endswith(b"h") and not shown.startswith(b"ftp"):
        assert masked == shown
    assert b"a:b@" not in masked


def test_who_may_change_a_job_gets_it_whole_and_can_send_it_back(tmp_path: Path):
    site = Site(tmp_path)
    mine = a_job("mine", owner="ann@x.org", command="curl http://u:own-secret@h")
    site.backend.view.jobs["mine"] = JobView(mine, site.backend.view.jobs["a"].state, mine.schedule)
    for path in ("/v1/scheduler/jobs", "/scheduler/job/mine", "/v1/scheduler/job/mine", "/api/jobs/mine",
                 "/ui/edit?name=mine"):  # fmt: skip
        text = site.ask("limited", "GET", path).text
        if path != "/scheduler/job/mine":  # which is no path of that line
            assert "own-secret" in text, path
        assert "s3cr3t" not in text


@pytest.mark.parametrize(("who", "count"), [("reader", 0), ("limited", 1), ("admin", 2)])
def test_commands_of_immediate_jobs(tmp_path: Path, who: str, count: int):
    site = Site(tmp_path)
    for number, owner in ((1, "bob@x.org"), (2, "ann@x.org")):
        job = a_job("immediate", owner=owner, command="TOKEN=geheim x")
        site.backend.view.immediate.put(a_run(number, "immediate", immediate=Immediate(f"i{number}", job, 9.0)))
    assert site.ask(who, "GET", "/api/jobs/immediate").text.count("geheim") == count
    one = site.ask(who, "GET", "/api/jobs/immediate/i1").text
    assert ("geheim" in one) == (who == "admin")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://front.example", "X-Forwarded-Host": "front.example"}, 200),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, 200),  # no page can say so
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({}, 200),
    ],
)
def test_forms_of_other_sites(tmp_path: Path, headers: dict[str, str], status: int):
    form = {"logger": "root", "level": "WARNING"}
    answer = Site(tmp_path).client.post("/logging", data=form, headers=basic("admin") | headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"REMOTE_ADDR": "10.0.0.1"}, "10.0.0.1"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_CHRONOS_PASSED_FOR": "10.9.9.9"}, "10.0.0.1"),
        (
            {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_CHRONOS_PASSED_ON": "n:1", "HTTP_X_CHRONOS_PASSED_FOR": "10.9.9.9\x1b"},
            "10.9.9.9 by 10.0.0.1",
        ),
    ],
)
def test_what_another_node_says_of_a_client_does_not_hide_who_says_so(environ: dict[str, str], address: str):
    assert client_address(environ) == address
