"""The stream protocol: one long text, every symbol but the first predicted once, the state carried.

A recurrent model reads one symbol after the other, which leaves most of a processor idle. So the
text is cut in lanes that are read side by side. Every lane but the first starts cold, in the middle
of the text. When all are done, each lane runs on into the text of the next one and scores it again,
now with a long memory in place of the cold start, until the two agree: from there on it makes no
difference how the next lane began. What comes out is the long pass, for about the cost of the lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charlm.errors import ConfigError
from charlm.evaluation.agreement import (
    AGREEMENT,
    BLOCK_LENGTH,
    LONGEST_RUN_ON,
    PIECE,
    ROUGH_AGREEMENT,
    SHORTEST_LANE,
)
from charlm.evaluation.predictions import Ids, Predictions, join_predictions
from charlm.evaluation.scorer import Model, block_length, home_of, map_state, most_lanes, scoring, weigh


def score_stream(
    model: Model,
    ids: Ids,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    lanes: int | None = None,
) -> Predictions:
    """Score one long text with carried state and no dropout.

    Args:
        model: `logits, state = model(ids (B, T), state)`.
        ids: (N,) integers, an array or a memory map.
        device: where the model is; None asks its parameters.
        dtype: bfloat16 for faster, rougher products; None for float32.
        lanes: how many stretches to read side by side: 1 for exactly one long pass, None to choose by length.

    Returns:
        N - 1 predictions in text order; none for a text of no or one symbol.

    Raises:
        ConfigError: `lanes` is below 1.
    """
    return join_predictions(stream_pieces(model, ids, device=device, dtype=dtype, lanes=lanes))


def stream_pieces(
    model: Model,
    ids: Ids,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    lanes: int | None = None,
    advance: Callable[[int], None] | None = None,
    piece: int = PIECE,
) -> Iterator[Predictions]:
    """`score_stream` for a text of any length: the same predictions, at most `piece` at a time.

    `advance` is told how many predictions were done since it was last told.
    """
    if lanes is not None and lanes < 1:
        raise ConfigError(f"lanes must be at least 1, was {lanes}")
    home = home_of(model, device)
    agreement = ROUGH_AGREEMENT if dtype == torch.bfloat16 else AGREEMENT
    state = None
    start, end = 0, len(ids) - 1
    while start < end:
        count = min(piece, end - start)
        # subtle: lanes shorter than a block would write over one another's predictions
        rows = max(1, min(lanes or choose_lanes(count, home), count // BLOCK_LENGTH))
        if start + count < end:
            count -= count % rows  # lanes of one length, so that all end where the next piece begins
        with scoring(home, dtype):
            text = _Lanes(model, np.asarray(ids[start : start + count + 1]), rows, home)
            predictions, state = text.score(state, agreement, advance)
        yield predictions
        start += count


def choose_lanes(predictions: int, device: torch.device) -> int:
    """As many lanes as keep the device busy, none shorter than SHORTEST_LANE."""
    return max(1, min(most_lanes(device), predictions // SHORTEST_LANE))


class _Lanes:
    """One piece of text, cut in B lanes of M predictions each (the last lane may be shorter).

    Prediction p is of symbol p + 1, from those before it; lane b begins at p = b M.
    """

    def __init__(self, model: Model, ids: Ids, lanes: int, device: torch.device) -> None:
        self.model = model
        self.ids = torch.from_numpy(ids.astype(np.int64)).to(device)
        self.predictions = len(ids) - 1
        self.M = -(-self.predictions // lanes)
        self.B = -(-self.predictions // self.M)
        self.steps = block_length(model, self.B)
        # one more entry, for what a short last lane reads past its end
        self.nats = torch.zeros(self.predictions + 1, dtype=torch.float32, device=device)
        self.correct = torch.zeros(self.predictions + 1, dtype=torch.bool, device=device)

    def score(self, state: Any, agreement: float, advance: Callable[[int], None] | None) -> tuple[Predictions, Any]:
        """Score the piece from `state` (of one lane; None at the start of a text); also the state after it."""
        if state is not None and self.B > 1:
            cold = self.model.initial_state(self.B - 1)
            state = map_state(lambda first, others: torch.cat([first, others]), state, cold)
        starts = torch.arange(self.B, device=self.ids.device) * self.M
        for offset in range(0, self.M, self.steps):
            steps = min(self.steps, self.M - offset)
            state, _ = self._block(starts + offset, steps, state)
            if advance is not None:
                # a short last lane is done before the others
                advance(int((self.predictions - starts - offset).clamp(0, steps).sum()))
        self._run_on(starts[1:], map_state(lambda rows: rows[:-1], state), agreement)
        predictions = Predictions(
            nats=self.nats[: self.predictions].cpu().numpy(),
            correct=self.correct[: self.predictions].cpu().numpy(),
        )
        return predictions, map_state(lambda rows: rows[-1:], state)

    def _run_on(self, starts: Tensor, state: Any, agreement: float) -> None:
        """Score on from the ends of the lanes, over what their successors made of a cold start."""
        most = LONGEST_RUN_ON
        while len(starts) and most > 0:
            most -= self.steps
            state, moved = self._block(starts, self.steps, state)
            if not moved > agreement:  # written so that it ends on NaN too
                return
            starts = starts + self.steps
            left = int((starts < self.predictions).sum())
            starts, state = starts[:left], map_state(lambda rows, left=left: rows[:left], state)

    def _block(self, starts: Tensor, steps: int, state: Any) -> tuple[Any, Tensor]:
        """Score `steps` predictions from each of `starts` (B,); by how much they differ from what was there."""
        places = starts[:, None] + torch.arange(steps, device=starts.device)  # (B, T)
        inside = places < self.predictions
        places = places.clamp(max=self.predictions)
        logits, state = self.model(self.ids[places], state)
        nats, correct = weigh(logits, self.ids[(places + 1).clamp(max=self.predictions)])
        before = self.nats[places]
        self.nats[places] = nats.float()
        self.correct[places] = correct
        return state, ((nats - before).abs() * inside).sum() / inside.sum()
