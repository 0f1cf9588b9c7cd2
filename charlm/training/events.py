"""What a training tells the outside: one frozen value per thing that happened.

`to_record()` of the events that have a `kind` gives the line of `metrics.jsonl`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of the events: where training stands when it happened.

    Attributes:
        step: optimiser steps applied so far.
        epoch: passes over the training split so far, a fraction.
        characters: characters of training text seen so far.
        seconds: time spent training so far, over all sittings of this run.
    """

    kind: ClassVar[str]

    step: int
    epoch: float
    characters: int
    seconds: float

    def to_record(self) -> dict[str, Any]:
        """A JSON-ready mapping: `kind` and every field; non-finite numbers become None."""
        record: dict[str, Any] = {"kind": self.kind}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                value = None
            record[field.name] = str(value) if isinstance(value, Path) else value
        return record


@dataclass(frozen=True, kw_only=True)
class Stepped(Event):
    """Some steps were done since the last such event (about twice a second).

    Attributes:
        steps_planned: where the schedule ends, as far as known now.
        seconds_left: estimated time to the last step.
        train_nats: mean training loss per token, smoothed over some fifty steps.
        gradient_norm: of all that is clipped, before that, in the last step.
    """

    kind: ClassVar[str] = "train"

    steps_planned: int
    seconds_left: float
    characters_per_second: float
    learning_rate: float
    gradient_norm: float
    train_nats: float


@dataclass(frozen=True, kw_only=True)
class Evaluated(Event):
    """The validation split was scored (stream protocol).

    Attributes:
        train_nats: smoothed training loss per token, with dropout on.
        validation_nats: loss per token.
        perplexity: exp of `validation_nats`.
        bits_per_character: of the validation split.
        best: whether this is the best so far.
    """

    kind: ClassVar[str] = "evaluate"

    train_nats: float
    validation_nats: float
    perplexity: float
    bits_per_character: float
    best: bool


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """A checkpoint is on disk, verified. `checkpoint` is its folder."""

    kind: ClassVar[str] = "save"

    checkpoint: Path
    best: bool


@dataclass(frozen=True, kw_only=True)
class SaveFailed(Event):
    """A checkpoint could not be written; the next interval tries again. `reason` is one line."""

    kind: ClassVar[str] = "save"

    reason: str


@dataclass(frozen=True, kw_only=True)
class LogFailed(Event):
    """A record could not be written, and others may be missing too; told once. `reason` is one line."""

    kind: ClassVar[str] = "log"

    reason: str


@dataclass(frozen=True, kw_only=True)
class Sampled(Event):
    """A short text of the model as it is now. Shown, not recorded."""

    kind: ClassVar[str] = "sample"

    text: str


@dataclass(frozen=True, kw_only=True)
class RolledBack(Event):
    """The loss left the rails; weights are those of step `step` again and the rate is halved."""

    kind: ClassVar[str] = "rollback"

    reason: str
    learning_rate: float
    retries_left: int


@dataclass(frozen=True, kw_only=True)
class Stopped(Event):
    """Training is over. `reason`: steps, minutes, epochs, patience, interrupted, diverged, or paused by a sweep."""

    kind: ClassVar[str] = "stop"

    reason: str
    validation_nats: float | None
    checkpoint: Path | None
