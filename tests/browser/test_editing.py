"""Adding, changing, copying and restoring jobs as a person does it."""

from __future__ import annotations

import json
import re

import pytest
import requests

from tests.browser import rig

pytestmark = pytest.mark.external


@pytest.fixture
def job(server):
    """A job that is there for one test alone."""
    document = {"name": "mine", "command": "echo one", "schedule": rig.FAR, "owner": "me@example.org",
                "environmentVariables": [{"name": "A", "value": "two\nlines"}],
                "constraints": [["rack", "EQUALS", "1"]]}  # fmt: skip
    server.post(document)
    yield "mine"
    requests.delete(f"{server.url}/v1/scheduler/job/mine", timeout=10)


@pytest.fixture
def extra(server):
    """The name of a job that a test makes."""
    yield "added"
    requests.delete(f"{server.url}/v1/scheduler/job/added", timeout=10)


def save(page: rig.Page) -> None:
    page.get_by_role("button", name="Review and save").click()
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()


def test_only_what_was_changed_is_sent(seen, server, job):
    before = server.get("/api/jobs/mine")
    sent = []
    seen.page.on("request", lambda request: sent.append(request) if request.method == "PATCH" else None)
    page = seen.go("/ui/edit?name=mine")
    page.get_by_label("Command", exact=True).fill("echo two")
    page.get_by_role("button", name="Review and save").click()
    rows = page.locator("#review-rows tr").all_inner_texts()
    assert rows == ["command\techo one\techo two"]
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/ui/job?name=mine")
    assert json.loads(sent[0].post_data) == {"command": "echo two"}
    after = server.get("/api/jobs/mine")
    assert after == before | {"command": "echo two"}


def test_what_a_field_cannot_say_it_does_not_touch(seen, job):
    page = seen.go("/ui/edit?name=mine")
    assert page.get_by_label("Environment").get_attribute("readonly") is not None
    assert page.get_by_label("Constraints").input_value() == "rack EQUALS 1"


def test_errors_stand_at_their_fields(seen, server, job):
    page = seen.go("/ui/edit?name=mine")
    page.get_by_label("Schedule", exact=True).fill("every day")
    error = page.locator("#f-schedule-error")
    rig.holds(page, "document.getElementById('f-schedule-error').textContent")
    assert "R<runs>/<start>/P<period>" in error.inner_text()
    page.get_by_label("Priority").fill("1234567890123")
    rig.holds(page, "document.getElementById('f-priority-error').textContent")
    assert page.get_by_label("Schedule", exact=True).get_attribute("aria-invalid") == "true"
    page.get_by_label("Cores").fill("many")
    assert page.locator("#f-cpus-error").inner_text() == "must be a number"
    page.get_by_role("button", name="Review and save").click()
    assert not page.get_by_role("dialog").is_visible()
    assert server.get("/api/jobs/mine")["command"] == "echo one"


def test_next_runs_are_shown_while_typing(seen):
    page = seen.go("/ui/add")
    page.get_by_label("Schedule", exact=True).fill("R/2030-03-30T12:00:00/P1D")
    page.get_by_label("Zone").fill("Europe/Berlin")
    rig.holds(page, "document.getElementById('preview').textContent.includes('2030-03-31 12:00:00 +0200')")
    text = page.locator("#preview").inner_text()
    assert "2030-03-30 12:00:00 +0100 CET" in text
    assert "2030-03-31 12:00:00 +0200 CEST" in text
    assert "the clocks were changed by +1 h" in text


def test_form_and_json_show_the_same(seen, server, job):
    page = seen.go("/ui/edit?name=mine")
    page.get_by_label("Memory").fill("512")
    assert json.loads(page.locator("#json").input_value())["mem"] == 512
    document = json.loads(page.locator("#json").input_value()) | {"description": "by JSON", "nonsense": 1}
    page.locator("#json").fill(json.dumps(document))
    assert page.get_by_label("Description").input_value() == "by JSON"
    rig.holds(page, "document.getElementById('problems').textContent.includes('nonsense')")
    page.locator("#json").fill("{")
    assert "no JSON object" in page.locator("#json-error").inner_text()
    del document["nonsense"]
    page.locator("#json").fill(json.dumps(document))
    save(page)
    page.wait_for_url("**/ui/job?name=mine")
    found = server.get("/api/jobs/mine")
    assert (found["mem"], found["description"]) == (512.0, "by JSON")


