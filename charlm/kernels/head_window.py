"""The output layer and the loss over one window: between torch's tensors and the compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from charlm.kernels.head_loops import Head, head
from charlm.kernels.inputs import OutputLayer
from charlm.kernels.panels import Array, blocks_of, flat, pack, pack_back, padding, round_up, widened
from charlm.kernels.scratch import Scratch
from charlm.kernels.weight_gradient import WIDE, WeightGradients
from charlm.simd import WIDTH

# the bias of symbols that are only there to round their number up
NEVER = -1e30


class HeadWindow:
    """Loss and gradients over one window: `run` each part, the jobs of `weight_gradients`, then `gradients`.

    Attributes:
        y_gradient: of the outputs, (T, B, wide), filled by `run`.
        losses: the sum of each lane's losses, in nats, (B,) float64, filled by `run`.
    """

    def __init__(
        self,
        y: Tensor,
        targets: Tensor,
        given: OutputLayer,
        parts: Sequence[tuple[int, int]],
        *,
        threads: int,
        scratch: Scratch,
    ) -> None:
        """
        Args:
            y: outputs of the layers, (T, B, wide): H units and padding, read by `run`.
            targets: (T, B) int64, contiguous, each below V.
            given: its weights, with what is beside the outputs as (T, B, D).
            parts: first and last lane of each.
            threads: for packing weights.
            scratch: what it computes in, `y_gradient` too; what `gradients` gives is outside of it.
        """
        T, B, wide = y.shape
        (self.V, self.H), self.D = given.weight.shape, 0
        padded = round_up(self.V, padding(y.dtype))
        pack_weight = partial(_packed, rows=padded, dtype=y.dtype, threads=threads, scratch=scratch)
        biases = torch.full((padded,), NEVER, dtype=torch.float32)
        biases[: self.V] = given.bias.detach()
        panels, back_panels = pack_weight(given.weight, wide)
        depth, beside, beside_panels, beside_back_panels = 0, y, panels, back_panels  # not read
        if given.beside is not None and given.beside_weight is not None:
            self.D = given.beside_weight.shape[1]
            depth = round_up(self.D, padding(y.dtype))
            beside = widened(given.beside.to(y.dtype), depth)
            beside_panels, beside_back_panels = pack_weight(given.beside_weight, depth)
        self._beside_gradient = scratch.empty(T, B, depth, dtype=y.dtype)
        self.y_gradient = scratch.empty(T, B, wide, dtype=y.dtype)
        self.losses = np.empty(B)
        self._parts = parts
        self._head = Head(
            T=T,
            B=B,
            H=wide,
            depth=depth,
            V=padded,
            scale=1 / (T * B),
            targets=flat(targets),
            losses=self.losses,
            y=flat(y),
            panels=panels,
            back_panels=back_panels,
            beside=flat(beside),
            beside_panels=beside_panels,
            beside_back_panels=beside_back_panels,
            beside_gradient=flat(self._beside_gradient),
            bias=flat(biases),
            logits=flat(scratch.empty(T, B, padded, dtype=y.dtype)),
            y_gradient=flat(self.y_gradient),
        )
        # the bias is what each logit's sum begins with
        ids = np.zeros(T * B, np.int64)
        self.weight_gradients = WeightGradients(self._head.logits, ids, 1, scratch)
        self._weight = self.weight_gradients.of_weight(self._head.y, wide, 0, padded)
        if depth:
            self._beside_weight = self.weight_gradients.of_weight(self._head.beside, depth, 0, padded)

    def run(self, part: int) -> None:
        """The lanes of one part."""
        head(*self._parts[part], self._head)

    def gradients(self) -> tuple[Tensor | None, ...]:
        """Of what an `OutputLayer` has."""
        own = self._weight[: self.V, : self.H], self.weight_gradients.start[0, : self.V]
        if not self.D:
            return *own, None, None
        return *own, self._beside_gradient[:, :, : self.D].clone(), self._beside_weight[: self.V, : self.D]


def _packed(
    weight: Tensor, depth: int, *, rows: int, dtype: torch.dtype, threads: int, scratch: Scratch
) -> tuple[Array, Array]:
    """A weight filled up to so many rows and columns, packed for going forward and for going back."""
    blocks = blocks_of(weight, 1, rows, depth)
    return _panels(blocks, dtype, threads, scratch), pack_back(blocks, dtype, threads, scratch)


def _panels(weight: Tensor, dtype: torch.dtype, threads: int, scratch: Scratch) -> Array:
    """Panels of an output layer (1, V, H): PANEL vectors side by side as far as those go, then single ones."""
    whole = weight.shape[1] // WIDE * WIDE
    blocks = (weight[:, :whole].contiguous(), WIDE), (weight[:, whole:].contiguous(), WIDTH)
    return np.concatenate([pack(part, block, dtype, threads, scratch) for part, block in blocks if part.numel()])
