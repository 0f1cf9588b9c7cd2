"""The windows protocol: short windows side by side, each begun without any memory.

Models that see a fixed number of symbols, Transformers among them, report their loss this way, so it is
what a recurrent model has to be compared with on equal terms. It is worse than the stream's: the
first symbols of each window are predicted from next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from charlm.errors import ConfigError
from charlm.evaluation.agreement import BLOCK_LENGTH, PIECE
from charlm.evaluation.predictions import Ids, Predictions, join_predictions
from charlm.evaluation.scoring_engine import Advance, Feed, ScoringEngine

if TYPE_CHECKING:
    import torch

    from charlm.evaluation.torch_scoring import Model


def score_windows(
    model: Model | ScoringEngine, ids: Ids, length: int, *, device: torch.device | str | None = None
) -> Predictions:
    """Score a text in windows that do not overlap, the state zero at the start of each.

    Window k reads ids[kL : kL + L] and predicts ids[kL + 1 : kL + L + 1], for L = `length`; the last one
    may be shorter. Every symbol but the first is predicted exactly once.

    Args:
        model, ids, device: as for `score_stream`.
        length: L, symbols in a window.

    Raises:
        ConfigError: `length` is below 1.
    """
    return join_predictions(window_pieces(Feed.of(model, device), ids, length))


def window_pieces(feed: Feed, ids: Ids, length: int, advance: Advance = None) -> Iterator[Predictions]:
    """`score_windows` for a text of any length: the same predictions, some windows at a time."""
    if length < 1:
        raise ConfigError(f"the length of a window must be at least 1, was {length}")
    engine, start, end = feed.engine, 0, len(ids) - 1
    while start < end:
        steps = min(length, end - start)
        # whole windows together, a shorter last one by itself
        rows = max(1, min(feed.most_rows, (end - start) // length, PIECE // length))
        text = np.asarray(ids[start : start + rows * steps + 1], dtype=np.int64)
        places = np.arange(rows)[:, None] * steps + np.arange(steps + 1)
        state, parts = engine.initial_state(rows), []
        for first in range(0, steps, BLOCK_LENGTH):
            weighed, state = engine.score(text[places[:, first : first + BLOCK_LENGTH + 1]], state)
            parts.append(weighed)
        yield Predictions(
            nats=np.concatenate([part.nats for part in parts], axis=1).reshape(-1).astype(np.float32),
            correct=np.concatenate([part.right for part in parts], axis=1).reshape(-1),
        )
        start += rows * steps
        if advance is not None:
            advance(rows * steps)
