"""Dropout masks, drawn from the generator that is handed in and from nothing else.

All are inverted: what survives is scaled by 1 / (1 - rate), so that a model without masks needs no change.
A mask depends on the generator and on shapes alone: not on number formats, threads or the global generator.
"""

from __future__ import annotations

import torch
from torch import Tensor


def drop(x: Tensor, rate: float, masks: torch.Generator | None, *, locked: bool) -> Tensor:
    """Dropout of units (Srivastava et al., 2014), x: (B, T, features).

    Plain: every element has its own coin. Locked: one mask for all time steps of the window (Gal and
    Ghahramani, 2016, arXiv:1512.05287), so that the same units are missing all along.
    """
    if masks is None or rate == 0:
        return x
    B, T, features = x.shape
    # drawn (T, B, features) because that is how activations lie in memory, see Stack
    mask = _mask((1 if locked else T, B, features), rate, masks, x)
    return x * mask.transpose(0, 1)


def drop_connections(weight: Tensor, rate: float, masks: torch.Generator | None) -> Tensor:
    """DropConnect: single weights are missing, the same ones for a whole window.

    Of the hidden-to-hidden weights, weight: (GH, H), this regularises the recurrence and leaves the
    cell alone, so fast kernels still fit (Merity et al., 2017, arXiv:1708.02182, section 2).
    """
    if masks is None or rate == 0:
        return weight
    return weight * _mask(tuple(weight.shape), rate, masks, weight)


def drop_symbols(embedded: Tensor, ids: Tensor, vocab_size: int, rate: float, masks: torch.Generator | None) -> Tensor:
    """Dropout of whole rows of the embedding: a missing symbol is missing everywhere in the window.

    embedded: (B, T, E); ids: (B, T). One coin for each of the V symbols (Gal and Ghahramani, 2016).
    """
    if masks is None or rate == 0:
        return embedded
    mask = _mask((vocab_size,), rate, masks, embedded)
    return embedded * mask[ids].unsqueeze(-1)


def _mask(shape: tuple[int, ...], rate: float, masks: torch.Generator, like: Tensor) -> Tensor:
    """0 with probability `rate`, else 1 / (1 - rate), in the number format and on the device of `like`."""
    mask = torch.empty(shape, dtype=like.dtype, device=masks.device)
    return mask.bernoulli_(1 - rate, generator=masks).mul_(1 / (1 - rate)).to(like.device)
