"""Named facts in two columns, folded to the width of a terminal; in a pipe each stays on its line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from charlm.cli import console
from charlm.cli.escape import escape_line

# Of name and text; an empty name goes on with the fact before it.
Fact = tuple[str, str]

NAME_WIDTH = 12
# Below this many columns a fact's text begins on a line of its own.
NARROW = 40


def fact_lines(facts: Iterable[Fact], width: int | None) -> list[str]:
    """The facts as lines of at most `width` columns where words allow it; None for no limit."""
    lines: list[str] = []
    for name, text in facts:
        text = escape_line(text)
        if width is None or not text:
            lines.append(f"{name:<{NAME_WIDTH}}{text}".rstrip())
        elif width < NARROW:
            lines += [name] if name else []
            lines += [f"  {line}" for line in console.folded(text, width - 2)]
        else:
            first, *rest = console.folded(text, width - NAME_WIDTH)
            lines.append(f"{name:<{NAME_WIDTH}}{first}")
            lines += [f"{'':<{NAME_WIDTH}}{line}" for line in rest]
    return lines


def print_facts(facts: Iterable[Fact]) -> None:
    """Write facts to standard output."""
    for line in fact_lines(facts, width_for(sys.stdout)):
        console.print_line(line)


def width_for(stream: TextIO | None) -> int | None:
    """How wide lines on `stream` may be; None where nobody looks."""
    return console.terminal_width(stream) if console.is_terminal(stream) else None
