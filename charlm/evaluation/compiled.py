"""The protocols for engines that score by themselves, without torch: `charlm.runtime.NumbaModel` is one.

The same text is put before the model in the same way as by `charlm.evaluation.stream` and `charlm.evaluation.windows`,
which say why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from charlm.evaluation.agreement import AGREEMENT, BLOCK_LENGTH, LONGEST_RUN_ON, PIECE, SHORTEST_LANE
from charlm.evaluation.predictions import Ids, Predictions

MOST_ROWS = 64
"""Rows side by side: as many as a few threads and their tiles want."""

Advance = Callable[[int], None] | None


@runtime_checkable
class ScoringEngine(Protocol):
    """An engine that weighs a text by itself. A state is a tuple of tuples of arrays (N, ...)."""

    vocab_size: int

    def initial_state(self, n: int, /) -> Any:
        """The state of n rows before any text."""

    def score(self, ids: Ids, state: Any, /) -> tuple[Any, Any]:
        """ids: (N, T + 1) -> `nats` (N, T) and `right` (N, T) of all but the first, and the state after."""


def stream_pieces(
    model: ScoringEngine, ids: Ids, lanes: int | None = None, advance: Advance = None, piece: int = PIECE
) -> Iterator[Predictions]:
    """`charlm.evaluation.stream.stream_pieces`."""
    state = model.initial_state(1)
    start, end = 0, len(ids) - 1
    while start < end:
        count = min(piece, end - start)
        wanted = lanes or max(1, min(MOST_ROWS, count // SHORTEST_LANE))
        # subtle: lanes shorter than a block would write over one another's predictions
        rows = max(1, min(wanted, count // BLOCK_LENGTH))
        if start + count < end:
            count -= count % rows  # lanes of one length, so that all end where the next piece begins
        text = _Lanes(model, np.asarray(ids[start : start + count + 1], dtype=np.int64), rows)
        predictions, state = text.score(state, advance)
        yield predictions
        start += count


def window_pieces(model: ScoringEngine, ids: Ids, length: int, advance: Advance = None) -> Iterator[Predictions]:
    """`charlm.evaluation.windows.window_pieces`; the length has been checked."""
    start, end = 0, len(ids) - 1
    while start < end:
        steps = min(length, end - start)
        # whole windows together, a shorter last one by itself
        rows = max(1, min(MOST_ROWS, (end - start) // length, PIECE // length))
        text = np.asarray(ids[start : start + rows * steps + 1], dtype=np.int64)
        places = np.arange(rows)[:, None] * steps + np.arange(steps + 1)
        state, parts = model.initial_state(rows), []
        for first in range(0, steps, BLOCK_LENGTH):
            weighed, state = model.score(text[places[:, first : first + BLOCK_LENGTH + 1]], state)
            parts.append(weighed)
        yield Predictions(
            nats=np.concatenate([part.nats for part in parts], axis=1).reshape(-1).astype(np.float32),
            correct=np.concatenate([part.right for part in parts], axis=1).reshape(-1),
        )
        start += rows * steps
        if advance is not None:
            advance(rows * steps)


class _Lanes:
    """One piece of text, cut in B lanes of M predictions each (the last lane may be shorter)."""

    def __init__(self, model: ScoringEngine, ids: npt.NDArray[np.int64], lanes: int) -> None:
        self.model, self.ids = model, ids
        self.predictions = len(ids) - 1
        self.M = -(-self.predictions // lanes)
        self.B = -(-self.predictions // self.M)
        # one more entry, for what a short last lane reads past its end
        self.nats = np.zeros(self.predictions + 1, dtype=np.float32)
        self.correct = np.zeros(self.predictions + 1, dtype=np.bool_)

    def score(self, state: Any, advance: Advance) -> tuple[Predictions, Any]:
        """Score the piece from `state`, of one lane; also the state after it."""
        if self.B > 1:
            cold = self.model.initial_state(self.B - 1)
            state = tuple(tuple(map(_stacked, *layers)) for layers in zip(state, cold, strict=True))
        starts = np.arange(self.B) * self.M
        for offset in range(0, self.M, BLOCK_LENGTH):
            steps = min(BLOCK_LENGTH, self.M - offset)
            state, _ = self._block(starts + offset, steps, state)
            if advance is not None:
                # a short last lane is done before the others
                advance(int((self.predictions - starts - offset).clip(0, steps).sum()))
        self._run_on(starts[1:], _rows(state, slice(None, -1)))
        predictions = Predictions(nats=self.nats[: self.predictions], correct=self.correct[: self.predictions])
        return predictions, _rows(state, slice(-1, None))

    def _run_on(self, starts: npt.NDArray[np.int64], state: Any) -> None:
        """Score on from the ends of the lanes, over what their successors made of a cold start."""
        most = LONGEST_RUN_ON
        while len(starts) and most > 0:
            most -= BLOCK_LENGTH
            state, moved = self._block(starts, BLOCK_LENGTH, state)
            if not moved > AGREEMENT:  # written so that it ends on nan too
                return
            starts = starts + BLOCK_LENGTH
            left = int((starts < self.predictions).sum())
            starts, state = starts[:left], _rows(state, slice(left))

    def _block(self, starts: npt.NDArray[np.int64], steps: int, state: Any) -> tuple[Any, float]:
        """Score `steps` predictions from each of `starts` (B,); by how much they differ from what was there."""
        places = starts[:, None] + np.arange(steps + 1)  # (B, T + 1)
        weighed, state = self.model.score(self.ids[places.clip(max=self.predictions)], state)
        inside, places = places[:, :-1] < self.predictions, places[:, :-1].clip(max=self.predictions)
        moved = float((np.abs(weighed.nats - self.nats[places]) * inside).sum() / inside.sum())
        self.nats[places], self.correct[places] = weighed.nats, weighed.right
        return state, moved


def _stacked(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([one, other])


def _rows(state: Any, rows: slice) -> Any:
    return tuple(tuple(array[rows] for array in layer) for layer in state)
