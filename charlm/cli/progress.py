"""Progress of fetching, reading and encoding, on standard error: a bar on a terminal, a line in a pipe."""

from __future__ import annotations

import sys
import time

from charlm.cli import console
from charlm.cli.escape import escape_line

# Seconds between two pictures of a bar; what is over sooner shows none.
INTERVAL = 0.1
BAR = 24


class BarProgress:
    """One line, redrawn in place and wiped when its work is done."""

    def __init__(self) -> None:
        self._what, self._total, self._done, self._drawn = "", 0, 0, 0.0

    def start(self, what: str, total: int | None) -> None:
        """A piece of work begins; `total` in bytes or characters, None when unknown."""
        self._what, self._total, self._done = escape_line(what), total or 0, 0
        self._drawn = time.monotonic()
        if total is None:  # nobody knows how long: it may be the only picture
            self._draw()

    def advance(self, n: int) -> None:
        """`n` more are done."""
        self._done += n
        if not self._what:
            return
        now = time.monotonic()
        if now - self._drawn >= INTERVAL:
            self._drawn = now
            self._draw()

    def finish(self) -> None:
        """The work is done: wipe the line."""
        self._what = ""
        console.Bar.wipe()

    def _draw(self) -> None:
        columns = console.terminal_width(sys.stderr) - 1
        text = f"{self._what}  {self._done:,}" if self._done else self._what
        if self._total:
            share = min(1.0, self._done / self._total)
            done = round(BAR * share)
            text = f"{100 * share:3.0f} %  {'━' * done}{'─' * (BAR - done)}  {text}"
            if console.width_of(text) > columns:
                text = f"{100 * share:3.0f} %  {self._what}"
        console.Bar.show(console.cut(text, columns))


class LineProgress:
    """One line when a piece of work begins."""

    def start(self, what: str, total: int | None) -> None:
        """Say what begins."""
        console.note(what)

    def advance(self, n: int) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""


class NoProgress(LineProgress):
    """Silence."""

    def start(self, what: str, total: int | None) -> None:
        """Say nothing."""


def choose_progress(*, quiet: bool = False) -> BarProgress | LineProgress:
    """A bar where a line can be redrawn, lines where not, silence when asked for."""
    if quiet:
        return NoProgress()
    return BarProgress() if console.is_smart_terminal(sys.stderr) else LineProgress()


def note_compiling() -> None:
    """Say why nothing happens for a while."""
    console.note("compiling for this processor: some seconds, once")
