"""The usual sampling loops: one step of the model, softmax at a temperature, one draw, and on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from opponents.nn_model import CharRNN

Arrays = Mapping[str, npt.NDArray[Any]]
Logits = npt.NDArray[np.float32]

TEMPERATURE = 0.8


class TorchLoop:
    """nn.LSTM one step at a time under inference_mode, on so many threads."""

    def __init__(self, cell: str, arrays: Arrays, threads: int) -> None:
        self.model = CharRNN(cell, arrays).eval()
        self.threads = threads

    def write(self, count: int, streams: int) -> torch.Tensor:
        """`count` ids of each stream: (streams, count)"""
        torch.set_num_threads(self.threads)
        with torch.inference_mode():
            ids, state = torch.zeros(streams, 1, dtype=torch.int64), None
            written = []
            for _ in range(count):
                logits, state = self.model(ids, state)
                probabilities = torch.softmax(logits[:, -1] / TEMPERATURE, dim=-1)
                ids = torch.multinomial(probabilities, 1)
                written.append(ids)
            return torch.cat(written, dim=1)

    def logits(self, ids: npt.NDArray[np.int64]) -> Logits:
        """Logits (T, V) after each of the ids (T,), one step at a time."""
        torch.set_num_threads(self.threads)
        found, state = [], None
        with torch.inference_mode():
            for one in ids.tolist():
                logits, state = self.model(torch.tensor([[one]]), state)
                found.append(logits[0, -1].numpy())
        return np.stack(found)


class OnnxLoop:
    """ONNX Runtime one step at a time, softmax and draw in NumPy."""

    def __init__(self, cell: str, arrays: Arrays, threads: int) -> None:
        """Raises `ImportError` where the extra `bench` is not installed."""
        from opponents.onnx_model import OnnxModel

        self.model = OnnxModel(cell, arrays, threads)

    def write(self, count: int, streams: int) -> npt.NDArray[np.int64]:
        """`count` ids of each stream: (streams, count)"""
        random = np.random.default_rng(1)
        ids, state = np.zeros(streams, dtype=np.int64), self.model.initial_state(streams)
        written = np.empty((streams, count), dtype=np.int64)
        for at in range(count):
            logits, state = self.model.step(ids, state)
            scaled = np.exp((logits - logits.max(axis=1, keepdims=True)) / TEMPERATURE).cumsum(axis=1)
            drawn = random.random((streams, 1), dtype=np.float32) * scaled[:, -1:]
            ids = (scaled <= drawn).sum(axis=1).clip(max=logits.shape[1] - 1)
            written[:, at] = ids
        return written

    def logits(self, ids: npt.NDArray[np.int64]) -> Logits:
        """Logits (T, V) after each of the ids (T,), one step at a time."""
        found, state = [], self.model.initial_state(1)
        for one in ids.tolist():
            logits, state = self.model.step(np.array([one]), state)
            found.append(logits[0])
        return np.stack(found)


# What charlm is held against, by the name in the tables: (cell, weights, threads) -> loop.
LOOPS: dict[str, Callable[[str, Arrays, int], TorchLoop | OnnxLoop]] = {
    "nn": TorchLoop,
    "ONNX Runtime": OnnxLoop,
}
