"""The usual character RNN: nn.Embedding, nn.LSTM / nn.GRU / nn.RNN, nn.Linear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Arrays = Mapping[str, npt.NDArray[Any]]

LAYERS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN}
CELLS: dict[str, Any] = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "elman": nn.RNNCell}
# torch's names of a layer's weights, by charlm's
NAMES = {
    "input_weight": "weight_ih",
    "recurrent_weight": "weight_hh",
    "input_bias": "bias_ih",
    "recurrent_bias": "bias_hh",
}


class CharRNN(nn.Module):
    """All layers in one module, a whole window in one call."""

    def __init__(self, cell: str, arrays: Arrays) -> None:
        """arrays: charlm's weights, as `LanguageModel.to_arrays` gives them."""
        super().__init__()
        (V, E), (_, H) = arrays["embedding"].shape, arrays["output_weight"].shape
        layers = sum(name.endswith(".input_weight") for name in arrays)
        self.embedding = nn.Embedding(V, E)
        self.rnn = LAYERS[cell](E, H, layers, batch_first=True)
        self.head = nn.Linear(H, V)
        targets = {f"layers.{i}.{a}": getattr(self.rnn, f"{b}_l{i}") for i in range(layers) for a, b in NAMES.items()}
        copy_weights(arrays, self, targets)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """x: (B, T) -> logits (B, T, V), state"""
        y, state = self.rnn(self.embedding(x), state)
        return self.head(y), state

    def loss(self, x: Tensor, y: Tensor, state: Any) -> tuple[Tensor, Any]:
        """x, y: (B, T) -> mean loss in nats, state"""
        logits, state = self(x, state)
        return F.cross_entropy(logits.flatten(0, 1), y.flatten()), state


class CellLoop(nn.Module):
    """A Python loop over characters and layers, as in widely used ports of char-rnn."""

    def __init__(self, cell: str, arrays: Arrays) -> None:
        super().__init__()
        (V, E), (_, H) = arrays["embedding"].shape, arrays["output_weight"].shape
        layers = sum(name.endswith(".input_weight") for name in arrays)
        self.embedding = nn.Embedding(V, E)
        self.cells = nn.ModuleList(CELLS[cell](E if i == 0 else H, H) for i in range(layers))
        self.head = nn.Linear(H, V)
        targets = {f"layers.{i}.{a}": getattr(self.cells[i], b) for i in range(layers) for a, b in NAMES.items()}
        copy_weights(arrays, self, targets)

    def step(self, x: Tensor, state: list[Any]) -> tuple[Tensor, list[Any]]:
        """x: (B,) -> logits (B, V), state"""
        h, after = self.embedding(x), []
        for cell, before in zip(self.cells, state, strict=True):
            new = cell(h, before)
            after.append(new)
            h = new[0] if isinstance(new, tuple) else new
        return self.head(h), after

    def loss(self, x: Tensor, y: Tensor, state: Any) -> tuple[Tensor, Any]:
        """x, y: (B, T) -> mean loss in nats, state"""
        state = state or [None] * len(self.cells)
        total = torch.zeros(())
        for t in range(x.shape[1]):
            logits, state = self.step(x[:, t], state)
            total = total + F.cross_entropy(logits, y[:, t])
        return total / x.shape[1], state


def copy_weights(arrays: Arrays, model: Any, layers: Mapping[str, Tensor]) -> None:
    """charlm's numbers into an embedding, a head, and the layers' tensors under charlm's names."""
    targets = {
        **layers,
        "embedding": model.embedding.weight,
        "output_weight": model.head.weight,
        "output_bias": model.head.bias,
    }
    if targets.keys() != arrays.keys():
        raise ValueError(f"weights that have no place on the other side: {sorted(targets.keys() ^ arrays.keys())}")
    with torch.no_grad():
        for name, tensor in targets.items():
            tensor.copy_(torch.from_numpy(np.asarray(arrays[name])))


class TrainingLoop:
    """The usual training loop: windows from a tensor, Adam, clipped gradients, the state carried on."""

    def __init__(
        self, model: CharRNN | CellLoop, rows: Tensor, window_length: int, *, rate: float, clip: float, autocast: bool
    ) -> None:
        """rows: (B, N) ids, one row a lane; autocast: products in bfloat16."""
        self.model, self.rows, self.T = model, rows, window_length
        self.optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        self.clip, self.autocast = clip, autocast
        self.state: Any = None
        self.windows = self._windows()

    def _windows(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for start in range(0, self.rows.shape[1] - self.T, self.T):
                yield self.rows[:, start : start + self.T], self.rows[:, start + 1 : start + self.T + 1]

    def step(self) -> float:
        """One window; the loss before the update."""
        x, y = next(self.windows)
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            loss, state = self.model.loss(x, y, self.state)
        self.state = detached(state)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return loss.item()


def detached(state: Any) -> Any:
    """The same numbers without their history."""
    if isinstance(state, Tensor):
        return state.detach()
    return type(state)(detached(part) for part in state)


def lane_rows(ids: npt.NDArray[Any], batch_size: int, length: int) -> Tensor:
    """The text cut as charlm cuts it: row b begins at b (N - 1) // B. (B, length)

    Raises:
        ValueError: the last row would run over the end of the text, where charlm goes on at its beginning.
    """
    starts = np.arange(batch_size)[:, None] * (len(ids) - 1) // batch_size
    if starts[-1, 0] + length > len(ids):
        raise ValueError(f"{batch_size} rows of {length} symbols do not fit a text of {len(ids)}")
    return torch.from_numpy(np.asarray(ids)[starts + np.arange(length)].astype(np.int64))
