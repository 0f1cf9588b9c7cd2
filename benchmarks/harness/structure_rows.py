"""The table of what `structure.py` found: a row for each measure, a column for each side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.table import markdown, number


def by_measure(found: Mapping[str, Any]) -> list[str]:
    """A row for each measure of each case; figures are named ``SIDE, MEASURE``."""
    names = [name for case in found["cases"].values() for name in case["figures"]]
    sides = list(dict.fromkeys(name.partition(", ")[0] for name in names))
    rows = [["", "", *sides]]
    for case in found["cases"].values():
        figures = case["figures"]
        for at, measure in enumerate(dict.fromkeys(name.partition(", ")[2] for name in figures)):
            values = [number(figures[f"{side}, {measure}"]) for side in sides]
            rows.append(["" if at else case["title"], measure, *values])
    return markdown(rows)
