"""Dropout masks, drawn from the generator that is handed in and from nothing else.

All are inverted: what survives is scaled by 1 / (1 - rate), so that a model without masks needs no change.
A mask depends on the generator and on shapes alone: not on number formats, threads or the global generator.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from charlm.kernels import Coins, random_words

COIN_SIDES = 1 << 16  # a coin is 16 random bits


def drop(x: Tensor, rate: float, masks: torch.Generator | None, *, locked: bool) -> Tensor:
    """Dropout of units (Srivastava et al., 2014), x: (B, T, features).

    Plain: every element has its own coin. Locked: one mask for all time steps of the window (Gal and
    Ghahramani, 2016, arXiv:1512.05287), so that the same units are missing all along.
    """
    B, T, features = x.shape
    coins = unit_coins((1 if locked else T, B, features), rate, masks)
    return x if coins is None else x * coins.mask(x.dtype).to(x.device).transpose(0, 1)


def unit_coins(shape: tuple[int, int, int], rate: float, masks: torch.Generator | None) -> Coins | None:
    """What `drop` draws: (T or 1, B, features), as activations lie in memory, see Stack; None for no dropout."""
    return None if masks is None or rate == 0 else _coins(shape, rate, masks)


def drop_connections(weight: Tensor, rate: float, masks: torch.Generator | None) -> Tensor:
    """DropConnect: single weights are missing, the same ones for a whole window.

    Of the hidden-to-hidden weights, weight: (GH, H), this regularises the recurrence and leaves the
    cell alone, so fast kernels still fit (Merity et al., 2017, arXiv:1708.02182, section 2).
    """
    if masks is None or rate == 0:
        return weight
    return weight * _coins(tuple(weight.shape), rate, masks).mask(weight.dtype).to(weight.device)


def drop_symbols(embedding: Tensor, rate: float, masks: torch.Generator | None) -> Tensor:
    """Dropout of whole rows of the embedding (V, E): a missing symbol is missing everywhere in the window.

    One coin for each of the V symbols (Gal and Ghahramani, 2016).
    """
    if masks is None or rate == 0:
        return embedding
    return embedding * _coins((len(embedding),), rate, masks).mask(embedding.dtype).to(embedding.device).unsqueeze(-1)


def _coins(shape: tuple[int, ...], rate: float, masks: torch.Generator) -> Coins:
    """A unit is dropped with probability `rate` (rounded to 1/65536), else scaled by its exact 1 / (1 - rate).

    Four coins come out of each word of 64 bits; `bernoulli_` draws a float64 a coin. On a CPU the generator gives
    nothing but the seed of the words.
    """
    dropped = min(round(rate * COIN_SIDES), COIN_SIDES - 1)
    coins = math.prod(shape)
    draw = _draw_on_cpu if masks.device.type == "cpu" else _draw_on_device
    bits = draw(-(-coins // 4), masks).view(torch.int16)[:coins].view(shape)
    return Coins(bits, dropped - COIN_SIDES // 2, COIN_SIDES / (COIN_SIDES - dropped))


def _draw_on_cpu(count: int, masks: torch.Generator) -> Tensor:
    """So many random words of 64 bits."""
    seed = torch.empty((), dtype=torch.int64).random_(generator=masks).item()
    return torch.from_numpy(random_words(int(seed), count).view(np.int64))


def _draw_on_device(count: int, masks: torch.Generator) -> Tensor:
    """The same where to read a seed would mean to wait for it."""
    draws = torch.empty(count, dtype=torch.int64, device=masks.device)
    return draws.random_(torch.iinfo(torch.int64).min, None, generator=masks)
