"""The transforms and the draw of `charlm.generation` on a device: all rows at once, and nothing goes to the host.

In float64 as there, in the same order. Letters: R rows computed at once, V, K draws that are kept.
"""

from __future__ import annotations

import math
import sys
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Ids of each row that are drawn at most before the host reads them.
LONGEST_BLOCK = 64
LARGEST = sys.float_info.max / 4
Rules = tuple[float, ...]
"""A number for each of `charlm.runtime.drawing.RULES`."""


class Texts(Protocol):
    """What is read of `charlm.runtime.Drawing`, whose state is one of tensors here."""

    @property
    def ids(self) -> npt.NDArray[np.int64]: ...
    @property
    def state(self) -> Any: ...
    @property
    def rules(self) -> npt.NDArray[np.float64]: ...
    @property
    def recent(self) -> npt.NDArray[np.int64]: ...
    @property
    def written(self) -> npt.NDArray[np.int64]: ...


class Draws:
    """Where a block of draws has its uniform numbers from, and leaves what it drew: fixed places, as a graph needs."""

    def __init__(self, rows: int, ring: int, device: torch.device) -> None:
        """
        Args:
            rows: R.
            ring: the last ids that a repetition penalty looks back on.
        """
        block = (LONGEST_BLOCK, rows)
        self._uniforms = torch.zeros(block, dtype=torch.float64, device=device)
        self._ids = torch.zeros(block, dtype=torch.int64, device=device)
        self._nats = torch.zeros(block, dtype=torch.float64, device=device)
        self._at = torch.zeros(1, dtype=torch.int64, device=device)
        self._recent = torch.zeros((rows, ring), dtype=torch.int64, device=device)
        self._written = torch.zeros((rows, 1), dtype=torch.int64, device=device)

    @property
    def changed(self) -> list[Tensor]:
        """What a step changes that the next one reads."""
        return [self._at, self._recent, self._written]

    def begin(self, uniforms: npt.NDArray[np.float64]) -> None:
        """Take the uniform numbers of a block, (n, K), n at most R, K at most LONGEST_BLOCK."""
        n, K = uniforms.shape
        self._uniforms[:K, :n].copy_(torch.from_numpy(np.ascontiguousarray(uniforms.T)))
        self._at.zero_()

    def step(self, logits: Tensor, rules: Rules) -> Tensor:
        """Draw from logits (R, V) of the model, keep what was drawn, and return it: (R,)."""
        seen = _seen(self._recent, self._written, logits.shape[1]) if rules[0] != 1 else None
        ids, nats = draw(logits, rules, seen, self._uniforms.index_select(0, self._at)[0])
        self._ids.index_copy_(0, self._at, ids.unsqueeze(0))
        self._nats.index_copy_(0, self._at, nats.unsqueeze(0))
        self._at.add_(1)
        self._recent.scatter_(1, self._written % self._recent.shape[1], ids.unsqueeze(1))
        self._written.add_(1)
        return ids

    def drawn(self, n: int, K: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The ids of the first K steps, and their nats, of n rows: (n, K) each."""
        ids, nats = (kept[:K, :n].t().to("cpu", copy=True).numpy() for kept in (self._ids, self._nats))
        return ids, nats

    def take_ring(self, recent: npt.NDArray[np.int64], written: npt.NDArray[np.int64]) -> None:
        """recent: (n, ring), written: (n,)"""
        self._recent[: len(recent)].copy_(torch.from_numpy(recent))
        self._written[: len(written), 0].copy_(torch.from_numpy(written))

    def give_ring(self, recent: npt.NDArray[np.int64], written: npt.NDArray[np.int64]) -> None:
        """Put it back into the same arrays."""
        recent[:] = self._recent[: len(recent)].cpu().numpy()
        written[:] = self._written[: len(written), 0].cpu().numpy()


def draw(logits: Tensor, rules: Rules, seen: Tensor | None, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """An id for each row.

    Args:
        logits: (R, V) of the model.
        seen: (R, V) whether a symbol is among the last ones; read where there is a repetition penalty.
        uniforms: (R,) float64 in [0, 1): a draw inverts the cumulative distribution, ids in ascending order.

    Returns:
        ids (R,), and their nats (R,) under the model itself, float64: nan where it has exploded.
    """
    penalty, temperature, top_k, top_p, min_p = rules
    own = wide = logits.double()
    V = logits.shape[1]
    if seen is not None:
        changed = torch.where(wide > 0, wide / penalty, wide * penalty).clamp(-LARGEST, LARGEST)
        wide = torch.where(seen & wide.isfinite(), changed, wide)
    top = wide.amax(1, keepdim=True)
    if temperature == 0:
        # of equals the lowest id, which no argmax promises; of what is no number some id
        places = torch.arange(V, device=logits.device)
        ids = torch.where(wide == top, places, V - 1).amin(1)
    else:
        # the best is at 0 before the division, so a temperature of 1e-300 overflows to -inf, never to nan
        wide = wide - top if temperature == 1 else (wide - top) / temperature
        if 0 < top_k < V:
            wide = _best(wide, int(top_k))
        if top_p < 1:
            wide = _nucleus(wide, top_p)
        if min_p > 0:
            wide = wide.masked_fill(wide < math.log(min_p), -math.inf)
        ids = _inverted(wide, uniforms)
    best = own.amax(1)
    nats = (own - best.unsqueeze(1)).exp().sum(1).log() + best - own.gather(1, ids.unsqueeze(1))[:, 0]
    return ids, nats


def _seen(recent: Tensor, written: Tensor, V: int) -> Tensor:
    """(R, V): whether a symbol is in its row's ring."""
    places = torch.arange(recent.shape[1], device=recent.device)
    # what was never written counts for a symbol that there is not
    symbols = torch.where(places < written, recent, V)
    marks = torch.zeros((len(recent), V + 1), dtype=torch.bool, device=recent.device)
    return marks.scatter_(1, symbols, True)[:, :V]


def _best(wide: Tensor, k: int) -> Tensor:
    """`charlm.generation.transforms.TopK`."""
    least = wide.topk(k, dim=1).values[:, -1:]
    above, equal = wide > least, wide == least
    # as many of those equal to the k-th as still fit, lowest ids first
    kept = above | (equal & (equal.cumsum(1) <= k - above.sum(1, keepdim=True)))
    return wide.masked_fill(~kept, -math.inf)


def _nucleus(wide: Tensor, share: float) -> Tensor:
    """`charlm.generation.transforms.TopP`."""
    values, order = wide.sort(dim=1, descending=True, stable=True)
    cumulative = (values - values[:, :1]).exp().cumsum(1)
    enough = torch.searchsorted(cumulative, share * cumulative[:, -1:])
    places = torch.arange(wide.shape[1], device=wide.device)
    kept = torch.zeros_like(wide, dtype=torch.bool).scatter_(1, order, places <= enough)
    return wide.masked_fill(~kept, -math.inf)


def _inverted(wide: Tensor, uniforms: Tensor) -> Tensor:
    """`charlm.generation.sampler.invert`, for each row."""
    cumulative = (wide - wide.amax(1, keepdim=True)).exp().cumsum(1)
    total = cumulative[:, -1:].contiguous()
    found = torch.searchsorted(cumulative, uniforms.unsqueeze(1) * total, right=True)
    # subtle: a product that rounds up to the total means the last id that has any probability; and of what is no number
    # some id is taken, for it is looked up in the next step
    last = torch.searchsorted(cumulative, total).clamp(max=wide.shape[1] - 1)
    return torch.minimum(found, last)[:, 0]
