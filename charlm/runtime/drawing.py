"""What an engine needs to draw ids by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.runtime.state import State, select

RECENT = 256
"""How many of the last ids the repetition penalty looks back on: bounded, so that endless texts need no
endless memory."""

LARGEST_LOGIT = float(np.finfo(np.float64).max) / 4
"""What a penalty takes a logit to at most: differences of two stay finite."""

RULES = ("repetition_penalty", "temperature", "top_k", "top_p", "min_p")
"""The settings of a draw; 1, 1, 0, 1 and 0 change nothing, and a temperature of 0 takes the likeliest."""


class Drawing(NamedTuple):
    """Texts under way, N rows; an engine changes all but the rules as it goes on, the ring where a rule looks at it.

    Attributes:
        ids: (N,) read next.
        state: of N rows, before that id.
        rules: float64, one number for each of `RULES`.
        recent: (N, RECENT) ring of the last ids: the next one goes to place ``written % RECENT``.
        written: (N,) ids put into the ring so far.
    """

    ids: npt.NDArray[np.int64]
    state: State
    rules: npt.NDArray[np.float64]
    recent: npt.NDArray[np.int64]
    written: npt.NDArray[np.int64]

    def select(self, rows: Sequence[int]) -> Drawing:
        """Some of the texts, copied."""
        chosen = {name: getattr(self, name)[rows] for name in ("ids", "recent", "written")}
        return self._replace(state=select(self.state, rows), **chosen)
