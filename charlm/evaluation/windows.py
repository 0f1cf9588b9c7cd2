"""The windows protocol: short windows side by side, each begun without any memory.

Models that see a fixed number of symbols, Transformers among them, report their loss this way, so it is
what a recurrent model has to be compared with on equal terms. It is worse than the stream's: the
first symbols of each window are predicted from next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from charlm.errors import ConfigError
from charlm.evaluation.predictions import Ids, Predictions, join_predictions
from charlm.evaluation.scorer import LARGEST_LOGITS, Model, home_of, scoring, weigh

MOST_ROWS = 256


def score_windows(
    model: Model,
    ids: Ids,
    length: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
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
    dtype: torch.dtype = torch.float32,
) -> Iterator[Predictions]:
    """`score_windows` for a text of any length: the same predictions, some windows at a time."""
    if length < 1:
        raise ConfigError(f"the length of a window must be at least 1, was {length}")
    home = home_of(model, device)
    rows = max(1, min(MOST_ROWS, LARGEST_LOGITS // (length * model.vocab_size)))
    start, end = 0, len(ids) - 1
    while start < end:
        steps = min(length, end - start)
        # whole windows together, a shorter last one by itself
        count = max(1, min(rows, (end - start) // length)) * steps
        text = torch.from_numpy(np.asarray(ids[start : start + count + 1], dtype=np.int64)).to(home)
        with scoring(home, dtype):
            logits, _ = model(text[:-1].view(-1, steps), None)
            nats, correct = weigh(logits, text[1:].view(-1, steps))
        yield Predictions(nats=nats.float().flatten().cpu().numpy(), correct=correct.flatten().cpu().numpy())
        start += count
