"""Timeline and calendar as a person uses them."""

from __future__ import annotations

import re

import pytest

from tests.browser import rig

pytestmark = pytest.mark.external


def test_bars_lead_to_their_runs(seen):
    page = seen.go("/ui/timeline?q=broken")
    assert page.locator(".gantt-row").count() == 1
    bar = page.locator(".gantt a .run.failed")
    assert "broken" in page.locator(".gantt svg a title").first.text_content()
    bar.dispatch_event("click")
    page.wait_for_url(re.compile("/ui/run/"))


def test_dragging_zooms_and_the_address_says_so(seen):
    page = seen.go("/ui/timeline?span=1h")
    area = page.locator("#gantt").bounding_box()
    page.mouse.move(area["x"] + area["width"] * 0.5, area["y"] + 30)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.75, area["y"] + 30)
    page.mouse.move(area["x"] + area["width"], area["y"] + 30)
    page.mouse.up()
    page.wait_for_url(re.compile("from="))
    length = page.locator("#gantt").evaluate("g => Number(g.dataset.to) - Number(g.dataset.from)")
    assert length == pytest.approx(1_800_000, abs=60_000)
    page.keyboard.press("-")
    rig.holds(page, "l => Number(gantt.dataset.to) - Number(gantt.dataset.from) > 1.5 * l", arg=length)


def test_overlaps_stand_in_lanes_of_their_own(seen):
    page = seen.go("/ui/timeline?by=agent&span=1h")
    row = page.locator(".gantt-row").filter(has_text="overlapping").first
    heights = row.locator("rect.run").evaluate_all("bars => new Set(bars.map(bar => bar.getAttribute('y'))).size")
    assert heights > 1


def test_an_empty_span_says_what_to_do(seen):
    page = seen.go("/ui/timeline?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z")
    assert page.get_by_text("No run was under way in this span.").is_visible()


def test_the_calendar_shows_where_jobs_start(seen):
    page = seen.go("/ui/calendar")
    page.get_by_label("Zone").fill("Europe/Berlin")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("zone=Europe"))
    cells = page.locator("table.heat td a")
    assert cells.count() >= 6
    assert " 00:00: " in cells.last.get_attribute("aria-label")
    cells.last.click()
    page.wait_for_url(re.compile("hour="))
    assert page.locator("#hour").get_by_role("link", name="midnight").is_visible()


def test_many_jobs_at_midnight_stand_out(seen, server):
    names = [f"crowd-{number}" for number in range(30)]
    for name in names:
        server.post(
            {"name": name, "command": "true", "schedule": "R/2030-03-01T05:00:00Z/P1D", "owner": "crowd@example.org"}
        )
    page = seen.go("/ui/calendar?from=2030-03-04T00:00:00Z&owner=crowd")
    assert page.locator("td.heat5 a").count() == 7
    assert page.locator("td.heat5 a").first.inner_text() == "30"
    assert page.get_by_role("heading", name="Busiest minutes").is_visible()
    for name in names:
        rig.requests.delete(f"{server.url}/v1/scheduler/job/{name}", timeout=10)
