"""One step in time of each cell, in NumPy. The equations, one by one, are those of `charlm.models.cells`.

A cell here starts from the input's share of its gates (W x with its biases), which a layer computes or
looks up; one that changes its input first multiplies it by itself (`takes_input`). Gates that go through a sigmoid
have had their rows halved at load, exactly, since

    sigmoid(v) = (1 + tanh(v / 2)) / 2

so that one tanh serves all gates of an LSTM, and no large v can overflow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from charlm.runtime.product import Product
from charlm.runtime.state import Array, LayerState


class Cell(ABC):
    """The recurrence of one layer. N rows, H units, G gates."""

    carried: ClassVar[int] = 1
    """How many arrays (N, H) the state is."""
    halved: ClassVar[tuple[int, ...]] = ()
    """Which of the G gates are sigmoids."""
    gates: ClassVar[int]
    takes_input: ClassVar[bool] = False
    """Whether `step` is given the layer's input (N, in) in place of its share of the gates."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """weights: of the layer, by their short names; rows and biases of the gates scaled by `scale`."""
        self.H = weights["recurrent_weight"].shape[1]
        self.recurrent = Product(weights["recurrent_weight"])

    @classmethod
    def scale(cls, H: int) -> Array:
        """(GH, 1): what each row of the weights, and each bias, is multiplied with at load."""
        factors = [0.5 if gate in cls.halved else 1.0 for gate in range(cls.gates)]
        return np.repeat(np.array(factors, dtype=np.float32), H)[:, None]

    @classmethod
    def early_bias(cls, recurrent_bias: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The part (GH,) of the recurrent bias that can be added to the input's share beforehand."""
        return recurrent_bias

    @abstractmethod
    def step(self, x: Array, state: LayerState) -> LayerState:
        """x: (N, GH), the input's share -> next state, whose first array is the output."""


class Elman(Cell):
    """h' = tanh(x + U h)"""

    gates = 1

    def step(self, x: Array, state: LayerState) -> LayerState:
        return (np.tanh(x + self.recurrent(state[0])),)


class ElmanReLU(Cell):
    """h' = relu(x + U h)"""

    gates = 1

    def step(self, x: Array, state: LayerState) -> LayerState:
        return (np.maximum(x + self.recurrent(state[0]), np.float32(0)),)


class GRU(Cell):
    """n = tanh(x_n + r * (U_n h + c_n)), h' = (1 - z) * n + z * h"""

    gates = 3
    halved = (0, 1)

    def __init__(self, weights: Mapping[str, Array]) -> None:
        super().__init__(weights)
        self.candidate_bias: Array = np.array(weights["recurrent_bias"][2 * self.H :], dtype=np.float32)

    @classmethod
    def early_bias(cls, recurrent_bias: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """All but the candidate's, which the reset gate is multiplied with."""
        early = np.array(recurrent_bias)
        early[2 * len(early) // 3 :] = 0
        return early

    def step(self, x: Array, state: LayerState) -> LayerState:
        H, (h,) = self.H, state
        u = self.recurrent(h)
        t = np.tanh(x[:, : 2 * H] + u[:, : 2 * H])
        r, z = 0.5 * t[:, :H] + 0.5, 0.5 * t[:, H:] + 0.5
        n = np.tanh(x[:, 2 * H :] + r * (u[:, 2 * H :] + self.candidate_bias))
        return (n + z * (h - n),)


class GRUResetBefore(Cell):
    """n = tanh(x_n + U_n (r * h)), h' = (1 - z) * n + z * h"""

    gates = 3
    halved = (0, 1)

    def __init__(self, weights: Mapping[str, Array]) -> None:
        recurrent = weights["recurrent_weight"]
        H = recurrent.shape[1]
        super().__init__({"recurrent_weight": recurrent[: 2 * H]})
        self.candidate = Product(recurrent[2 * H :])

    def step(self, x: Array, state: LayerState) -> LayerState:
        H, (h,) = self.H, state
        t = np.tanh(x[:, : 2 * H] + self.recurrent(h))
        r, z = 0.5 * t[:, :H] + 0.5, 0.5 * t[:, H:] + 0.5
        n = np.tanh(x[:, 2 * H :] + self.candidate(r * h))
        return (n + z * (h - n),)


class LSTM(Cell):
    """m' = f * m + i * g, h' = o * tanh(m')"""

    gates = 4
    halved = (0, 1, 3)
    carried = 2

    def step(self, x: Array, state: LayerState) -> LayerState:
        H, (h, m) = self.H, state
        t = np.tanh(x + self.recurrent(h))
        i, f, g, o = t[:, :H], t[:, H : 2 * H], t[:, 2 * H : 3 * H], t[:, 3 * H :]
        m = 0.5 * ((1 + f) * m + (1 + i) * g)
        return (0.5 * ((1 + o) * np.tanh(m)), m)


class MogrifierLSTM(LSTM):
    """x <- 2 sigmoid(Q h) * x and h <- 2 sigmoid(R x) * h in turns, then the LSTM"""

    takes_input = True

    def __init__(self, weights: Mapping[str, Array]) -> None:
        super().__init__(weights)
        self._input = Product(weights["input_weight"])
        self._bias = weights["input_bias"] + weights["recurrent_bias"]
        Q = _modulations(weights, "input", weights["input_weight"].shape[1])
        R = _modulations(weights, "hidden", self.H)
        self._rounds = list(zip_longest(Q, R, fillvalue=()))

    def step(self, x: Array, state: LayerState) -> LayerState:
        h, m = state
        for Q, R in self._rounds:
            x = _modulation(Q, h) * x
            if R:
                h = _modulation(R, x) * h
        return super().step(self._input(x) + self._bias, (h, m))


def _modulations(weights: Mapping[str, Array], kind: str, rows: int) -> list[tuple[Product, ...]]:
    """The matrix of each round, or its two factors; the last one halved, as a sigmoid's."""
    wide, narrow = weights.get(f"{kind}_modulation"), weights.get(f"{kind}_modulation_narrow")
    if wide is None:
        return []
    count = len(wide) // rows
    last = [Product(np.float32(0.5) * each) for each in np.split(wide, count)]
    if narrow is None:
        return [(each,) for each in last]
    return list(zip(map(Product, np.split(narrow, count)), last, strict=True))


def _modulation(products: tuple[Product, ...], v: Array) -> Array:
    """2 sigmoid(M v). v: (N, columns)"""
    for product in products:
        v = product(v)
    return 1 + np.tanh(v)


CELLS: dict[str, type[Cell]] = {
    "elman": Elman,
    "elman-relu": ElmanReLU,
    "gru": GRU,
    "gru-reset-before": GRUResetBefore,
    "lstm": LSTM,
    "mogrifier-lstm": MogrifierLSTM,
}
