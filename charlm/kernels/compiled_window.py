"""A whole window in charlm's own compiled loops: layers, output layer, loss, and all the way back.

Lanes do not meet before the gradients of the weights, and what goes back from the loss is known. So each thread takes
its lanes from the first symbol to the last gate's gradient in one go. Who is done goes on with gradients of weights,
layer by layer, as soon as all lanes are through that layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charlm.kernels.head_window import HeadWindow
from charlm.kernels.inputs import Coins, Inputs, OutputLayer, number_format
from charlm.kernels.layer_input import LayerInput, input_of, start_of
from charlm.kernels.layer_window import LayerWindow
from charlm.kernels.loops import drop_lanes
from charlm.kernels.panels import Array, flat, widened
from charlm.kernels.scratch import Scratch
from charlm.kernels.team import Work, team_size

Tensors = tuple[Tensor, ...]


class Task(NamedTuple):
    """What is computed, beside numbers that gradients are wanted of."""

    cell: str
    dtype: torch.dtype
    ids: Tensor  # of the lowest layer's `LayerInput`
    targets: Tensor  # (T, B) int64
    state: Sequence[Tensors]
    masks: Sequence[Coins | None]
    scratch: Scratch


def window_loss(
    cell: str,
    inputs: Inputs,
    targets: Tensor,
    state: Sequence[Tensors],
    layers: Sequence[Tensors],
    masks: Sequence[Coins | None],
    head: OutputLayer,
    scratch: Scratch,
) -> tuple[Tensor, list[Tensors]]:
    """Mean loss over a window in nats, a scalar whose gradient is computed along with it, and the state after.

    Args:
        inputs: of the lowest layer, as a `charlm.kernels.Kernel` takes them.
        targets: (B, T) int64
        state: each layer's, of (B, H) each. No gradient goes back into it.
        layers: each layer's four weights, as a kernel takes them.
        masks: dropout of each layer's outputs, or None.
        head: with what is beside as (B, T, D); from here on it is time first.
        scratch: the same for windows that follow one another.
    """
    lowest = input_of(cell, inputs, layers[0])
    weights = [lowest.start, lowest.weight, layers[0][1]]
    for layer in layers[1:]:
        weights += [start_of(cell, layer), layer[0], layer[1]]
    task = Task(cell, number_format(), lowest.ids, targets.t().contiguous(), state, masks, scratch)
    with torch.autocast("cpu", enabled=False):
        beside = None if head.beside is None else head.beside.transpose(0, 1)
        loss, *after = _Window.apply(task, lowest.x, *head._replace(beside=beside), *weights)
    sizes = len(state[0])
    return loss, [tuple(after[index : index + sizes]) for index in range(0, len(after), sizes)]


class _Mask(NamedTuple):
    """Dropout of a layer's outputs as `drop_lanes` takes it."""

    coins: Array
    least: int
    scale: float
    dropped: Array  # where the outputs go that are left: (T, B, wide)


class _Window(torch.autograd.Function):
    """`window_loss` for torch: gradients come into being on the way forward and are handed over on the way back."""

    @staticmethod
    def forward(
        ctx: Any,
        task: Task,
        x: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        beside: Tensor | None,
        beside_weight: Tensor | None,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        head, threads = OutputLayer(weight, bias, beside, beside_weight), team_size()
        with task.scratch.taken(threads) as scratch:
            window = WholeWindow(task, x, head, weights, threads=threads, scratch=scratch)
            window.run()
            ctx.gradients = window.gradients()
            after = [part for layer in window.layers for part in layer.after]
        ctx.mark_non_differentiable(*after)
        return torch.tensor(window.loss), *after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss: Tensor, *after: Tensor) -> tuple[Any, ...]:
        if ctx.gradients is None:
            raise RuntimeError("a window's gradients were taken already; they can be taken once")
        gradients, ctx.gradients = ctx.gradients, None
        factor = loss.item()
        if factor != 1:
            gradients = [None if each is None else each * factor for each in gradients]
        return None, *gradients


