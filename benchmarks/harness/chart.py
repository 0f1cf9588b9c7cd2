"""Bars, as an SVG file: a panel for each case, charlm's sides in colour, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from harness.table import number

COLUMNS, PANEL, GAP, MARGIN = 2, 440, 28, 24
TITLE, BAR, PITCH = 34, 14, 22
LABEL, VALUE = 180, 112
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-weight: 600 } .value { fill: #59636e }
  .card { fill: #ffffff; stroke: #d1d9e0 } .other { fill: #afb8c1 } .own { fill: #0969da } .base { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .value { fill: #9198a1 }
    .card { fill: #151b23; stroke: #3d444d } .other { fill: #59636e } .own { fill: #4493f8 } .base { stroke: #3d444d }
  }
"""


def bars(results: Mapping[str, Any], what: str) -> str:
    """The chart of a program's cases that have sides; `what` is for those who cannot see it."""
    cases = [case for case in results.get("cases", {}).values() if case["sides"]]
    if not cases:
        # a page shows the chart before anything was measured, too
        cases = [{"title": "Not measured yet", "sides": {}}]
    heights = [TITLE + PITCH * len(case["sides"]) for case in cases]
    rows = [max(heights[at : at + COLUMNS]) for at in range(0, len(cases), COLUMNS)]
    width = 2 * MARGIN + COLUMNS * PANEL + (COLUMNS - 1) * GAP
    height = 2 * MARGIN + sum(rows) + GAP * max(0, len(rows) - 1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{escape(what)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
    ]
    top = MARGIN
    for row, tallest in enumerate(rows):
        for column, case in enumerate(cases[row * COLUMNS : (row + 1) * COLUMNS]):
            lines += _panel(case, MARGIN + column * (PANEL + GAP), top)
        top += tallest + GAP
    return "\n".join([*lines, "</svg>"]) + "\n"


def _panel(case: Mapping[str, Any], left: int, top: int) -> list[str]:
    """Title, and a bar for each side, all on one scale from zero."""
    lines = [f'<text class="title" x="{left}" y="{top + 13}">{escape(case["title"])}</text>']
    most = max((side["median"] for side in case["sides"].values()), default=1.0)
    room = PANEL - LABEL - VALUE
    for at, (name, side) in enumerate(case["sides"].items()):
        y = top + TITLE + PITCH * at
        length = max(1.0, room * side["median"] / most)
        kind = "own" if name.startswith("charlm") else "other"
        lines += [
            f'<text x="{left + LABEL - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{left + LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
            f'<text class="value" x="{left + LABEL + length + 6:.1f}" y="{y + 11}">{_value(side)}</text>',
        ]
    if not case["sides"]:
        return lines
    bottom = top + TITLE + PITCH * len(case["sides"]) - PITCH + BAR + 2
    x = left + LABEL
    return [*lines, f'<line class="base" x1="{x}" y1="{top + TITLE - 4}" x2="{x}" y2="{bottom}"/>']


def _value(side: Mapping[str, Any]) -> str:
    times = f" · {side['times']:.1f}x" if "times" in side else ""
    return f"{number(side['median'])}{times}"
