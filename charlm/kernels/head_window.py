"""The output layer and the loss over one window: between torch's tensors and the compiled loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from charlm.kernels.head_loops import Head, head
from charlm.kernels.panels import Array, blocks_of, flat, pack, pack_back, padding, round_up
from charlm.kernels.scratch import Scratch
from charlm.kernels.weight_gradient import WIDE, Lanes, WeightGradient, find_gradients
from charlm.simd import WIDTH

# the bias of symbols that are only there to round their number up
NEVER = -1e30


class HeadWindow:
    """Loss and gradients over one window: `run` each part once its outputs are there, `add_up`, take `gradients`.

    Attributes:
        y_gradient: of the outputs, (T, B, wide), filled by `run`.
        losses: the sum of each part's losses, in nats.
    """

    def __init__(
        self,
        y: Tensor,
        targets: Tensor,
        weight: Tensor,
        bias: Tensor,
        parts: Sequence[tuple[int, int]],
        *,
        threads: int,
        scratch: Scratch,
    ) -> None:
        """
        Args:
            y: outputs of the layers, (T, B, wide): H units and padding, read by `run`.
            targets: (T, B) int64, contiguous, each below V.
            weight: (V, H)
            bias: (V,)
            parts: first and last lane of each.
            threads: for packing weights.
            scratch: what it computes in, `y_gradient` too; what `gradients` gives is outside of it.
        """
        T, B, wide = y.shape
        self.V, self.H = weight.shape
        padded = round_up(self.V, padding(y.dtype))
        blocks = blocks_of(weight, 1, padded, wide)
        biases = torch.full((padded,), NEVER, dtype=torch.float32)
        biases[: self.V] = bias.detach()
        self.y_gradient = scratch.empty(T, B, wide, dtype=y.dtype)
        self.losses = [0.0] * len(parts)
        self._parts, self._scratch = parts, scratch
        self._head = Head(
            T=T,
            B=B,
            H=wide,
            V=padded,
            scale=1 / (T * B),
            targets=flat(targets),
            y=flat(y),
            panels=_panels(blocks, y.dtype, threads, scratch),
            back_panels=pack_back(blocks, y.dtype, threads, scratch),
            bias=flat(biases),
            logits=flat(scratch.empty(T, B, padded, dtype=y.dtype)),
            y_gradient=flat(self.y_gradient),
        )
        self._weight = WeightGradient(len(parts), padded, wide, scratch)
        self._bias = scratch.zeros(len(parts), padded)

    def run(self, part: int) -> None:
        """The lanes of one part."""
        first, last = self._parts[part]
        this = self._head
        self.losses[part] = head(first, last, this, flat(self._bias[part]))
        lanes = Lanes(part, first, last, this.T, this.B, self._scratch.part(part))
        find_gradients(lanes, this.logits, this.V, [self._weight.applied(part, 0, this.y)])

    def add_up(self, part: int) -> None:
        """What all parts found, once they were run; each has its share of this."""
        self._weight.add_up(part, len(self._parts))

    def gradients(self) -> tuple[Tensor, Tensor]:
        """Of weight and bias."""
        return self._weight.total[: self.V, : self.H], self._bias.sum(0)[: self.V]


def _panels(weight: Tensor, dtype: torch.dtype, threads: int, scratch: Scratch) -> Array:
    """Panels of an output layer (1, V, H): PANEL vectors side by side as far as those go, then single ones."""
    whole = weight.shape[1] // WIDE * WIDE
    blocks = (weight[:, :whole].contiguous(), WIDE), (weight[:, whole:].contiguous(), WIDTH)
    return np.concatenate([pack(part, block, dtype, threads, scratch) for part, block in blocks if part.numel()])
