"""The cells that have compiled loops, and how their weights lie in the planes that the loops keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from charlm.kernels import elman_loops, gru_loops, lstm_loops
from charlm.simd import PANEL, WIDTH


@dataclass(frozen=True, kw_only=True)
class Loops:
    """A cell's loops, and how its weights lie in the planes that they keep.

    Attributes:
        planes: numbers kept for every unit and step.
        input_order: the block of the input weights that adds to plane 0, to plane 1, and so on.
        recurrent_plane: the plane that the first block of the recurrent weights adds to; the others follow.
        block: units are padded to a multiple of this, and of what their number format asks for.
        memory: what is carried in float32 beside the output: a ``state`` of its own, the ``output`` itself, ``none``.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    planes: int
    input_order: tuple[int, ...]
    recurrent_plane: int = 0
    block: int = WIDTH
    memory: str = "none"

    @property
    def gates(self) -> int:
        """Blocks of H rows that each weight matrix has."""
        return len(self.input_order)


LOOPS = {
    "elman": Loops(
        forward=elman_loops.forward_tanh,
        backward=elman_loops.backward_tanh,
        planes=1,
        input_order=(0,),
        block=PANEL * WIDTH,
    ),
    "elman-relu": Loops(
        forward=elman_loops.forward_rectified,
        backward=elman_loops.backward_rectified,
        planes=1,
        input_order=(0,),
        block=PANEL * WIDTH,
    ),
    "gru": Loops(
        forward=gru_loops.forward,
        backward=gru_loops.backward,
        planes=4,
        input_order=(2, 0, 1),
        recurrent_plane=1,
        memory="output",
    ),
    "lstm": Loops(
        forward=lstm_loops.forward,
        backward=lstm_loops.backward,
        planes=4,
        input_order=(0, 1, 2, 3),
        memory="state",
    ),
}
