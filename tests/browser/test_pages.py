"""What holds for every page: nothing in the console, nothing from elsewhere, no barrier that axe knows, no sideways
scrolling on a phone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser import rig
from tests.browser.pages import all_pages

pytestmark = pytest.mark.external
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True, "locale": "zh-CN"}


def barriers(page: rig.Page) -> list[str]:
    """Return what axe finds serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {[node['html'][:150] for node in violation['nodes'][:3]]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


@pytest.mark.timeout(300)
def test_every_page_in_light(browser, server):
    wrong = {}
    with rig.watched(browser, server, color_scheme="light") as seen:
        for name, path in all_pages(server).items():
            page = seen.go(path)
            assert page.title().endswith("chronos_py")
            if found := barriers(page):
                wrong[name] = found
    assert wrong == {}


@pytest.mark.timeout(300)
def test_every_page_in_the_dark_on_a_phone_in_chinese(browser, server):
    wrong = {}
    with rig.watched(browser, server, **PHONE) as seen:
        for name, path in all_pages(server).items():
            page = seen.go(path)
            found = barriers(page)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
                found.append("it scrolls sideways")
            if page.locator("html").get_attribute("lang") != "zh-Hans":
                found.append("it is not in Chinese")
            if found:
                wrong[name] = found
    assert wrong == {}


def test_headers_keep_out_what_is_not_ours(seen, server):
    answer = seen.page.goto(server.url + "/ui/graph")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_job_that_is_not_there(seen, server):
    seen.expected = ("404",)
    for path in ("/ui/graph?job=nobody", "/ui/edit?name=nobody", "/ui/revisions?name=nobody", "/ui/job?name=nobody"):
        answer = seen.page.goto(server.url + path)
        assert answer.status == 404, path
        assert seen.page.get_by_role("alert").inner_text()


def test_shortcuts_and_their_list(seen):
    page = seen.go("/ui/graph")
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keyboard shortcuts").is_visible()
    page.keyboard.press("Escape")
    for key, title in (("t", "Timeline"), ("c", "Calendar"), ("j", "Jobs"), ("g", "Graph")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        rig.holds(page, "title => document.title.startsWith(title)", arg=title)


def test_language_and_colours_are_kept(seen):
    page = seen.go("/ui/timeline?lang=zh&theme=dark")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page = seen.go("/ui/calendar")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    assert page.locator("h1").inner_text() == "日历"