class WholeWindow:
    """Layers, output layer and loss over one window. `run`, then take `gradients`."""

    def __init__(
        self,
        task: Task,
        x: Tensor | None,
        head: OutputLayer,
        weights: Sequence[Tensor],
        *,
        threads: int,
        scratch: Scratch,
    ) -> None:
        """
        Args:
            x: the lowest layer's input, see `LayerInput`.
            head: with what is beside time first.
            weights: start, input weight and recurrent weight of each layer in turn.
            threads, scratch: as a `LayerWindow` has them.
        """
        self.layers, self.masks, ids = list[LayerWindow](), list[_Mask | None](), task.ids
        for index, coins in enumerate(task.masks):
            start, input_weight, recurrent_weight = weights[3 * index : 3 * index + 3]
            layer = LayerWindow(
                task.cell,
                task.dtype,
                LayerInput(ids, x, start, input_weight),
                recurrent_weight,
                task.state[index],
                keep=True,
                threads=threads,
                scratch=scratch,
            )
            x, ids = layer.outputs, torch.zeros_like(ids)
            if coins is not None:
                # what is left of them has a place of its own, for the way back needs both
                x = scratch.empty(*x.shape, dtype=task.dtype)
            self.layers.append(layer)
            self.masks.append(None if coins is None else _mask(coins, layer, x))
        assert x is not None
        self.parts, self._threads = self.layers[0].parts, threads
        self.head = HeadWindow(x, task.targets, head, self.parts, threads=threads, scratch=scratch)
        gradient, self.gradients_between = self.head.y_gradient, list[Array]()
        for layer in reversed(self.layers):
            self.gradients_between.insert(0, flat(gradient))
            gradient = layer.start_back(gradient, [None] * len(layer.state))

    @property
    def loss(self) -> float:
        """Mean, in nats."""
        window = self.layers[0].window
        return float(self.head.losses.sum()) / (window.T * window.B)

    def run(self) -> None:
        """All lanes, all the way."""
        work = Work()
        for part in range(len(self.parts)):
            work.add(partial(self._lanes, work, part), gives=[self, self.head, *self.layers])
        found: list[HeadWindow | LayerWindow] = [self.head, *reversed(self.layers)]
        for each in found:
            each.weight_gradients.add_packing(work, needs=[self])
        for each in found:
            each.weight_gradients.add_finding(work, needs=[each], threads=self._threads)
        work.run(self._threads)

    def _lanes(self, work: Work, part: int, thread: int) -> None:
        """The lanes of one part. Given are: all outputs, as the window; the gradients of planes, as head or layer."""
        for layer, mask in zip(self.layers, self.masks, strict=True):
            layer.forward(part)
            if mask is not None:
                self._drop(part, layer, mask, flat(layer.outputs), mask.dropped)
        work.given(self)
        self.head.run(part)
        work.given(self.head)
        for layer, mask, y in reversed(list(zip(self.layers, self.masks, self.gradients_between, strict=True))):
            if mask is not None:
                self._drop(part, layer, mask, y, y)
            layer.backward(part)
            work.given(layer)

    def _drop(self, part: int, layer: LayerWindow, mask: _Mask, values: Array, result: Array) -> None:
        window, (first, last) = layer.window, self.parts[part]
        drop_lanes(first, last, window.T, window.B, window.H, values, mask.coins, mask.least, mask.scale, result)

    def gradients(self) -> list[Tensor | None]:
        """Of x, what an `OutputLayer` has, and each layer's start, input weight and recurrent weight."""
        found = [layer.gradients() for layer in self.layers]
        x = found[0].x
        return [
            None if x is None else x[:, :, : self.layers[0].width].clone(),
            *self.head.gradients(),
            *(each for layer in found for each in (layer.start, layer.input_weight, layer.recurrent_weight)),
        ]


def _mask(coins: Coins, layer: LayerWindow, dropped: Tensor) -> _Mask:
    # in the format of what it is multiplied by, as everywhere
    scale = torch.tensor(coins.scale, dtype=dropped.dtype).item()
    return _Mask(flat(widened(coins.bits, layer.wide)), coins.least, scale, flat(dropped))
