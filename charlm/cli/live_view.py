"""The live view on a terminal: progress, losses, a small curve, a sample. Redrawn in place.

What is drawn is a pure function of the events so far and the size of the terminal; lines that do not
fit lose their last parts, a low terminal loses the sample first and then the curve.
"""

from __future__ import annotations

from collections.abc import Sequence

from charlm.cli.console import width_of
from charlm.cli.curve import curve
from charlm.cli.escape import escape, escape_line
from charlm.cli.figures import duration, figure, nats_unit
from charlm.cli.screen import Line, Screen
from charlm.cli.view import View, warning_line
from charlm.training.events import Evaluated, Event, LogFailed, RolledBack, Sampled, SaveFailed, Stepped, Stopped

# Losses kept for the curve; when there are more, neighbours are merged.
HISTORY = 512
CURVE_ROWS, WIDEST_CURVE, WIDEST_BAR = 4, 60, 60
SAMPLE_ROWS = 12
# One in so many losses is of the steep beginning.
STEEP = 20


class LiveView(View):
    """Progress, losses, curve and sample, about twice a second."""

    wants_samples = True

    def __init__(self, screen: Screen | None = None) -> None:
        self._title: list[str] = []
        self._stepped: Stepped | None = None
        self._evaluated: Evaluated | None = None
        self._best: float | None = None
        self._sample: Sampled | None = None
        self._warning = self._ending = ""
        self._history: list[float] = []
        self._screen = screen or Screen()

    def open(self, title: Sequence[str]) -> None:
        """Take the terminal."""
        self._title = [escape_line(part) for part in title]
        self._screen.open()

    def show(self, event: Event) -> None:
        """Take the event in and redraw."""
        if isinstance(event, Stepped):
            self._stepped = event
            self._remember(event.train_nats)
        elif isinstance(event, Evaluated):
            self._evaluated = event
            self._best = event.validation_nats if event.best else self._best
        elif isinstance(event, Sampled):
            self._sample = event
        elif isinstance(event, RolledBack | SaveFailed | LogFailed):
            self._warning = escape_line(warning_line(event))
        elif isinstance(event, Stopped):
            self._ending = escape_line(warning_line(event))
        else:
            return
        self._screen.draw(self.lines)

    def close(self) -> None:
        """Give the terminal back; the last picture stays."""
        self._screen.close()

    def lines(self, width: int, height: int) -> list[Line]:
        """The picture for a terminal of this size."""
        shown: list[Line] = [[(fitting(self._title, width, " · "), "bold")]]
        if self._stepped is not None:
            shown += [_bar(self._stepped, width), _pace(self._stepped, width), _training(self._stepped, width)]
        if self._evaluated is not None:
            shown.append(_validation(self._evaluated, self._best, width))
        if self._warning:
            shown.append([(self._warning, "yellow")])
        if self._ending:
            shown.append([(self._ending, "dim")])
        if height - len(shown) > CURVE_ROWS and len(self._history) > 1:
            shown += _curve(self._history, width)
        free = height - len(shown) - 2
        if self._sample is not None and free >= 4:
            shown += _sample(self._sample, width, min(free - 2, SAMPLE_ROWS))
        return shown

    def _remember(self, nats: float) -> None:
        if nats != nats or nats in (float("inf"), float("-inf")):
            return
        self._history.append(nats)
        if len(self._history) > HISTORY:
            pairs = zip(self._history[::2], self._history[1::2], strict=False)
            self._history = [(first + second) / 2 for first, second in pairs]


def fitting(parts: Sequence[str], width: int, gap: str = "  ") -> str:
    """As many of `parts` as fit in `width` columns, from the first."""
    text = parts[0]
    for part in parts[1:]:
        if width_of(text) + len(gap) + width_of(part) > width:
            break
        text += gap + part
    return text


def _bar(event: Stepped, width: int) -> Line:
    share = min(1.0, event.step / event.steps_planned) if event.steps_planned else 0.0
    figures = fitting([f"{100 * share:3.0f} %", f"{event.step:,} of {event.steps_planned:,} steps"], width - 12)
    room = max(1, min(WIDEST_BAR, width - len(figures) - 2))
    done = round(share * room)
    return [("━" * done, "green"), ("─" * (room - done), "dim"), (f"  {figures}", "")]


def _pace(event: Stepped, width: int) -> Line:
    parts = [
        f"{duration(event.seconds_left)} left",
        f"{event.characters_per_second:,.0f} characters/s",
        f"{event.epoch:.2f} passes",
        f"rate {event.learning_rate:.2g}",
        f"{duration(event.seconds)} gone",
    ]
    return [(fitting(parts, width), "dim")]


def _training(event: Stepped, width: int) -> Line:
    parts = [f"{figure(event.train_nats)} nats", f"gradient {event.gradient_norm:.2g}"]
    return [(_label("train", width), ""), (fitting(parts, width - 12), "")]


def _validation(event: Evaluated, best: float | None, width: int) -> Line:
    parts = [
        f"{figure(event.validation_nats)} {nats_unit(event.validation_nats, event.bits_per_character)}",
        f"perplexity {figure(event.perplexity)}",
        f"{figure(event.bits_per_character)} bits/character",
        "best so far" if event.best else f"best {figure(best)}",
    ]
    return [(_label("validation", width), ""), (fitting(parts, width - 12), "bold")]


def _label(word: str, width: int) -> str:
    return f"{word:<12}" if width >= 30 else f"{word[:5]:<6}"


def _curve(history: Sequence[float], width: int) -> list[Line]:
    room = min(WIDEST_CURVE, width - 12)
    if room < 8:
        return []
    # the first losses of all are so high that what follows would be one flat line: they touch the upper edge
    highest = max(history[len(history) // STEEP :])
    rows = curve([min(loss, highest) for loss in history], room, CURVE_ROWS)
    labels = [figure(highest)] + [""] * (len(rows) - 2) + [figure(min(history))]
    return [[(f"{label:>10}  ", "dim"), (row, "cyan")] for label, row in zip(labels, rows, strict=True)]


def _sample(event: Sampled, width: int, rows: int) -> list[Line]:
    lines = escape(event.text).expandtabs(4).split("\n")
    shown: list[Line] = [[("", "")], [(fitting([f"sample at step {event.step:,}"], width), "dim")]]
    return shown + [[("  " + line, "")] for line in lines[:rows]]
