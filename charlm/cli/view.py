"""How a training is watched: one view for each kind of onlooker."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from charlm.cli import console
from charlm.cli.facts import Fact, fact_lines, width_for
from charlm.cli.figures import duration, figure, nats_unit
from charlm.training.events import Evaluated, Event, LogFailed, RolledBack, Sampled, SaveFailed, Stepped, Stopped

# The reasons of `Stopped`, in words.
ENDINGS = {
    "steps": "all steps are done",
    "epochs": "all passes are done",
    "minutes": "the time is up",
    "patience": "no improvement for as many evaluations as --patience allows",
    "interrupted": "asked to stop",
    "diverged": "it diverged",
}
# Seconds of training between two plain lines.
PLAIN_INTERVAL = 5.0


class View(ABC):
    """Shows the events of a training as they come.

    Attributes:
        wants_samples: whether short texts of the model are worth their time here.
    """

    wants_samples: ClassVar[bool] = False

    def open(self, title: Sequence[str]) -> None:  # noqa: B027 - nothing to open in most views
        """Begin; `title` says what is trained, most important part first."""

    @abstractmethod
    def show(self, event: Event) -> None:
        """Show one event."""

    def close(self) -> None:  # noqa: B027
        """Give the terminal back. Called at the end, however it came."""

    def notice(self, text: str) -> None:
        """Say something from before the first step."""
        console.note(text)

    def end(self, facts: Sequence[Fact]) -> None:
        """Say what came out: what was saved, how good it is, what to type next."""
        console.note("\n".join(["", *fact_lines(facts, width_for(sys.stderr))]))

    def end_record(self, record: Mapping[str, Any]) -> None:  # noqa: B027
        """The same for a program."""


class QuietView(View):
    """Nothing at all; errors still go to standard error."""

    def notice(self, text: str) -> None:
        """Say nothing."""

    def show(self, event: Event) -> None:
        """Show nothing."""

    def end(self, facts: Sequence[Fact]) -> None:
        """Say nothing."""


class JsonView(QuietView):
    """One line of JSON for each event, on standard output."""

    wants_samples = True

    def notice(self, text: str) -> None:
        """Write a record of kind ``notice``."""
        console.print_json({"kind": "notice", "text": text})

    def show(self, event: Event) -> None:
        """Write the event's record."""
        console.print_json(event.to_record())

    def end_record(self, record: Mapping[str, Any]) -> None:
        """Write the summary's record."""
        console.print_json(record)


class PlainView(View):
    """A line every few seconds and one for each evaluation, for pipes, logs and simple terminals."""

    def __init__(self) -> None:
        self._told = float("-inf")

    def open(self, title: Sequence[str]) -> None:
        """Say what is trained."""
        console.note(" · ".join(title))

    def show(self, event: Event) -> None:
        """Write a line, if it is time for one."""
        if isinstance(event, Stepped):
            if event.seconds - self._told < PLAIN_INTERVAL:
                return
            self._told = event.seconds
        text = plain_line(event)
        if text:
            (console.note_as_it_is if isinstance(event, Sampled) else console.note)(text)


def plain_line(event: Event) -> str:
    """One event in one line; empty for what a log need not hold."""
    if isinstance(event, Stepped):
        return (
            f"step {event.step:,} of {event.steps_planned:,}  epoch {event.epoch:.2f}"
            f"  train {figure(event.train_nats)}  {event.characters_per_second:,.0f} characters/s"
            f"  {duration(event.seconds_left)} left"
        )
    if isinstance(event, Evaluated):
        return (
            f"step {event.step:,}  validation {figure(event.validation_nats)}"
            f" {nats_unit(event.validation_nats, event.bits_per_character)}"
            f"  perplexity {figure(event.perplexity)}  {figure(event.bits_per_character)} bits/character"
            + ("  best so far" if event.best else "")
        )
    if isinstance(event, Sampled):
        return "\n".join(f"    | {line}" for line in event.text.split("\n"))
    return warning_line(event)


def warning_line(event: Event) -> str:
    """The line of an event that nobody should miss; empty for others."""
    if isinstance(event, SaveFailed | LogFailed):
        return f"step {event.step:,}  {event.reason}"
    if isinstance(event, RolledBack):
        return (
            f"back to step {event.step:,}: {event.reason}; the learning rate is halved from here on,"
            f" {event.retries_left} more {'try' if event.retries_left == 1 else 'tries'}"
        )
    if isinstance(event, Stopped):
        return (
            f"ended at step {event.step:,} after {duration(event.seconds)}: {ENDINGS.get(event.reason, event.reason)}"
        )
    return ""


def choose_view(*, json: bool, quiet: bool) -> View:
    """The view for the flags given and the terminal there is."""
    from charlm.cli.live_view import LiveView

    views: dict[str, type[View]] = {"json": JsonView, "quiet": QuietView, "live": LiveView, "plain": PlainView}
    name = "json" if json else "quiet" if quiet else "live" if console.is_smart_terminal(sys.stderr) else "plain"
    return views[name]()
