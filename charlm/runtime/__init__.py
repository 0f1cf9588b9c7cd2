"""A saved model at work without torch: ids in, logits of the next id out.

Every engine here has the same three methods (`initial_state`, `step`, `prime`) and the same promise: row i
of a step is the same, bit for bit, whatever the other rows are and however many. `select` picks rows of
a state.
"""

from charlm.runtime.numpy_model import NumpyModel
from charlm.runtime.state import LayerState, State, select

__all__ = ["LayerState", "NumpyModel", "State", "select"]
