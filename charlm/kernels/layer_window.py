"""One layer on its way over a window and back: between torch's tensors and the compiled loops.

Any number of threads work on it: each on lanes of its own, and then on weights whose gradients they find together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from charlm.kernels.layer_input import LayerInput
from charlm.kernels.loop_table import LOOPS
from charlm.kernels.loops import Gradients, Window
from charlm.kernels.panels import blocks_of, flat, pack, pack_back, padding, round_up, widened
from charlm.kernels.scratch import Scratch
from charlm.kernels.team import shares
from charlm.kernels.weight_gradient import WeightGradients

Tensors = tuple[Tensor, ...]


class LayerGradients(NamedTuple):
    """What came out at the other end; see `LayerWindow`."""

    x: Tensor | None
    start: Tensor
    input_weight: Tensor | None
    recurrent_weight: Tensor
    state: Tensors


class LayerWindow:
    """A layer over one window. `forward`, `start_back`, `backward`, the jobs of `weight_gradients`, then `gradients`.

    Letters: T steps, B lanes, H units, `wide` units with padding.
    """

    def __init__(
        self,
        cell: str,
        dtype: torch.dtype,
        given: LayerInput,
        recurrent_weight: Tensor,
        state: Sequence[Tensor],
        *,
        keep: bool,
        threads: int,
        scratch: Scratch,
    ) -> None:
        """
        Args:
            dtype: of the products, float32 or bfloat16.
            given: its input; `ids` contiguous.
            recurrent_weight: (GH, H)
            state: of (B, H) each.
            keep: whether it will go back.
            threads: for packing weights, and the most that share the lanes.
            scratch: what it computes in; what `after` gives, and `gradients` of weights, is outside of it.
        """
        self.loops = loops = LOOPS[cell]
        ids, x, start, input_weight = given
        (T, B), self.H = ids.shape, recurrent_weight.shape[1]
        _check(T, B, self.H, state)
        self.wide = wide = round_up(self.H, max(loops.block, padding(dtype)))
        self.parts, self.threads = shares(B, threads), threads
        self._scratch = scratch
        self.h = _begun(state[0], scratch.empty(T + 1, B, wide, dtype=dtype))
        self.memory = scratch.empty(1)  # not read
        if loops.memory != "none":
            self.memory = _begun(state[-1], scratch.empty(T + 1, B, wide))
        self.planes = scratch.empty((T if keep else 1) * B * loops.planes * wide, dtype=dtype)
        self.state = tuple(state)
        self._recurrent = blocks_of(recurrent_weight, loops.gates, wide, wide)
        recurrent_panels = pack(self._recurrent, loops.block, dtype, threads, scratch)
        if x is None:
            self.width = depth = 0
            inputs, input_panels = self.h, recurrent_panels  # not read
        else:
            self.width = input_weight.shape[1]
            inputs = widened(x.to(dtype), round_up(x.shape[2], padding(dtype)))
            depth = inputs.shape[2]
            self._given = blocks_of(input_weight, loops.gates, wide, depth)
            # where the planes have the order of the weights nothing is copied
            if loops.input_order != tuple(range(loops.gates)):
                self._given = self._given[list(loops.input_order)]
            input_panels = pack(self._given, loops.block, dtype, threads, scratch)
        self.window = Window(
            T=T,
            B=B,
            H=wide,
            depth=depth,
            keep=keep,
            ids=flat(ids),
            start=flat(widened(start, wide)),
            x=flat(inputs),
            input_panels=input_panels,
            recurrent_panels=recurrent_panels,
            h=flat(self.h),
            memory=flat(self.memory),
            planes=flat(self.planes),
        )

    @property
    def outputs(self) -> Tensor:
        """(T, B, wide), filled by `forward`."""
        return self.h[1:]

    @property
    def after(self) -> Tensors:
        """The state after the window, (B, H) each, in the format of the state before."""
        first = self.memory if self.loops.memory == "output" else self.h
        last = [first[-1], self.memory[-1]][: len(self.state)]
        return tuple(new[:, : self.H].to(old.dtype, copy=True) for new, old in zip(last, self.state, strict=True))

    def forward(self, part: int) -> None:
        """The lanes of one part, from the first step to the last."""
        self.loops.forward(*self.parts[part], self.window)

    def start_back(self, y: Tensor, after: Sequence[Tensor | None]) -> Tensor:
        """Get ready to go back.

        Args:
            y: gradient of the outputs, (T, B, wide), in the format of the products; read by `backward`.
            after: gradient of the state after the window, (B, H) each, None for zeros.

        Returns:
            The gradient of x, (T, B, in with padding), to be filled by `backward`.
        """
        T, B, depth, dtype = self.window.T, self.window.B, self.window.depth, self.planes.dtype
        scratch = self._scratch
        self._x = scratch.empty(T, B, depth, dtype=dtype)
        self._carried = [_carried(each, scratch.zeros(B, self.wide)) for each in (*after, None)[:2]]
        panels = pack_back(self._recurrent, dtype, self.threads, scratch)
        self._back = Gradients(
            x=flat(self._x) if depth else self.window.planes,
            y=flat(y),
            h=flat(self._carried[0]),
            memory=flat(self._carried[1]),
            input_panels=pack_back(self._given, dtype, self.threads, scratch) if depth else panels,
            recurrent_panels=panels,
        )
        rows, names = self.loops.gates * self.wide, self.window.start.size // (self.loops.planes * self.wide)
        self.weight_gradients = WeightGradients(self.window.planes, self.window.ids, names, scratch)
        begin = self.loops.recurrent_plane * self.wide
        self._recurrent_gradient = self.weight_gradients.of_weight(self.window.h, self.wide, begin, rows)
        if depth:
            self._input_gradient = self.weight_gradients.of_weight(self.window.x, depth, 0, rows)
        return self._x

    def backward(self, part: int) -> None:
        """The lanes of one part, from the last step to the first."""
        self.loops.backward(*self.parts[part], self.window, self._back)

    def gradients(self) -> LayerGradients:
        """Of everything that the layer was made of, in float32 but for x: (T, B, in with padding)."""
        loops, H = self.loops, self.H
        start = self.weight_gradients.start.view(-1, loops.planes, self.wide)[:, :, :H]
        input_weight = None
        if self.window.depth:
            order = sorted(range(loops.gates), key=loops.input_order.__getitem__)
            input_weight = self._matrix(self._input_gradient, order, self.width)
        carried = self._carried
        if loops.memory == "output":
            carried[0] = carried[0] + carried[1]
        return LayerGradients(
            x=self._x if self.window.depth else None,
            start=start,
            input_weight=input_weight,
            recurrent_weight=self._matrix(self._recurrent_gradient, range(loops.gates), H),
            state=tuple(each[:, :H] for each in carried[: len(self.state)]),
        )

    def _matrix(self, gradient: Tensor, order: Sequence[int], width: int) -> Tensor:
        """A weight gradient without padding, (GH, width), its gates put in order."""
        found = gradient.view(self.loops.gates, self.wide, -1)
        if list(order) != list(range(self.loops.gates)):
            found = found[list(order)]
        return found[:, : self.H, :width].reshape(-1, width)


def _check(T: int, B: int, H: int, state: Sequence[Tensor]) -> None:
    """The loops look at no bounds."""
    shapes = [tuple(part.shape) for part in state]
    if T < 1 or B < 1 or any(shape != (B, H) for shape in shapes):
        raise ValueError(f"a window needs a step, a lane and a state of {(B, H)}: was {(T, B)}, state {shapes}")


def _begun(state: Tensor, room: Tensor) -> Tensor:
    """Room for a state over a window, (T + 1, B, wide), with `state` (B, H) at its beginning."""
    room[0, :, : state.shape[1]] = state
    room[0, :, state.shape[1] :] = 0
    return room


def _carried(gradient: Tensor | None, room: Tensor) -> Tensor:
    """The gradient of the state after a window, for the loops to write over: (B, wide) float32, zeros at first."""
    if gradient is not None:
        room[:, : gradient.shape[1]] = gradient
    return room
