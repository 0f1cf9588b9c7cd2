"""A torch model as the protocols ask it: fed with symbols, its answer weighed against the next ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from charlm.evaluation.agreement import AGREEMENT, BLOCK_LENGTH, ROUGH_AGREEMENT
from charlm.evaluation.predictions import Ids
from charlm.evaluation.scoring_engine import ROWS_AT_ONCE
from charlm.runtime.state import Weighed

LARGEST_LOGITS = 2**23
"""Numbers in one block of logits: 32 MB, whatever the vocabulary."""
ROWS_AT_ONCE_OF_DEVICE = 512
"""Rows that keep a GPU busy."""


class Model(Protocol):
    """What can be scored; `charlm.models.LanguageModel` is one."""

    vocab_size: int

    def __call__(self, ids: Tensor, state: Any, /) -> tuple[Tensor, Any]:
        """ids (B, T) int64 and a state to logits (B, T, V) and the state after."""

    def initial_state(self, B: int, /) -> Any:
        """The state of B lanes before any text, where the model is: (named) tuples of tensors (B, ...), no lists."""


class TorchScorer:
    """A torch model behind the interface of `charlm.evaluation.scoring_engine.ScoringEngine`.

    Args:
        device: where the model is; None asks its parameters.
        rough: products in bfloat16: faster, and less exact.
    """

    def __init__(self, model: Model, device: torch.device | str | None = None, rough: bool = False) -> None:
        self.vocab_size = model.vocab_size
        self._model, self._home, self._rough = model, home_of(model, device), rough
        self.most_rows = most_rows(self._home)
        self.agreement = ROUGH_AGREEMENT if rough else AGREEMENT

    def initial_state(self, n: int) -> Any:
        """The model's own, of n rows."""
        return self._model.initial_state(n)

    def score(self, ids: Ids, state: Any) -> tuple[Weighed, Any]:
        """ids: (N, T + 1), state of N rows -> how all but the first are weighed, and the state after."""
        text = torch.from_numpy(np.asarray(ids, dtype=np.int64)).to(self._home)
        steps, blocks = block_length(self._model, len(text)), []
        with scoring(self._home, self._rough):
            for x, targets in zip(*(torch.split(part, steps, 1) for part in (text[:, :-1], text[:, 1:])), strict=True):
                logits, state = self._model(x, state)
                blocks.append(weigh(logits, targets))
        nats, right = (torch.cat(parts, dim=1).cpu().numpy() for parts in zip(*blocks, strict=True))
        return Weighed(nats, right), state


def block_length(model: Model, B: int) -> int:
    """Time steps that B lanes take at once, so that their logits stay small."""
    return max(1, min(BLOCK_LENGTH, LARGEST_LOGITS // (B * model.vocab_size)))


def most_rows(device: torch.device) -> int:
    """How many rows keep a device busy; more cost memory and gain nothing."""
    return ROWS_AT_ONCE if device.type == "cpu" else ROWS_AT_ONCE_OF_DEVICE


def home_of(model: Model, device: torch.device | str | None) -> torch.device:
    """`device`, or where the model's parameters are."""
    if device is not None:
        return torch.device(device)
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def scoring(device: torch.device, rough: bool) -> Iterator[None]:
    """No gradients; products in the model's own format, or in bfloat16 where `rough` ones will do."""
    with exact_products(), torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=rough):
        yield


@contextmanager
def exact_products() -> Iterator[None]:
    """While in here float32 is float32: cuDNN's recurrent layers would else take TF32, as is torch's default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def weigh(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Loss in nats and correctness of each target.

    logits: (B, T, V); targets: (B, T) int64. Returns nats (B, T) float32 or float64 and correct (B, T) bool.
    """
    wide = logits if logits.dtype == torch.float64 else logits.float()
    chosen = wide.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return wide.logsumexp(-1) - chosen, wide.argmax(-1) == targets
