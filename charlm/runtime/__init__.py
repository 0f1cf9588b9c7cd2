"""A saved model at work without torch: ids in, logits of the next id out.

Every engine here has the same three methods (`initial_state`, `step`, `prime`) and the same promise: row i
of a step is the same, bit for bit, whatever the other rows are and however many. `select` picks rows of
a state. `NumbaModel` is compiled, and draws and scores by itself as well.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from charlm.runtime.drawing import RECENT, Drawing
from charlm.runtime.engines import ENGINES, open_engine
from charlm.runtime.quantised import PRECISIONS
from charlm.runtime.state import LayerState, State, select

if TYPE_CHECKING:
    from charlm.runtime.numba_model import NumbaModel
    from charlm.runtime.numpy_model import NumpyModel

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "RECENT",
    "Drawing",
    "LayerState",
    "NumbaModel",
    "NumpyModel",
    "State",
    "open_engine",
    "select",
]

# Opened on first use: Numba takes longer to import than all the rest.
_MODULE_OF = {"NumbaModel": "numba_model", "NumpyModel": "numpy_model"}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
