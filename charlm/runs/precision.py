"""What coarser number formats cost a checkpoint in loss: a fact of its run, measured when the training ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

FACT = "precision"


def precision_fact(step: int, nats: Mapping[str, float]) -> dict[str, Any]:
    """What to put among a run's facts: nats by precision, of the checkpoint of `step`."""
    return {FACT: {"step": step, "nats": dict(nats)}}


def measured_precisions(facts: Mapping[str, Any], step: int) -> dict[str, float]:
    """Nats by precision of the checkpoint of `step`; empty where it was not measured, or that cannot be read."""
    fact = facts.get(FACT)
    if not isinstance(fact, dict) or fact.get("step") != step or not isinstance(fact.get("nats"), dict):
        return {}
    found = fact["nats"]
    sound = all(isinstance(value, float) and math.isfinite(value) for value in found.values())
    return {str(name): value for name, value in found.items()} if sound else {}
