"""What a number format costs in loss, measured, and which one is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import ModelConfig
from charlm.runtime.quantised import PRECISIONS

MOST_LOSS = 0.002
"""Nats per symbol by which a format may change the loss and still be taken without being asked for."""

# The text that a format is measured on: rows that are read side by side, each from an empty state.
ROWS, STEPS = 64, 128


def fastest(measured: Mapping[str, float], *, bytes_are_fast: bool = True) -> str:
    """The precision with the fewest bytes whose loss is within `MOST_LOSS` of ``exact``.

    Args:
        measured: nats by precision; nothing is taken but ``exact`` where it, or the precision, is missing.
        bytes_are_fast: whether the processor multiplies int8 faster than int16.
    """
    exact = measured.get("exact")
    for precision in reversed(PRECISIONS[1:]):
        nats = measured.get(precision)
        if precision == "int8" and not bytes_are_fast:
            continue
        if exact is not None and nats is not None and abs(nats - exact) < MOST_LOSS:
            return precision
    return "exact"


def measure(
    config: ModelConfig, arrays: Mapping[str, npt.NDArray[Any]], vocab_size: int, ids: npt.NDArray[Any]
) -> dict[str, float]:
    """Nats per symbol of each precision on some thousand symbols of `ids` (N,); empty for a text too short.

    Raises:
        ImportError: Numba is missing.
    """
    from charlm.runtime.numba_model import NumbaModel

    rows = min(ROWS, (len(ids) - 1) // STEPS)
    if rows < 1:
        return {}
    starts = np.linspace(0, len(ids) - STEPS - 1, rows).astype(np.int64)
    passages = np.stack([np.asarray(ids[start : start + STEPS + 1], dtype=np.int64) for start in starts])
    found = {}
    for precision in PRECISIONS:
        model = NumbaModel(config, arrays, vocab_size, precision=precision)
        found[precision] = float(model.score(passages, model.initial_state(rows))[0].nats.mean())
    return {precision: nats for precision, nats in found.items() if np.isfinite(nats)}
