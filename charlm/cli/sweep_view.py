"""How a sweep is watched: the training that runs now, under the best trials so far; or a line for each trial."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from charlm.cli import console
from charlm.cli.escape import escape_line
from charlm.cli.figures import duration, figure
from charlm.cli.live_view import LiveView, fitting
from charlm.cli.screen import Draw, Line, Screen
from charlm.cli.training_run import title_of
from charlm.cli.view import warning_line
from charlm.config.ranges import shown_value
from charlm.plurals import counted
from charlm.sweeps import Outcome, Sweep
from charlm.sweeps.events import RungBegan, SweepEvent, TrialBegan, TrialEnded, TrialEvent
from charlm.training.events import LogFailed, RolledBack, SaveFailed

# Trials shown above the one that runs.
BEST_SHOWN = 3


class SweepView(ABC):
    """Shows the events of a sweep as they come."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep

    def open(self) -> None:  # noqa: B027 - nothing to open in most views
        """Begin."""

    @abstractmethod
    def show(self, event: SweepEvent) -> None:
        """Show one event."""

    def close(self) -> None:  # noqa: B027
        """Give the terminal back. Called at the end, however it came."""


class QuietSweepView(SweepView):
    """Nothing at all."""

    def show(self, event: SweepEvent) -> None:
        """Show nothing."""


class JsonSweepView(SweepView):
    """A line of JSON for each trial and rung, on standard output."""

    def show(self, event: SweepEvent) -> None:
        """Write the record of an outcome."""
        if isinstance(event, TrialEnded):
            console.print_json(event.outcome.to_record())


class PlainSweepView(SweepView):
    """A line when a rung or a trial begins and when a trial ends, for pipes, logs and simple terminals."""

    def show(self, event: SweepEvent) -> None:
        """Write a line, if there is one."""
        text = plain_line(event, self.sweep)
        if text:
            console.note(text)


class LiveSweepView(SweepView):
    """The training that runs now, as `charlm train` shows it, under the state of the sweep."""

    def __init__(self, sweep: Sweep) -> None:
        super().__init__(sweep)
        self._screen = Screen()
        self._rung: RungBegan | None = None
        self._trial: TrialBegan | None = None
        self._training: LiveView | None = None

    def open(self) -> None:
        """Take the terminal."""
        self._screen.open()

    def show(self, event: SweepEvent) -> None:
        """Take the event in and redraw."""
        if isinstance(event, RungBegan):
            self._rung, self._trial, self._training = event, None, None
        elif isinstance(event, TrialBegan):
            self._trial, self._training = event, LiveView(_Below(self._screen, self.lines))
            self._training.open([values_of(self.sweep.search.trials[event.trial - 1]), *title_of(event.training)])
        elif isinstance(event, TrialEvent) and self._training is not None:
            self._training.show(event.event)
            return
        self._screen.draw(self.lines)

    def close(self) -> None:
        """Give the terminal back; the last picture stays."""
        self._screen.close()

    def lines(self, width: int, height: int) -> list[Line]:
        """The state of the sweep, for a terminal of this size: where it is, and the best so far."""
        shown: list[Line] = [[(fitting(_place(self.sweep, self._rung, self._trial), width, " · "), "bold")]]
        best = [one for one in self.sweep.ranking() if one.status == "trained"]
        # the training below has the first say in a low terminal
        shown += [[(escape_line(outcome_line(one)), "dim")] for one in best[: min(BEST_SHOWN, max(0, height - 12))]]
        return [*shown, [("", "")]]


class _Below(Screen):
    """The part of a screen under other lines."""

    def __init__(self, screen: Screen, above: Draw) -> None:
        self._whole, self._above = screen, above

    def open(self) -> None:
        """The whole screen is open."""

    def close(self) -> None:
        """The whole screen is closed by who opened it."""

    def draw(self, draw: Draw) -> None:
        """Draw both parts."""

        def both(width: int, height: int) -> list[Line]:
            above = self._above(width, height)
            return above + draw(width, height - len(above))

        self._whole.draw(both)


def plain_line(event: SweepEvent, sweep: Sweep) -> str:
    """One event in one line; empty for what a log need not hold."""
    if isinstance(event, RungBegan):
        rungs, count = len(sweep.search.plan.ends), len(event.trials)
        return f"rung {event.rung} of {rungs}: {counted(count, 'trial')} to {end_of(sweep, event.end)}"
    if isinstance(event, TrialBegan):
        return f"  trial {event.trial}: {values_of(sweep.search.trials[event.trial - 1])}"
    if isinstance(event, TrialEnded):
        return f"  {outcome_line(event.outcome)}"
    if isinstance(event, TrialEvent) and isinstance(event.event, RolledBack | SaveFailed | LogFailed):
        return f"    {warning_line(event.event)}"
    return ""


def outcome_line(outcome: Outcome) -> str:
    """How a trial stands: ``trial 4  1.732 nats  0:28  dropout=0.2 learning_rate=0.003``."""
    result = f"{figure(outcome.nats_per_character)} nats"
    if outcome.status != "trained":
        result = f"{outcome.status} ({outcome.reason})"
    return f"trial {outcome.trial}  {result}  {duration(outcome.seconds)}  {values_of(outcome.values)}"


def values_of(values: Mapping[str, Any]) -> str:
    """A trial's own settings: ``dropout=0.2 learning_rate=0.003``."""
    return " ".join(f"{name}={shown_value(value)}" for name, value in values.items())


def end_of(sweep: Sweep, end: float) -> str:
    """``0.48 minutes``, ``1,000 steps``."""
    unit = sweep.search.plan.unit
    return f"{end:,.0f} {unit}" if unit == "steps" else f"{end:.3g} {unit}"


def _place(sweep: Sweep, rung: RungBegan | None, trial: TrialBegan | None) -> list[str]:
    parts = [escape_line(sweep.folder.name)]
    if rung is not None:
        parts.append(f"rung {rung.rung} of {len(sweep.search.plan.ends)}, to {end_of(sweep, rung.end)}")
    if rung is not None and trial is not None:
        parts.append(f"trial {trial.place} of {len(rung.trials)}")
    return parts


def choose_sweep_view(sweep: Sweep, *, json: bool, quiet: bool) -> SweepView:
    """The view for the flags given and the terminal there is."""
    views: dict[str, type[SweepView]] = {
        "json": JsonSweepView,
        "quiet": QuietSweepView,
        "live": LiveSweepView,
        "plain": PlainSweepView,
    }
    name = "json" if json else "quiet" if quiet else "live" if console.is_smart_terminal(sys.stderr) else "plain"
    return views[name](sweep)
