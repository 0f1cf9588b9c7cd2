"""Tables of waits, as the page has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.table import markdown

SLOWEST = 10
HEAD = ("wait", "before, s", "now, s", "now / before")


def slowest_first(found: Mapping[str, Any]) -> list[str]:
    """A row for each wait, that which was longest before first; below the tenth a table of its own."""
    rows = []
    for case in found["cases"].values():
        before, now = case["sides"].get("before"), case["sides"]["now"]
        shown = ("–", seconds(now), "–") if before is None else (seconds(before), seconds(now), f"{now['times']:.2f}")
        rows.append(((before or now)["median"], (case["title"], *shown)))
    ordered = [row for _, row in sorted(rows, key=lambda row: -row[0])]
    rest = ["", "The rest:", "", *markdown([HEAD, *ordered[SLOWEST:]])] if ordered[SLOWEST:] else []
    return [*markdown([HEAD, *ordered[:SLOWEST]]), *rest]


def seconds(side: Mapping[str, Any]) -> str:
    """Two decimals; three below a tenth of a second."""
    return f"{side['median']:.2f}" if side["median"] >= 0.095 else f"{side['median']:.3f}"
