"""The pages that are read, as a person uses them; and that nothing which users wrote does anything."""

from __future__ import annotations

import pytest
import requests

from tests.browser import rig

pytestmark = pytest.mark.external


@pytest.fixture
def pair(server):
    """Two jobs for one test alone."""
    names = ("bulk-a", "bulk-b")
    for name in names:
        server.post({"name": name, "command": "echo bulk; sleep 600", "schedule": rig.FAR, "owner": "bulk@example.org"})
    yield names
    for name in names:
        requests.delete(f"{server.url}/v1/scheduler/job/{name}", timeout=10)


def test_the_overview_follows_what_happens(seen, server, pair):
    page = seen.go("/")
    assert page.get_by_role("link", name="long").first.is_visible()
    requests.put(f"{server.url}/v1/scheduler/job/bulk-a", timeout=10)
    page.get_by_role("link", name="bulk-a").first.wait_for()


def test_search_as_one_types_and_filters(seen):
    page = seen.go("/ui/jobs")
    page.get_by_label("Search in name, command, owner, description").fill("reads all")
    rig.holds(page, "document.querySelectorAll('#list tbody tr').length === 1")
    assert "q=reads" in page.url
    page = seen.go("/ui/jobs?result=failure")
    assert page.locator("#list tbody tr").count() >= 1
    assert "broken" in page.locator("#list tbody").inner_text()


def test_things_done_to_many_jobs(seen, server, pair):
    page = seen.go("/ui/jobs?q=bulk-")
    for name in pair:
        page.get_by_label(f"Select {name}").check()
    page.get_by_role("group", name="Selected jobs").get_by_role("button", name="Disable").click()
    rig.until(lambda: all(server.get(f"/api/jobs/{name}")["disabled"] for name in pair))
    page = seen.go("/ui/jobs?q=bulk-")
    for name in pair:
        page.get_by_label(f"Select {name}").check()
    page.get_by_role("group", name="Selected jobs").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Yes").click()
    rig.until(lambda: not server.get("/api/jobs?q=bulk-")["jobs"])


def test_deleting_a_parent_names_its_children(seen):
    page = seen.go("/ui/job?name=clean")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("report").first.wait_for()
    assert "index" in dialog.inner_text()
    dialog.get_by_role("button", name="Cancel").click()


def test_running_following_and_killing(seen, server, pair):
    page = seen.go("/ui/job?name=bulk-b")
    page.get_by_role("button", name="Run now").click()
    page.get_by_role("heading", name="Under way").wait_for()  # it has loaded itself anew
    run = server.get("/api/runs?job=bulk-b&state=active")["runs"][0]["run"]
    page.get_by_role("link", name=f"#{run}").click()
    rig.holds(page, "document.getElementById('text')?.textContent.includes('bulk')")
    page.get_by_role("button", name="Kill").click()
    page.get_by_role("dialog").get_by_role("button", name="Yes").click()
    rig.until(lambda: server.get(f"/api/runs/{run}")["state"] == "ended")


def test_what_users_wrote_does_nothing(seen, server):
    run = server.get("/api/runs?job=evil&state=ended")["runs"][0]["run"]
    for path in ("/ui/job?name=evil", f"/ui/run/{run}", f"/ui/run/{run}?offset=0", "/ui/edit?name=evil",
                 "/ui/revisions?name=evil", "/ui/jobs?q=%3Cscript%3E", "/ui/timeline?q=%3Cscript%3E", "/"):  # fmt: skip
        page = seen.go(path)
        seen.check()
        assert "\u202e" not in page.locator("body").inner_text(), path
    page = seen.go(f"/ui/run/{run}?offset=0")
    assert "<script>window.pwned=1</script>" in page.locator("#text").inner_text()
