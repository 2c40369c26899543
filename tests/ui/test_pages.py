"""Each page: found, well formed, within its own policy, and in the languages that we have."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import chronos_py.ui
from chronos_py.errors import NotLeader
from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.job import Pair
from chronos_py.model.resources import Resources
from chronos_py.model.run import Outcome, Phase
from chronos_py.model.view import Cause, Waiting
from chronos_py.ui import words
from tests.api.backend import a_run
from tests.builders import a_job
from tests.fakes import NEW_YEAR
from tests.ui.conftest import client_of, ended, put
from tests.ui.pages import Page

FOLDER = Path(chronos_py.ui.__file__).parent
PAGES = ("/", "/ui/jobs", "/ui/job?name=a", "/ui/run/1", "/ui/run/9", "/ui/run/10", "/ui/cluster", "/ui/job?name=gone")
HOSTILE = "<script>alert(1)</script>\u202egpj.exe\x07\x1b[31m\u2028'\"&</title><img src=x onerror=alert(2)>"


def read(client, path: str, status: int = 200, language: str = "en") -> Page:
    answer = client.get(path, headers={"Accept-Language": language})
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return Page(answer.text)


@pytest.fixture
def full(backend, client):
    """A client of a server on which something of everything is there, with texts that mean harm."""
    put(
        backend,
        replace(a_job("a", description=HOSTILE, owner=HOSTILE, command=HOSTILE), labels=(Pair("k<", HOSTILE),)),
        running=1, next_due=NEW_YEAR + 60_000,
    )  # fmt: skip
    put(backend, a_job("b", parents=["a"]))
    put(backend, a_job("c", parents=["a"], disabled=True))
    ended(backend, 1, outcome=Outcome.FAILED, reason=HOSTILE, host=HOSTILE)
    ended(backend, 2)
    running = a_run(9, "a", phase=Phase.RUNNING, launched=NEW_YEAR - 2000, started=NEW_YEAR - 1000,
                    agent_id="agent-1", host=HOSTILE)  # fmt: skip
    waiting = replace(a_run(10, "b", arguments=HOSTILE), due=NEW_YEAR - 600_000)
    backend.view.runs.update({9: running, 10: waiting})
    backend.view.waiting[10] = Waiting(Cause.NO_FIT, HOSTILE)
    backend.outputs[backend.history.tries[0].task_id, "stdout"] = HOSTILE.encode() + b"\xff\x00"
    backend.outputs[running.task_id, "stdout"] = b"tick\n"
    backend.agents = [
        AgentCapacity("agent-1", HOSTILE, Resources.of(4, 1024, 9), attributes={"rack<": HOSTILE},
                      reserved={"role<": Resources.of(1, 1, 1)})
    ]  # fmt: skip
    backend.report |= {
        "driver": {"name": "mesos", "live": True, "master": HOSTILE},
        "watchdogs": {"jobs": {"alarm": True, "since": 1, "reason": HOSTILE}},
        "setAside": {HOSTILE: HOSTILE},
    }
    return client


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_well_formed_and_keeps_its_own_policy(full, path, language):
    page = read(full, path, 404 if "gone" in path else 200, language=language)
    assert page.problems == []
    assert not any("{" in text or "}" in text for text in page.texts if '"name"' not in text)  # nothing left to fill in
    assert all(link.startswith(("/", "#", "?")) or "agent-1/" in link for link in page.links)


@pytest.mark.parametrize("path", PAGES)
def test_what_users_wrote_does_no_harm(full, path):
    answer = full.get(path)
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    assert not set(answer.text) & set("\u202e\x07\x1b\x00\u2028")


def test_what_users_wrote_can_be_read(full):
    assert r"<script>alert(1)</script>\u202egpj.exe\x07\x1b[31m" in read(full, "/ui/job?name=a").text
    assert r"<script>alert(1)</script>\u202egpj.exe\x07" in read(full, "/ui/run/1").text


@pytest.mark.parametrize("path", PAGES)
def test_headers(full, path):
    headers = full.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers
    assert {"Accept-Language", "Cookie"} <= {part.strip() for part in headers["Vary"].split(",")}


def test_pages_of_nothing_say_what_to_do(client):
    for path in ("/", "/ui/jobs", "/ui/cluster"):
        assert read(client, path).problems == []
    assert "There are no jobs yet." in read(client, "/ui/jobs").text
    assert "No job matches." in read(client, "/ui/jobs?q=x").text


@pytest.mark.parametrize(
    "path", ["/ui/job", "/ui/jobs?page=0", "/ui/jobs?sort=x", "/ui/jobs?state=x", "/ui/cluster.svg?show=x"]
)
def test_bad_arguments_are_named(client, path):
    assert read(client, path, 400).problems == []


@pytest.mark.parametrize("path", ["/", "/ui/jobs", "/ui/job?name=a"])
def test_a_node_without_a_leader_shows_a_page(backend, client, path):
    backend.view.loaded = False
    with client.get("/ui/static/style.css") as file:
        assert file.status_code == 200
    assert "nothing has been loaded yet" in read(client, path, 503).text
    answer = client.get(path, environ_overrides={"chronos_py.refusal": NotLeader("no leader is known")})
    assert answer.status_code == 503
    page = Page(answer.text)
    assert page.problems == []
    assert "no leader is known" in page.text


# --- language and colours


def test_language_by_browser_by_cookie_and_by_address(client):
    assert "任务" in read(client, "/ui/jobs", language="zh-CN,zh;q=0.9,en;q=0.8").text
    assert "Jobs" in read(client, "/ui/jobs", language="fr").text
    answer = client.get("/ui/jobs?lang=zh")
    assert 'lang="zh-Hans"' in answer.text and "chronos_lang=zh" in answer.headers["Set-Cookie"]
    assert "任务" in read(client, "/ui/jobs", language="en").text  # by the cookie that was set


def test_the_switch_keeps_the_view(client):
    links = read(client, "/ui/jobs?q=x&state=idle").links
    assert "/ui/jobs?q=x&state=idle&lang=zh" in links
    assert "/ui/jobs?q=x&state=idle&theme=dark" in links


def test_colours_are_kept(client):
    assert 'data-theme="auto"' in client.get("/").text
    assert 'data-theme="dark"' in client.get("/?theme=dark").text
    assert 'data-theme="dark"' in client.get("/ui/jobs").text
    assert 'data-theme="dark"' in client.get("/ui/jobs?theme=<b>").text


def texts_of_the_pages() -> set[str]:
    found = {"every " + one for _, one, _ in words.UNITS} | {many for _, _, many in words.UNITS} | {*words.WEEKDAYS}
    found |= {kind.value.replace("_", " ") for kind in (*Outcome, *Phase)} | {"schedule", "parents", "manual"}
    found |= {"auto", "light", "dark"} | {label for _, label, _ in chronos_py.ui.frame.NAVIGATION}
    for path in FOLDER.rglob("*.html"):
        found |= {match[2] for match in re.finditer(r"""\b_\((['"])((?:(?!\1).)*)\1""", path.read_text())}
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "gettext":
                found |= {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    return found


def test_every_text_has_a_translation_with_the_same_places():
    known = json.loads((FOLDER / "translations" / "zh.json").read_text("utf-8"))
    assert sorted(text for text in texts_of_the_pages() if text not in known) == []
    for english, chinese in known.items():
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", chinese)), english


# --- other sites


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_changes_nothing(backend, client, site):
    put(backend)
    for method, path in (("PUT", "/v1/scheduler/job/a"), ("DELETE", "/scheduler/job/a"), ("PATCH", "/api/jobs/a")):
        assert client.open(path, method=method, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert client.post("/v1/scheduler/iso8601", data="{}", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert backend.requests == []
    assert client.get("/api/jobs", headers={"Sec-Fetch-Site": site}).status_code == 200


@pytest.mark.parametrize("site", ["same-origin", "none", None])
def test_our_own_pages_and_other_programs_may(backend, client, site):
    put(backend)
    headers = {"Sec-Fetch-Site": site} if site else {}
    assert client.put("/v1/scheduler/job/a", headers=headers).status_code == 204


@pytest.mark.parametrize("path", ["/ui", "/ui/", "/ui/nothing", "/ui/job/%2e%2e"])
def test_pages_that_are_not_there(client, path):
    page = read(client, path, 404)
    assert page.problems == []
    assert "/ui/jobs" in page.links


def test_files_are_kept_by_version(client):
    answer = client.get("/")
    style = re.search(r'href="(/ui/static/style\.css\?v=\w+)"', answer.text)
    assert style is not None
    for path, kept in ((style[1], "public, max-age=31536000"), ("/ui/static/style.css", "no-cache")):
        with client.get(path) as file:
            assert file.headers["Cache-Control"] == kept
    assert client.get("/ui/static/../frame.py").status_code == 404


def test_charts_are_images_without_scripts(backend):
    from chronos_py.ui import Watch

    watch = Watch(backend, kept=5)
    for _ in range(9):
        watch.sample()
    assert len(watch.series()) == 5
    put(backend)
    for number in range(1, 5):
        ended(backend, number, outcome=Outcome.FAILED if number == 2 else Outcome.SUCCESS)
    client = client_of(backend, watch)
    for path in ("/ui/cluster.svg", "/ui/cluster.svg?show=load&theme=dark", "/ui/job/runs.svg?name=a&size=narrow"):
        answer = client.get(path)
        assert answer.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
        assert answer.text.startswith("<svg") and "<script" not in answer.text
        assert len(answer.data) < 150_000
    assert answer.text.count("#d8362c") == 1  # the one failure
