"""What a GPU is compared with: cuDNN's layers with nothing around them, and the usual loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from opponents.nn_model import CharRNN, TrainingLoop, detached

# Calls before a graph is recorded: libraries set themselves up in them.
CALLS_BEFORE_GRAPH = 3


def synchronise(device: torch.device) -> None:
    """Wait for all that was queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def replayed(compute: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """`compute` recorded in a graph, so that nothing but its kernels is timed; as it is where there are none."""
    if device.type != "cuda":
        return compute
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(CALLS_BEFORE_GRAPH):
            compute()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        compute()
    return graph.replay


def bare_layers(
    layers: int, H: int, B: int, T: int, dtype: torch.dtype, device: torch.device, *, together: bool
) -> Callable[[], Any]:
    """Forward and backward of nn.LSTM alone: all layers in one call, or a call for each."""
    shapes = [layers] if together else [1] * layers
    modules = [nn.LSTM(H, H, number, device=device, dtype=dtype) for number in shapes]
    if device.type == "cuda":
        for module in modules:
            flatten(module)
    x = torch.randn(T, B, H, device=device, dtype=dtype, requires_grad=True)
    state = [torch.zeros(layers, B, H, device=device, dtype=dtype) for _ in range(2)]
    gradient = torch.randn(T, B, H, device=device, dtype=dtype)
    wanted = [x, *(parameter for module in modules for parameter in module.parameters())]

    def compute() -> None:
        y, at = x, 0
        for module, number in zip(modules, shapes, strict=True):
            h, c = (part[at : at + number] for part in state)
            y, _ = module(y, (h, c))
            at += number
        torch.autograd.grad(y, wanted, gradient)

    return replayed(compute, device)


def flatten(lstm: nn.LSTM) -> None:
    """Put the weights where cuDNN wants them, once; in bfloat16 torch's own layers would pack them at each call."""
    with torch.no_grad():
        # weights of a layer, input size, cell, H, no projection, layers, batch_first, bidirectional
        torch._cudnn_rnn_flatten_weight(
            lstm._flat_weights, 4, lstm.input_size, 2, lstm.hidden_size, 0, lstm.num_layers, False, False
        )


class DeviceLoop(TrainingLoop):
    """The usual loop, its text on the device: loss.item() each step, Adam and clipping as torch has them by default."""

    def __init__(self, model: CharRNN, rows: Tensor, window_length: int, *, rate: float, clip: float, autocast: bool):
        super().__init__(model, rows, window_length, rate=rate, clip=clip, autocast=autocast)
        self.device = rows.device

    def step(self) -> float:
        """One window; the loss before the update."""
        x, y = next(self.windows)
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            loss, state = self.model.loss(x, y, self.state)
        self.state = detached(state)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return loss.item()


def usual_writer(model: CharRNN, streams: int, device: torch.device) -> Callable[[int], None]:
    """nn.LSTM one step at a time, multinomial draws, the ids read at each step as one reads them to print."""
    ids = torch.zeros(streams, 1, dtype=torch.int64, device=device)
    state = None

    @torch.inference_mode()
    def run(count: int) -> None:
        nonlocal ids, state
        for _ in range(count):
            logits, state = model(ids, state)
            ids = torch.multinomial((logits[:, -1] / 0.8).softmax(-1), 1)
            ids.cpu()

    return run
