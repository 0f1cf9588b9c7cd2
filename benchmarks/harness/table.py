"""Plain tables: aligned for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from harness.record import Case

Row = Sequence[str]


def number(value: float | str) -> str:
    """As a person reads it: four digits at most, thousands apart."""
    if isinstance(value, str):
        return value
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def aligned(rows: Sequence[Row]) -> list[str]:
    """Lines with the first column to the left and all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown(rows: Sequence[Row]) -> list[str]:
    """The lines of a Markdown table; the first row is its head."""
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return [head, "|---" * len(rows[0]) + "|", *body]


def case_lines(case: Case) -> list[str]:
    """One case as it is printed: sides, then figures, then checks."""
    rows: list[Row] = [(case.title, case.unit, "lowest", "highest", f"x {case.reference}" if case.reference else "")]
    for name, rates in case.sides.items():
        times = f"{rates.over(case.sides[case.reference]).median:.2f}" if case.reference else ""
        values = (rates.median, min(rates.values), max(rates.values))
        rows.append((f"  {name}", *(number(value) for value in values), times))
    lines = aligned(rows) if case.sides else [case.title]
    lines += [f"  {name}: {number(value)}" for name, value in case.figures.items()]
    for name, (found, allowed) in case.checks.items():
        verdict = "" if found <= allowed else "  FAILED"
        lines.append(f"  check: {name}: {found:.2g} (at most {allowed:g}){verdict}")
    return lines
