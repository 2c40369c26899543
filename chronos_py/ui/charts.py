"""Charts as SVG images, drawn by pygal.

A chart is an image of its own, not part of the page: it has its own style sheet, which the page's policy would refuse.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import pygal
from flask import Response
from pygal.style import Style

from chronos_py.model.history import RunRecord
from chronos_py.ui.history import MARKS, run_time
from chronos_py.ui.i18n import gettext
from chronos_py.ui.text import duration, when
from chronos_py.ui.watch import Sample

# pygal leaves a finder for its plug-ins behind, of a form that makes Python warn at every import that fails.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

WIDTH, HEIGHT = 600, 230
WIDE = 1200  # of the chart of a job's runs, unless it is for a phone
LEAST = 20  # bars that a chart of runs has room for
POINTS = 120  # of a line
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
FILLS = {"s": "#2e9e4f", "f": "#d8362c", "k": "#e39a1b", "n": "#9aa5b3"}
_LIGHT = {"foreground": "#55606f", "foreground_strong": "#18212c", "foreground_subtle": "#d5dbe3"}
_DARK = {"foreground": "#a9b4c2", "foreground_strong": "#e5eaf1", "foreground_subtle": "#374252"}
_SCRIPT = re.compile(r"<script.*?</script>|<script[^>]*/>", re.DOTALL)
# A theme that follows the system has both sets of colours: the dark ones override by name.
_AUTO = """<style>@media (prefers-color-scheme: dark) {
text, .axis text { fill: #a9b4c2 !important }
.axis .line, .axis .guide.line, .guides path, .axis path { stroke: #374252 !important } }</style>"""


def _style(theme: str, colors: Sequence[str]) -> Style:
    colours = _DARK if theme == "dark" else _LIGHT
    return Style(
        background="transparent",
        plot_background="transparent",
        opacity=".95",
        colors=tuple(colors),
        font_family="system-ui, sans-serif",
        guide_stroke_color=colours["foreground_subtle"],
        major_guide_stroke_color=colours["foreground_subtle"],
        label_font_size=13,
        major_label_font_size=13,
        legend_font_size=14,
        no_data_font_size=16,
        **colours,
    )


def _options(theme: str, colors: Sequence[str], **more: Any) -> dict[str, Any]:
    return {
        "width": WIDTH, "height": HEIGHT, "js": (), "disable_xml_declaration": True, "style": _style(theme, colors),
        "margin": 4, "margin_right": 24, "truncate_label": -1, "no_data_text": gettext("nothing to show yet"),
        **more,
    }  # fmt: skip


def _some(labels: list[str], count: int) -> list[str]:
    """Return labels of which only every n-th is left, so that they do not touch."""
    step = max(1, -(-len(labels) // count))
    return [label if at % step == 0 else "" for at, label in enumerate(labels)]


def _answer(chart: Any, theme: str) -> Response:
    svg = _SCRIPT.sub("", chart.render())
    if theme == "auto":
        svg = svg.replace("</defs>", f"</defs>{_AUTO}", 1)
    response = Response(svg, content_type="image/svg+xml; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    return response


def runs_chart(rows: Sequence[RunRecord], theme: str, *, narrow: bool = False) -> Response:
    """Draw how long runs took, oldest first, coloured by result: a bar each; failures reach at least a little up."""
    ran = [row for row in rows if run_time(row) is not None]
    room = [None] * max(0, LEAST - len(ran))  # a few bars are no wider than many
    longest = max((run_time(row) or 0 for row in ran), default=0)
    chart = pygal.Bar(
        **_options(
            theme, [FILLS["s"]], width=420 if narrow else WIDE, show_legend=False, spacing=2, x_label_rotation=0,
            value_formatter=duration, range=(0, max(longest, 1)), y_labels_major_count=4, show_minor_y_labels=False,
        )
    )  # fmt: skip
    labels = [when(row.due, seconds=False)[5:] for row in ran]
    chart.x_labels = _some(labels + [""] * len(room), 3 if narrow else 8)
    chart.add(
        "",
        [
            {
                "value": max(run_time(row) or 0, longest / 60),
                "style": f"fill: {FILLS[MARKS[row.outcome]]}; stroke: none",
            }
            for row in ran
        ]
        + room,
    )
    return _answer(chart, theme)


def _thinned(samples: Sequence[Sample]) -> list[Sample]:
    step = max(1, -(-len(samples) // POINTS))
    return list(samples[::-1][::step])[::-1]


def _clock(samples: Sequence[Sample]) -> list[str]:
    """Return labels of a time axis: with seconds where minutes would be the same."""
    close = bool(samples) and samples[-1].at - samples[0].at < 10 * 60_000
    return _some([when(sample.at, seconds=close)[11:] for sample in samples], 6)


def use_chart(samples: Sequence[Sample], theme: str) -> Response:
    """Draw the share of cores and memory in use, in percent, over time."""
    kept = _thinned(samples)
    chart = pygal.Line(
        **_options(
            theme, ["#2b7de9", "#c2711a"], dots_size=1, stroke_style={"width": 2}, range=(0, 100),
            legend_at_bottom=True, x_label_rotation=0,
            value_formatter=lambda value: f"{value:.0f} %", y_labels=(0, 25, 50, 75, 100),
        )
    )  # fmt: skip
    chart.x_labels = _clock(kept)
    chart.add(gettext("Cores"), [100 * s.cpus / s.cpus_total if s.cpus_total else 0 for s in kept])
    chart.add(gettext("Memory"), [100 * s.mem / s.mem_total if s.mem_total else 0 for s in kept])
    return _answer(chart, theme)


def load_chart(samples: Sequence[Sample], theme: str) -> Response:
    """Draw how many runs ran and waited over time."""
    kept = _thinned(samples)
    most = max((max(s.running, s.waiting) for s in kept), default=0)
    chart = pygal.Line(
        **_options(
            theme, ["#2e9e4f", "#e39a1b"], dots_size=1, stroke_style={"width": 2}, range=(0, max(4, most)),
            legend_at_bottom=True, x_label_rotation=0, y_labels_major_count=4,
            show_minor_y_labels=False, value_formatter=lambda value: f"{value:.0f}",
        )
    )  # fmt: skip
    chart.x_labels = _clock(kept)
    chart.add(gettext("running"), [sample.running for sample in kept])
    chart.add(gettext("waiting"), [sample.waiting for sample in kept])
    return _answer(chart, theme)
