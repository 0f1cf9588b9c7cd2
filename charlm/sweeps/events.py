"""What a sweep tells the outside: one frozen value per thing that happened."""

from __future__ import annotations

from dataclasses import dataclass

from charlm.sweeps.folder import Outcome
from charlm.training import Training
from charlm.training.events import Event


@dataclass(frozen=True, kw_only=True)
class SweepEvent:
    """Base of the events of a sweep."""


@dataclass(frozen=True, kw_only=True)
class RungBegan(SweepEvent):
    """A rung begins, or goes on: `trials` of it, by number, are trained as far as `end`. `rung` is from 1."""

    rung: int
    trials: tuple[int, ...]
    end: float


@dataclass(frozen=True, kw_only=True)
class TrialBegan(SweepEvent):
    """A trial is ready to train, anew or from where it was. `place` is its place in the rung, from 1."""

    trial: int
    rung: int
    place: int
    training: Training


@dataclass(frozen=True, kw_only=True)
class TrialEvent(SweepEvent):
    """Something happened in a trial's training."""

    event: Event


@dataclass(frozen=True, kw_only=True)
class TrialEnded(SweepEvent):
    """A trial has come to its rung's end, was scored, and stands in the results."""

    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class SweepEnded(SweepEvent):
    """The sweep is over, or was asked to stop and can be resumed."""

    interrupted: bool
