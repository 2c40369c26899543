"""The graph as a person uses it."""

from __future__ import annotations

import time

import pytest
import requests

from tests.browser import rig

pytestmark = pytest.mark.external


def node(page: rig.Page, name: str) -> rig.Locator:
    return page.locator(f'.node[data-name="{name}"]')


def test_a_component_with_its_critical_path(seen):
    page = seen.go("/ui/graph?job=index")
    names = page.locator(".node").evaluate_all("nodes => nodes.map(node => node.dataset.name)")
    assert set(names) == {"extract", "clean", "report", "mail", "index"}
    critical = page.locator(".node.critical").evaluate_all("nodes => nodes.map(node => node.dataset.name)")
    assert {"extract", "clean"} <= set(critical) <= {"extract", "clean", "report", "mail", "index"}
    assert page.get_by_role("heading", name="Critical path of the last cycle").is_visible()
    place = page.locator(".node").evaluate_all(
        "nodes => Object.fromEntries(nodes.map(node => [node.dataset.name, node.transform.baseVal[0].matrix.e]))"
    )
    assert place["extract"] < place["clean"] < place["report"] < place["mail"]


def test_click_through(seen):
    page = seen.go("/ui/graph?job=extract")
    node(page, "report").get_by_text("report", exact=True).last.click()
    page.wait_for_url("**/ui/job?name=report")


def test_folding_and_its_address(seen):
    page = seen.go("/ui/graph?job=extract")
    node(page, "clean").get_by_role("link", name="Fold clean").click()
    page.wait_for_url("**fold=clean**")
    assert page.locator(".node").count() == 2
    assert node(page, "clean").locator(".fold text").text_content() == "+3"
    page.get_by_role("link", name="Unfold all").click()
    rig.holds(page, "document.querySelectorAll('.node').length === 5")


def test_search_zoom_and_moving(seen):
    page = seen.go("/ui/graph?job=extract")
    page.get_by_label("Search in this graph").fill("mai")
    assert node(page, "mail").evaluate("node => node.classList.contains('hit')")
    assert page.locator(".node.dim").count() == 4
    box = lambda: [float(part) for part in page.locator("#graph").get_attribute("viewBox").split()]  # noqa: E731
    before = box()
    page.get_by_role("button", name="Zoom in").click()
    assert box()[2] < before[2]
    page.get_by_role("button", name="Fit").click()
    page.locator("#canvas").focus()
    before = box()
    page.keyboard.press("ArrowRight")
    assert box()[0] > before[0]
    page.keyboard.press("-")
    assert box()[2] > before[2]
    area = page.locator("#canvas").bounding_box()
    before = box()
    page.mouse.move(area["x"] + 30, area["y"] + 30)
    page.mouse.down()
    page.mouse.move(area["x"] + 130, area["y"] + 60)
    page.mouse.up()
    assert box()[0] < before[0]
    page.mouse.wheel(0, -300)
    rig.holds(page, "w => Number(graph.getAttribute('viewBox').split(' ')[2]) < w", arg=before[2])


def test_colours_follow_what_runs(seen, server):
    server.post({"name": "live-parent", "command": "true", "schedule": rig.FAR})
    server.post({"name": "live-child", "command": "sleep 1; exit 1", "parents": ["live-parent"], "retries": 0})
    page = seen.go("/ui/graph?job=live-parent")
    rig.holds(page, "document.getElementById('live-state').textContent === '●'")
    requests.put(f"{server.url}/v1/scheduler/job/live-parent", timeout=10)
    page.wait_for_selector('.node.success[data-name="live-parent"]')
    page.wait_for_selector('.node.running[data-name="live-child"]')
    page.wait_for_selector('.node.failure[data-name="live-child"]:not(.running)')
    for name in ("live-child", "live-parent"):
        requests.delete(f"{server.url}/v1/scheduler/job/{name}", timeout=10)


@pytest.mark.timeout(300)
def test_five_hundred_jobs_in_two_seconds(browser, tmp_path):
    big = rig.Server(tmp_path)
    try:
        with requests.Session() as session:
            for number in range(500):
                document: dict[str, object] = {"name": f"big-{number}", "command": "true"}
                parents = sorted({f"big-{number // 3}", f"big-{max(0, number - 1 - number % 7)}"} - {f"big-{number}"})
                document |= {"parents": parents} if number else {"schedule": rig.FAR}
                assert session.post(f"{big.url}/api/jobs", json=document, timeout=20).status_code == 201
        with rig.watched(browser, big) as seen:
            took = []
            for _ in range(3):  # the best counts: the machine has other things to do
                began = time.monotonic()
                page = seen.go("/ui/graph")
                assert page.locator(".node").count() == 500
                took.append(time.monotonic() - began)
            page.get_by_label("Search in this graph").fill("big-499")
            assert node(page, "big-499").get_by_text("big-499").last.is_visible()
            assert min(took) < 2, took
    finally:
        big.stop()
