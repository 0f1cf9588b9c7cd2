"""Where what a trainer gives out goes: a run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from charlm.config import Config
from charlm.errors import OutputError
from charlm.runs import Run
from charlm.training.events import Evaluated, Event, Sampled
from charlm.training.learner import Capture
from charlm.training.machine import Machine


class Keeper(Protocol):
    """Where checkpoints and the log of events go; a run folder.

    Attributes:
        trouble: why an event could not be logged, the first time that happened.
    """

    trouble: str | None

    def save_capture(self, capture: Capture, *, best: bool) -> Path:
        """Write a checkpoint, or raise `OutputError`."""

    def record(self, event: Event) -> None:
        """Append to the log."""


class Saves:
    """The checkpoints of a sitting.

    Attributes:
        checkpoint: the last one that was written.
        step: at which training was saved last, or was begun from.
        trouble: why the newest could not be written.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.checkpoint: Path | None = None
        self.step: int | None = None
        self.trouble: OutputError | None = None

    def save(self, capture: Capture, *, best: bool) -> Path | None:
        """Write a checkpoint; None where that failed, and `trouble` says why."""
        try:
            self.checkpoint = self._keeper.save_capture(capture, best=best)
        except OutputError as error:
            self.trouble = error
            return None
        self.trouble, self.step = None, capture.progress["steps"]
        return self.checkpoint


class RunKeeper:
    """Puts a trainer's checkpoints and events into a run folder.

    Attributes:
        trouble: why an event could not be logged, the first time that happened.
    """

    def __init__(self, run: Run, config: Config, machine: Machine, figures: Mapping[str, Any]) -> None:
        """`figures`: those of the last evaluation, of a run that is resumed."""
        self.run, self.config = run, config
        # what a resumed run must know beside what the trainer remembers: the settings of this
        # sitting, and what `auto` became on this machine
        self.sitting = {"training": config.to_json()["training"], "machine": machine.to_json()}
        self._figures = dict(figures)
        self.trouble: str | None = None

    def save_capture(self, capture: Capture, *, best: bool) -> Path:
        """Write a checkpoint, or raise `OutputError`."""
        figures = self._figures | {"characters": capture.progress["characters"]}
        return self.run.save(
            capture.progress["steps"],
            weights=capture.weights,
            training=capture.training,
            progress=capture.progress | self.sitting | {"figures": self._figures},
            best=best,
            keep=self.config.training.keep,
            figures=figures,
        )

    def record(self, event: Event) -> None:
        """Append to metrics.jsonl; samples are shown, not recorded."""
        if isinstance(event, Evaluated):
            self._figures = {
                "validation_nats": _finite(event.validation_nats),
                "bits_per_character": _finite(event.bits_per_character),
            }
        if isinstance(event, Sampled):
            return
        try:
            self.run.append_metrics(event.to_record())
        except OutputError as error:
            # a log that cannot be written is no reason to end a training
            self.trouble = self.trouble or str(error)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
