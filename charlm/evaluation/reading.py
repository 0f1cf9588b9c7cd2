"""How a text is read where something is added to a model: in lanes, block by block, and what comes of a block.

Lanes are read in step, so that one after the other each block of all lanes is predicted, and then known. Text that a
block is predicted from has been known before: by the state of its lane, and by whatever else has been added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from charlm.evaluation.predictions import Ids
from charlm.evaluation.protocols import StreamProtocol

LANE_LENGTH = 20_000
"""Predictions that a lane has at least: what is known at its end is then known for most of it."""
MOST_LANES = 16

Advance = Callable[[int], None] | None
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """What was read at once: B lanes, T steps each.

    Attributes:
        places: (B, T) which ids of the text are predicted.
        counted: (B, T) bool; the others were only read, or lie beyond the end of the text.
        nats: (B, T) float64, their losses.
        outputs: (B, T, H) float32, a tensor: what the layers gave for each prediction; None where nobody listened.
    """

    places: Integers
    counted: npt.NDArray[np.bool_]
    nats: Floats
    outputs: Any = None


class Reader(Protocol):
    """Whoever reads a text and predicts it."""

    def read(self, ids: Ids, advance: Advance = None, /) -> Iterator[Block]:
        """Blocks in which each of `ids` (N,) but the first is counted once. `advance` is told how many were."""


class ProtocolReader:
    """A model as `charlm.evaluation.evaluate` reads it.

    Args:
        model: a torch model or an engine that scores by itself.
    """

    def __init__(self, model: Any, protocol: StreamProtocol) -> None:
        self._model, self._protocol = model, protocol

    def read(self, ids: Ids, advance: Advance = None, /) -> Iterator[Block]:
        start = 1
        for piece in self._protocol.pieces(self._model, ids, advance=advance):
            places = np.arange(start, start + len(piece), dtype=np.int64)[None]
            yield Block(places=places, counted=places > 0, nats=piece.nats.astype(np.float64)[None])
            start += len(piece)


def choose_lanes(predictions: int) -> int:
    """As many lanes as are long enough, up to MOST_LANES. Not a question of the machine: figures depend on it."""
    return max(1, min(MOST_LANES, predictions // LANE_LENGTH))


def lane_blocks(
    predictions: int, lanes: int, steps: int, lead: int = 0
) -> Iterator[tuple[Integers, npt.NDArray[np.bool_]]]:
    """`places` and `counted` of the blocks of a text in lanes of one length.

    Args:
        steps: T, but for a shorter last block.
        lead: with how many predictions each lane but the first begins that the lane before it counts.
    """
    lead = lead if lanes > 1 else 0
    M = max(1, -(-(predictions - lead) // lanes))
    begins = np.arange(lanes)[:, None] * M
    first_counted = np.where(begins > 0, begins + lead, 0)
    for offset in range(0, min(predictions, M + lead), steps):
        at = begins + np.arange(offset, min(offset + steps, M + lead))
        counted = (at >= first_counted) & (at < predictions)
        yield at.clip(max=predictions - 1) + 1, counted
