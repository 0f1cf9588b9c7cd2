"""The stream protocol: one long text, every symbol but the first predicted once, the state carried.

A recurrent model reads one symbol after the other, which leaves most of a processor idle. So the
text is cut in lanes that are read side by side. Every lane but the first starts cold, in the middle
of the text. When all are done, each lane runs on into the text of the next one and scores it again,
now with a long memory in place of the cold start, until the two agree: from there on it makes no
difference how the next lane began. What comes out is the long pass, for about the cost of the lanes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from charlm.errors import ConfigError
from charlm.evaluation.agreement import BLOCK_LENGTH, LONGEST_RUN_ON, PIECE
from charlm.evaluation.predictions import Ids, Predictions, join_predictions
from charlm.evaluation.scoring_engine import Advance, Feed, ScoringEngine, lanes_for, map_state

if TYPE_CHECKING:
    import torch

    from charlm.evaluation.torch_scoring import Model


def score_stream(
    model: Model | ScoringEngine,
    ids: Ids,
    *,
    device: torch.device | str | None = None,
    rough: bool = False,
    lanes: int | None = None,
) -> Predictions:
    """Score one long text with carried state and no dropout.

    Args:
        model: an engine that scores by itself, or `logits, state = model(ids (B, T), state)` of torch.
        ids: (N,) integers, an array or a memory map.
        device: where a torch model is; None asks its parameters.
        rough: let torch multiply in bfloat16: faster, and less exact.
        lanes: how many stretches to read side by side: 1 for exactly one long pass, None to choose by length.

    Returns:
        N - 1 predictions in text order; none for a text of no or one symbol.

    Raises:
        ConfigError: `lanes` is below 1.
    """
    return join_predictions(stream_pieces(Feed.of(model, device, rough), ids, lanes))


def stream_pieces(
    feed: Feed, ids: Ids, lanes: int | None = None, advance: Advance = None, piece: int = PIECE
) -> Iterator[Predictions]:
    """`score_stream` for a text of any length: the same predictions, at most `piece` at a time."""
    if lanes is not None and lanes < 1:
        raise ConfigError(f"lanes must be at least 1, was {lanes}")
    state = feed.engine.initial_state(1)
    start, end = 0, len(ids) - 1
    while start < end:
        count = min(piece, end - start)
        # subtle: lanes shorter than a block would write over one another's predictions
        rows = max(1, min(lanes or lanes_for(count, feed.most_rows), count // BLOCK_LENGTH))
        if start + count < end:
            count -= count % rows  # lanes of one length, so that all end where the next piece begins
        text = _Lanes(feed, np.asarray(ids[start : start + count + 1], dtype=np.int64), rows)
        predictions, state = text.score(state, advance)
        yield predictions
        start += count


class _Lanes:
    """One piece of text, cut in B lanes of M predictions each (the last lane may be shorter).

    Prediction p is of symbol p + 1, from those before it; lane b begins at p = b M.
    """

    def __init__(self, feed: Feed, ids: npt.NDArray[np.int64], lanes: int) -> None:
        self.feed, self.ids = feed, ids
        self.predictions = len(ids) - 1
        self.M = -(-self.predictions // lanes)
        self.B = -(-self.predictions // self.M)
        # one more entry, for what a short last lane reads past its end
        self.nats = np.zeros(self.predictions + 1, dtype=np.float32)
        self.correct = np.zeros(self.predictions + 1, dtype=np.bool_)

    def score(self, first: Any, advance: Advance) -> tuple[Predictions, Any]:
        """Score the piece, its first lane from the state `first`, of one row; also the state after it."""
        state = map_state(_with_first_row, self.feed.engine.initial_state(self.B), first)
        starts = np.arange(self.B) * self.M
        for offset in range(0, self.M, BLOCK_LENGTH):
            steps = min(BLOCK_LENGTH, self.M - offset)
            state, _ = self._block(starts + offset, steps, state)
            if advance is not None:
                # a short last lane is done before the others
                advance(int((self.predictions - starts - offset).clip(0, steps).sum()))
        self._run_on(starts[1:], map_state(lambda rows: rows[:-1], state))
        predictions = Predictions(nats=self.nats[: self.predictions], correct=self.correct[: self.predictions])
        return predictions, map_state(lambda rows: rows[-1:], state)

    def _run_on(self, starts: npt.NDArray[np.int64], state: Any) -> None:
        """Score on from the ends of the lanes, over what their successors made of a cold start."""
        most = LONGEST_RUN_ON
        while len(starts) and most > 0:
            most -= BLOCK_LENGTH
            state, moved = self._block(starts, BLOCK_LENGTH, state)
            if not moved > self.feed.agreement:  # written so that it ends on nan too
                return
            starts = starts + BLOCK_LENGTH
            left = int((starts < self.predictions).sum())
            starts, state = starts[:left], map_state(lambda rows, left=left: rows[:left], state)

    def _block(self, starts: npt.NDArray[np.int64], steps: int, state: Any) -> tuple[Any, float]:
        """Score `steps` predictions from each of `starts` (B,); by how much they differ from what was there."""
        places = starts[:, None] + np.arange(steps + 1)  # (B, T + 1)
        weighed, state = self.feed.engine.score(self.ids[places.clip(max=self.predictions)], state)
        inside, places = places[:, :-1] < self.predictions, places[:, :-1].clip(max=self.predictions)
        with np.errstate(invalid="ignore"):  # of a model that has exploded
            moved = float((np.abs(weighed.nats - self.nats[places]) * inside).sum() / inside.sum())
        self.nats[places], self.correct[places] = weighed.nats, weighed.right
        return state, moved


def _with_first_row(rows: Any, first: Any) -> Any:
    """`rows`, of NumPy or torch, with another first row; a new array, for parts of a state may be one in memory."""
    rows = rows + 0
    rows[:1] = first
    return rows
