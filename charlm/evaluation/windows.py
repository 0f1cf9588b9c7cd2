"""The windows protocol: short windows side by side, each begun without any memory.

Models that see a fixed number of symbols, Transformers among them, report their loss this way, so it is
what a recurrent model has to be compared with on equal terms. It is worse than the stream's: the
first symbols of each window are predicted from next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from charlm.errors import ConfigError
from charlm.evaluation.agreement import PIECE
from charlm.evaluation.predictions import Ids, Predictions, join_predictions
from charlm.evaluation.scorer import Model, block_length, home_of, most_lanes, scoring, weigh


def score_windows(
    model: Model,
    ids: Ids,
    length: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Predictions:
    """Score a text in windows that do not overlap, the state zero at the start of each.

    Window k reads ids[kL : kL + L] and predicts ids[kL + 1 : kL + L + 1], for L = `length`; the last one
    may be shorter. Every symbol but the first is predicted exactly once.

    Args:
        model, ids, device, dtype: as for `score_stream`.
        length: L, symbols in a window.

    Raises:
        ConfigError: `length` is below 1.
    """
    return join_predictions(window_pieces(model, ids, length, device=device, dtype=dtype))


def window_pieces(
    model: Model,
    ids: Ids,
    length: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    advance: Callable[[int], None] | None = None,
) -> Iterator[Predictions]:
    """`score_windows` for a text of any length: the same predictions, some windows at a time.

    `advance` is told how many predictions were done since it was last told.
    """
    if length < 1:
        raise ConfigError(f"the length of a window must be at least 1, was {length}")
    home = home_of(model, device)
    start, end = 0, len(ids) - 1
    while start < end:
        steps = min(length, end - start)
        # whole windows together, a shorter last one by itself
        rows = max(1, min(most_lanes(home), (end - start) // length, PIECE // length))
        text = torch.from_numpy(np.asarray(ids[start : start + rows * steps + 1], dtype=np.int64)).to(home)
        with scoring(home, dtype):
            predictions = _score(model, text[:-1].view(rows, steps), text[1:].view(rows, steps))
        yield predictions
        start += rows * steps
        if advance is not None:
            advance(rows * steps)


def _score(model: Model, inputs: Tensor, targets: Tensor) -> Predictions:
    """Windows (B, L) side by side, some time steps at a time; their predictions one window after the other."""
    steps = block_length(model, len(inputs))
    state, blocks = None, []
    for x, target in zip(torch.split(inputs, steps, dim=1), torch.split(targets, steps, dim=1), strict=True):
        logits, state = model(x, state)
        blocks.append(weigh(logits, target))
    nats, correct = (torch.cat(parts, dim=1).flatten().cpu() for parts in zip(*blocks, strict=True))
    return Predictions(nats=nats.float().numpy(), correct=correct.numpy())