def test_two_editors_the_second_is_told(seen, server, job):
    seen.expected = ("412",)
    page = seen.go("/ui/edit?name=mine")
    server.patch("mine", {"description": "the other was faster"})
    page.get_by_label("Description").fill("mine")
    save(page)
    rig.holds(page, "document.getElementById('review-error').textContent")
    assert "Somebody else has changed this job" in page.locator("#review-error").inner_text()
    assert server.get("/api/jobs/mine")["description"] == "the other was faster"
    page.get_by_role("link", name="Begin again with what is there now").click()
    rig.holds(page, "document.getElementById('f-description')?.value === 'the other was faster'")


def test_adding_from_an_example(seen, server, extra):
    page = seen.go("/ui/jobs")
    page.get_by_role("link", name="Add job").first.click()
    page.get_by_label("Begin with an example").select_option("after")
    page.get_by_role("button", name="Use it").click()
    page.wait_for_url("**example=after")
    page.get_by_label("Name", exact=True).fill("not allowed!")
    rig.holds(page, "document.getElementById('f-name-error').textContent")
    rig.holds(page, "document.getElementById('f-parents-error').textContent")
    page.get_by_label("Name", exact=True).fill(extra)
    page.get_by_label("Add a parent").fill("extract")
    page.keyboard.press("Enter")
    save(page)
    page.wait_for_url("**/ui/job?name=added")
    assert server.get("/api/jobs/added")["parents"] == ["extract"]
    page = seen.go("/ui/add")
    page.get_by_label("Name", exact=True).fill(extra)
    rig.holds(page, "document.getElementById('f-name-error').textContent.includes('exists')")


def test_copying(seen, server, job):
    page = seen.go("/ui/job?name=mine")
    page.get_by_role("link", name="Copy").click()
    rig.holds(page, "document.getElementById('f-name')?.value === 'mine-copy'")
    save(page)
    page.wait_for_url("**/ui/job?name=mine-copy")
    original, copy = server.get("/api/jobs/mine"), server.get("/api/jobs/mine-copy")
    assert copy == original | {"name": "mine-copy"}
    requests.delete(f"{server.url}/v1/scheduler/job/mine-copy", timeout=10)


def test_revisions_diff_and_restore(seen, server, job):
    server.patch("mine", {"command": "echo worse"})
    changed = server.get("/v1/scheduler/job/mine") | {"owner": "she@example.org"}
    requests.post(f"{server.url}/v1/scheduler/iso8601", json=changed, timeout=10)
    page = seen.go("/ui/job?name=mine")
    page.get_by_role("link", name="Revisions").click()
    rows = page.locator("main tbody tr")
    assert rows.count() >= 3
    assert "owner" in rows.nth(0).inner_text()
    assert "command" in rows.nth(1).inner_text()
    assert "127.0.0.1" in rows.nth(1).inner_text()
    rows.nth(2).get_by_role("link").click()
    page.get_by_label("Compare with").select_option("now")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**against=now")
    text = page.locator("table.diff").inner_text()
    assert "echo worse" in text
    assert "she@example.org" in text
    page.get_by_role("button", name="Restore").click()
    page.get_by_role("dialog").get_by_role("button", name="Yes").click()
    page.wait_for_url("**/ui/job?name=mine")
    found = server.get("/api/jobs/mine")
    assert (found["command"], found["owner"]) == ("echo one", "me@example.org")


def test_a_deleted_job_comes_back(seen, server):
    server.post({"name": "gone", "command": "echo here", "schedule": rig.FAR})
    requests.delete(f"{server.url}/v1/scheduler/job/gone", timeout=10)
    page = seen.go("/ui/revisions?name=gone")
    page.locator("main tbody tr").first.get_by_role("link").click()
    page.get_by_role("button", name="Restore").click()
    page.get_by_role("dialog").get_by_role("button", name="Yes").click()
    page.wait_for_url(re.compile("/ui/job.name=gone"))
    assert server.get("/api/jobs/gone")["command"] == "echo here"
    requests.delete(f"{server.url}/v1/scheduler/job/gone", timeout=10)
