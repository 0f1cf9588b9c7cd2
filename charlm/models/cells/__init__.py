"""The cells, by the name they have in a configuration. To add one: a file here, a line in this table, one in
`charlm.config.cells.GATES`, and its step in NumPy in `charlm.runtime.cells`; the contract tests pick it up."""

from typing import Any

from charlm.models.cells.cell import Cell, Weights
from charlm.models.cells.elman import Elman, ElmanReLU
from charlm.models.cells.gru import GRU
from charlm.models.cells.gru_reset_before import GRUResetBefore
from charlm.models.cells.lstm import LSTM
from charlm.models.cells.mogrifier_lstm import MogrifierLSTM

CELLS: dict[str, type[Cell[Any]]] = {
    "elman": Elman,
    "elman-relu": ElmanReLU,
    "gru": GRU,
    "gru-reset-before": GRUResetBefore,
    "lstm": LSTM,
    "mogrifier-lstm": MogrifierLSTM,
}

__all__ = ["CELLS", "Cell", "Weights"]
