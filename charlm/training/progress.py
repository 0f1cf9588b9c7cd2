"""What a checkpoint says of the training's progress, held to its types before anything is made of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from charlm.config import TrainingConfig, settings_of
from charlm.errors import RunError
from charlm.runs.manifest import is_count
from charlm.training.standing import Standing


def check_progress(progress: Mapping[str, Any], step: int) -> None:
    """Refuse what no training writes.

    Args:
        step: that of the checkpoint.

    Raises:
        RunError: naming the first field that is missing or cannot be.
    """
    for place, holds in _FIELDS.items():
        value: Any = progress
        for name in place.split("."):
            if not isinstance(value, dict) or name not in value:
                raise RunError(f"checkpoint: progress is incomplete: it has no {place}")
            value = value[name]
        if not holds(value):
            raise RunError(f"checkpoint: progress is damaged: {place} was {value!r:.40}")
    figures = progress.get("figures", {})
    if not isinstance(figures, dict) or not all(map(_is_loss, figures.values())):
        raise RunError(f"checkpoint: progress is damaged: figures was {figures!r:.40}")
    # older ones do not say when the first step began, and what its loss was
    first_step = progress["standing"].get("first_step", 0.0)
    if not _is_amount(first_step) or first_step > progress["standing"]["seconds"]:
        raise RunError(f"checkpoint: progress is damaged: standing.first_step was {first_step!r:.40}")
    first = progress["watch"].get("first")
    if not _is_loss(first):
        raise RunError(f"checkpoint: progress is damaged: watch.first was {first!r:.40}")
    for name, known in _TABLES.items():
        table = progress.get(name, {})
        if not isinstance(table, dict) or not set(table) <= known:
            raise RunError(f"checkpoint: progress is damaged: {name} was {table!r:.40}")
    if progress["steps"] != step:
        raise RunError(f"checkpoint: progress is of step {progress['steps']}, not {step}")


def _is_amount(value: Any) -> bool:
    """Whether `value` is a number of seconds, or the like."""
    return (is_count(value) or isinstance(value, float)) and 0 <= value < math.inf


def _is_loss(value: Any) -> bool:
    return value is None or _is_amount(value)


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "steps": is_count,
    "characters": is_count,
    "lanes.position": is_count,
    "lanes.batch_size": is_count,
    "lanes.predictions": is_count,
    "standing.best_nats": _is_loss,
    "standing.evaluations": is_count,
    "standing.without_improvement": is_count,
    "standing.rate_scale": _is_amount,
    "standing.rollbacks": is_count,
    "standing.seconds": _is_amount,
    "standing.reserve": _is_amount,
    "standing.evaluated_symbols": is_count,
    "watch.smoothed": _is_loss,
    "watch.fast": _is_loss,
    "watch.lowest": _is_loss,
}
# Whose values are settings, and checked as such, or by name above.
_TABLES = {
    "training": set(settings_of(TrainingConfig)),
    "machine": {"device", "dtype", "threads", "kernels"},
    "standing": {field.name for field in dataclasses.fields(Standing)},
}
