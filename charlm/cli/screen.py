"""A part of the terminal that is redrawn in place. The only file that imports rich."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from charlm.cli import console

# One line of the screen: pieces of plain text, each with a style in rich's words ("bold", "green", "").
Line = Sequence[tuple[str, str]]
# Draws the lines for so many columns and rows.
Draw = Callable[[int, int], list[Line]]


class Screen:
    """Lines on standard error, redrawn in place and cut to the terminal's width and height as it is now."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, markup=False, emoji=False, highlight=False, soft_wrap=False)
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._gone = False

    def open(self) -> None:
        """Take the terminal; `close` gives it back."""
        self._while_it_is_there(self._live.start)

    def draw(self, draw: Draw) -> None:
        """Replace what is shown."""
        self._while_it_is_there(lambda: self._draw(draw))

    def close(self) -> None:
        """Leave the last picture standing and give the terminal back."""
        self._while_it_is_there(self._live.stop)

    def _while_it_is_there(self, action: Callable[[], None]) -> None:
        """A terminal that somebody closed is no reason to end what was shown on it: that may have to be saved yet."""
        if not self._gone:
            try:
                action()
            except OSError:
                self._gone = True
                console.discard_output(sys.stderr)

    def _draw(self, draw: Draw) -> None:
        width, height = self._console.size
        # the last column stays free: some terminals wrap when it is written
        lines = draw(max(1, width - 1), height)[: max(1, height - 1)]
        self._live.update(Text("\n", no_wrap=True).join([self.text(line, width - 1) for line in lines]), refresh=True)

    @staticmethod
    def text(line: Line, width: int) -> Text:
        """A line of so many columns at most, as it is drawn."""
        text = Text(no_wrap=True, end="")
        for piece, style in line:
            text.append(piece, style=style)
        text.truncate(max(1, width), overflow="ellipsis")
        return text
