"""The pages of a node that does not lead: it passes requests on, and its own address is all that a browser sees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from compat_tests.group import Group
from compat_tests.mortal import MortalServer
from compat_tests.servers.zookeeper import ZooKeeperEnsemble
from compat_tests.servers.zookeeper import missing as no_zookeeper
from tests.browser import rig
from tests.browser.pages import all_pages

pytestmark = [pytest.mark.external, pytest.mark.timeout(180)]


class Follower(rig.Server):
    """A node that was started elsewhere, to be asked like a server of its own."""

    def __init__(self, node: MortalServer) -> None:
        self.url = node.url


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Follower]:
    if reason := no_zookeeper() or rig.missing():
        pytest.skip(reason)
    with ZooKeeperEnsemble() as zookeeper:
        folder = tmp_path_factory.mktemp("pages") / "group"
        group = Group.started(folder, zookeeper.hosts, 2, resources="cpus:4;mem:4096;disk:10000")
        try:
            yield Follower(group.others(group.leader())[0]).seed()  # type: ignore[misc]
        finally:
            group.close()


def test_every_page_of_a_follower(browser, follower):
    with rig.watched(browser, follower) as seen:
        answers: list[tuple[int, str]] = []
        seen.page.on("response", lambda answer: answers.append((answer.status, answer.url)))
        for path in all_pages(follower).values():
            page = seen.go(path)
            assert page.locator("h1, .tiles").first.is_visible(), path
            holds = "[...document.styleSheets].every(sheet => sheet.cssRules.length > 0)"
            assert page.evaluate(holds) and page.evaluate("document.styleSheets.length") >= 1, path
        wrong = [answer for answer in answers if answer[0] >= 400 and "/health" not in answer[1]]
        assert wrong == []
        static = [url for _, url in answers if "/ui/static/" in url]
        assert {url.partition("?")[0].rpartition("/")[2] for url in static} >= {"style.css", "app.js", "jobs.js"}


def test_the_live_view_of_a_follower(browser, follower):
    follower.post({"name": "seen-live", "command": "sleep 600", "schedule": rig.FAR})
    with rig.watched(browser, follower) as seen:
        page = seen.go("/")
        address = f"{follower.url}/v1/scheduler/job/seen-live"
        assert requests.put(address, timeout=20).status_code == 204
        page.locator('[data-live="running"]').get_by_role("link", name="seen-live").wait_for()


def test_changing_something_at_a_follower(browser, follower):
    with rig.watched(browser, follower) as seen:
        page = seen.go("/ui/job?name=quarterly")
        page.get_by_role("button", name="Disable").click()
        rig.until(lambda: follower.get("/api/jobs/quarterly")["disabled"])
