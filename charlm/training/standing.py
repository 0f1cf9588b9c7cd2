"""What a trainer remembers beside the learner; saved with every checkpoint."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True)
class Standing:
    """Where a training stands.

    Attributes:
        best_nats: lowest validation loss per token so far; infinite before the first.
        evaluations: how many of the evaluations that the pace spreads over the training are done.
        without_improvement: evaluations since the best one.
        rate_scale: what rollbacks and plateaus have made of the learning rate.
        rollbacks: how often it went back.
        seconds: training time before this sitting; in a checkpoint, until then.
        first_step: seconds of training time that were over when the first step began.
        reserve: seconds of a time budget that the last scoring needs, as far as known.
        evaluated_symbols: how many symbols each evaluation reads, always the same ones; 0 before the first.
    """

    best_nats: float = math.inf
    evaluations: int = 0
    without_improvement: int = 0
    rate_scale: float = 1.0
    rollbacks: int = 0
    seconds: float = 0.0
    first_step: float = 0.0
    reserve: float = 0.0
    evaluated_symbols: int = 0

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; infinity as None."""
        values = dataclasses.asdict(self)
        return values | {"best_nats": self.best_nats if math.isfinite(self.best_nats) else None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Standing:
        """What `to_json` gave. Raises `TypeError` or `KeyError` where it is not that."""
        best = values["best_nats"]
        return cls(**{**values, "best_nats": math.inf if best is None else best})
