"""Surprisals on their way out: lines of JSON, or a text in colours on a terminal."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from charlm.cli import console
from charlm.cli.escape import to_json_line
from charlm.cli.whole_file import written

if TYPE_CHECKING:
    from charlm.evaluation.surprisal import Surprisal

# Up to so many bits, in this rendition: faint, plain, yellow, magenta, red, red and reversed.
STYLES = ((0.5, "2"), (2.0, ""), (4.0, "33"), (6.0, "35"), (9.0, "31"), (math.inf, "31;7"))


@contextmanager
def writing_surprisals(target: str | None) -> Iterator[Callable[[Surprisal], None] | None]:
    """What to call with each symbol while in here; None where nothing is asked for.

    Args:
        target: a file that is not there yet; ``-`` for standard output.

    Raises:
        OutputError: the file is there already, or cannot be written.
    """
    if target is None:
        yield None
    elif target == "-":
        out = console.DataWriter()
        if console.has_colours(sys.stdout):
            coloured = ColouredText(out)
            yield coloured.show
            coloured.end()
        else:
            yield lambda symbol: out.write(line_of(symbol))
            console.flush()
    else:
        with written(target, text=True, remedy="give --surprisal another name, or remove it") as file:
            yield partial(_write, file)


def line_of(symbol: Surprisal) -> str:
    """``{"position": 7, "text": "e", "nats": 0.31}`` and the end of the line."""
    return to_json_line(dataclasses.asdict(symbol)) + "\n"


class ColouredText:
    """A text whose characters are the more striking the less they were expected."""

    def __init__(self, out: console.DataWriter) -> None:
        self._out = out
        self._nats, self._text, self._style = 0.0, "", ""

    def show(self, symbol: Surprisal) -> None:
        """The next symbol. Characters of one style are written together."""
        self._nats += symbol.nats or 0.0
        if not symbol.text:  # a part of a character: its nats count for the whole
            return
        style = "" if symbol.nats is None else style_of(self._nats)
        if style != self._style or self._text.endswith("\n"):
            self._out.write(self._text, self._style)
            self._text, self._style = "", style
        self._text += symbol.text
        self._nats = 0.0

    def end(self) -> None:
        """The rest, and what the colours mean."""
        self._out.write(self._text, self._style)
        self._out.write("\n\nbits  ")
        for most, style in STYLES:
            self._out.write("more" if math.isinf(most) else f"to {most:g}", style)
            self._out.write("  ")
        self._out.write("\n\n")


def style_of(nats: float) -> str:
    """The rendition for a surprise; that of the greatest for one that is no number."""
    bits = nats / math.log(2)
    return next((style for most, style in STYLES if bits <= most), STYLES[-1][1])


def _write(file: BinaryIO, symbol: Surprisal) -> None:
    file.write(line_of(symbol).encode("utf-8"))
