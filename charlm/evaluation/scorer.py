"""What every protocol does with a model: feed it symbols, weigh its answer against the next ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from charlm.evaluation.agreement import BLOCK_LENGTH

LARGEST_LOGITS = 2**23
"""Numbers in one block of logits: 32 MB, whatever the vocabulary."""


class Model(Protocol):
    """What can be scored; `charlm.models.LanguageModel` is one."""

    vocab_size: int

    def __call__(self, ids: Tensor, state: Any, /) -> tuple[Tensor, Any]:
        """ids (B, T) int64 and a state (None: before any text) to logits (B, T, V) and the state after."""

    def initial_state(self, B: int, /) -> Any:
        """The state of B lanes before any text: (named) tuples of tensors (B, ...)."""


def block_length(model: Model, B: int) -> int:
    """Time steps that B lanes take at once, so that their logits stay small."""
    return max(1, min(BLOCK_LENGTH, LARGEST_LOGITS // (B * model.vocab_size)))


def most_lanes(device: torch.device) -> int:
    """How many rows keep a device busy; more cost memory and gain nothing."""
    return 64 if device.type == "cpu" else 512


def home_of(model: Model, device: torch.device | str | None) -> torch.device:
    """`device`, or where the model's parameters are."""
    if device is not None:
        return torch.device(device)
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def scoring(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """No gradients; products in the model's own format, or in bfloat16 where that is asked for."""
    lower = dtype == torch.bfloat16
    with exact_products(), torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=lower):
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


def map_state(function: Callable[..., Tensor], *states: Any) -> Any:
    """`function` over the tensors of one or more states of the same shape of tuples."""
    if isinstance(states[0], Tensor):
        return function(*states)
    items = [map_state(function, *parts) for parts in zip(*states, strict=True)]
    return type(states[0])(*items) if hasattr(states[0], "_fields") else tuple(items)
