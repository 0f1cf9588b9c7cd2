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


def passages(ids: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Stretches of a text (N,) that formats are measured on, each read from an empty state: (rows, STEPS + 1).

    No row for a text too short.
    """
    rows = max(0, min(ROWS, (len(ids) - 1) // STEPS))
    starts = np.linspace(0, len(ids) - STEPS - 1, rows).astype(np.int64)
    return np.array([ids[start : start + STEPS + 1] for start in starts], dtype=np.int64).reshape(rows, STEPS + 1)


def measure(
    config: ModelConfig,
    arrays: Mapping[str, npt.NDArray[Any]],
    vocab_size: int,
    rows: npt.NDArray[np.int64],
    exact: float,
    *,
    bytes_are_fast: bool = True,
) -> dict[str, float]:
    """Nats per symbol by precision on `passages`, fewest bytes first, until one keeps the loss.

    The first time on a machine the loop of each precision has to be compiled, so none is tried without need.

    Args:
        rows: what `passages` gave.
        exact: nats per symbol in float32.
        bytes_are_fast: as in `fastest`.

    Raises:
        ImportError: Numba is missing.
    """
    from charlm.runtime.numba_model import NumbaModel

    found = {"exact": exact}
    for precision in reversed(PRECISIONS[1:]):
        if precision == "int8" and not bytes_are_fast:
            continue
        model = NumbaModel(config, arrays, vocab_size, precision=precision)
        nats = float(model.score(rows, model.initial_state(len(rows)))[0].nats.mean())
        if np.isfinite(nats):
            found[precision] = nats
        if fastest(found, bytes_are_fast=bytes_are_fast) == precision:
            break
    return found
