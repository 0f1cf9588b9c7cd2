"""Lanes: one text read by B readers at once, window after window, for truncated backpropagation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.errors import ConfigError, CorpusError, RunError
from charlm.streams.walking import give_back

Window = npt.NDArray[np.int64]

#: Bytes of a text on disk that are read before their memory is given back.
MOST_HELD = 2**26


class Lanes:
    """Endless stream over ids cut into B contiguous lanes. Letters: B lanes, T window length, N ids.

    A text of N ids has N - 1 predictions: id p + 1 from id p. Lane b starts at prediction b(N - 1)//B, runs
    on into the next lane's text, and from the last prediction to the first. So every lane reads the whole
    text, no id is left out, and the state carried from window to window is that of the text just before,
    but at that one seam.
    """

    def __init__(self, ids: npt.NDArray[Any], batch_size: int) -> None:
        """`ids`: (N,) whole numbers, memory-mapped or not; only what is asked for is read.

        Raises:
            CorpusError: fewer than two ids: nothing to predict.
            ConfigError: more lanes than predictions.
        """
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise TypeError(f"ids must be a row of whole numbers, was {ids.dtype} of shape {ids.shape}")
        if len(ids) < 2:
            raise CorpusError(f"a text of {len(ids)} symbols has nothing to predict: 2 is the least")
        if batch_size < 1:
            raise ConfigError(f"batch_size must be a whole number >= 1, was {batch_size}")
        if batch_size >= len(ids):
            raise ConfigError(
                f"batch_size {batch_size} is too large for a text of {len(ids)} symbols: "
                f"the largest that fits is {len(ids) - 1}"
            )
        # subtle: a plain view; indexing a numpy.memmap costs several times as much
        self._ids = ids.view(np.ndarray)
        self._predictions = len(ids) - 1
        self._starts = np.arange(batch_size, dtype=np.int64)[:, None] * self._predictions // batch_size  # (B, 1)
        self._position = 0
        self._held = 0

    @property
    def batch_size(self) -> int:
        """B."""
        return len(self._starts)

    @property
    def ids(self) -> npt.NDArray[Any]:
        """The text, (N,)."""
        return self._ids

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """The prediction that each lane starts at, (B,)."""
        return self._starts[:, 0]

    @property
    def position(self) -> int:
        """Predictions that every lane has given out, over all passes."""
        return self._position

    def skip(self, window_length: int) -> None:
        """Go on by a window that the caller reads by itself."""
        self._position += window_length

    def next(self, window_length: int) -> tuple[Window, Window]:
        """Inputs and targets, each (B, T) int64 and C-contiguous: the next T predictions of every lane."""
        if window_length < 1:
            raise ConfigError(f"window_length must be a whole number >= 1, was {window_length}")
        first = self._position % self._predictions
        steps = np.arange(first, first + window_length, dtype=np.int64)
        where = (self._starts + steps) % self._predictions  # (B, T)
        inputs = self._ids[where].astype(np.int64, copy=False)
        where += 1
        targets = self._ids[where].astype(np.int64, copy=False)
        self.skip(window_length)
        self._held += where.size * self._ids.itemsize
        if self._held >= MOST_HELD:
            give_back(self._ids)
            self._held = 0
        return inputs, targets

    @property
    def epoch(self) -> float:
        """Passes over the text so far: predictions given out, over those the text has."""
        return self._position * self.batch_size / self._predictions

    def state_dict(self) -> dict[str, int]:
        """Where the lanes stand, JSON-ready."""
        return {"position": self._position, "batch_size": self.batch_size, "predictions": self._predictions}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken.

        Raises:
            RunError: no such state.
            CorpusError: the state is of a text of another length.
            ConfigError: the state is of another batch size.
        """
        own = self.state_dict()
        for name in own:
            value = state.get(name)
            if type(value) is not int or not 0 <= value < 2**62:
                raise RunError(f"lanes: {name} must be a whole number, was {str(value)[:40]!r}")
        if state["predictions"] != self._predictions:
            raise CorpusError(
                f"the training text has {self._predictions + 1} symbols, "
                f"at the checkpoint it had {state['predictions'] + 1}"
            )
        if state["batch_size"] != self.batch_size:
            raise ConfigError(f"batch_size is {self.batch_size}, at the checkpoint it was {state['batch_size']}")
        self._position = state["position"]
