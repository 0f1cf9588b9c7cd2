"""Lanes of symbols coded side by side, each to a stream of bytes of its own; and the two engines that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from charlm.coding import ranges
from charlm.coding.reference import ReferenceModel
from charlm.coding.weights import shares
from charlm.coding.whole import Whole, WholeModel
from charlm.config.parts import CODING_ENGINES
from charlm.errors import ConfigError
from charlm.registry import lookup
from charlm.runtime.engines import processors

Advance = Callable[[int], None]


class Lanes:
    """N lanes of at most M symbols: what an engine works on.

    Attributes:
        ids: (N, M) int64. counts: (N,) symbols of each lane. coders: (N, 3), see `charlm.coding.ranges`.
        stream: uint8; lane n's bytes lie from bounds[n] to bounds[n + 1].
    """

    def __init__(self, counts: Whole, sizes: Whole, decoding: bool) -> None:
        self.counts, self.decoding = counts, decoding
        self.ids = np.zeros((len(counts), int(counts.max())), dtype=np.int64)
        self.bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        self.stream: npt.NDArray[np.uint8] = np.zeros(int(self.bounds[-1]), dtype=np.uint8)
        self.coders = np.zeros((len(counts), ranges.NUMBERS), dtype=np.int64)

    def start(self) -> None:
        """Put every coder at the beginning of its stream."""
        flat = self.coders.reshape(-1)
        for lane in range(len(self.counts)):
            begin, end = int(self.bounds[lane]), int(self.bounds[lane + 1])
            ranges.start(flat, lane * ranges.NUMBERS, self.stream, begin, end, self.decoding)


class CodingEngine(Protocol):
    """A model that codes."""

    def run(self, lanes: Lanes, advance: Advance) -> None:
        """Code all symbols of the lanes; ids are -1 from where a stream is none that was encoded."""


def encode(engine: CodingEngine, parts: Sequence[npt.NDArray[Any]], advance: Advance) -> list[bytes]:
    """The stream of each part, a row of ids that begins from the model's empty state."""
    counts = np.array([len(part) for part in parts], dtype=np.int64)
    lanes = Lanes(counts, ranges.BYTES_A_SYMBOL * counts + ranges.STARTED + 1, decoding=False)
    for lane, part in enumerate(parts):
        lanes.ids[lane, : len(part)] = part
    lanes.start()
    engine.run(lanes, advance)
    found, flat = [], lanes.coders.reshape(-1)
    for lane, begin in enumerate(lanes.bounds[:-1].tolist()):
        size = ranges.finish(flat, lane * ranges.NUMBERS, lanes.stream, begin)
        found.append(lanes.stream[begin : begin + size].tobytes())
    return found


def decode(engine: CodingEngine, streams: Sequence[bytes], counts: Whole, advance: Advance) -> Whole | None:
    """The ids that `encode` was given, one part after the other; None where it never wrote these streams."""
    lanes = Lanes(counts, np.array([len(stream) for stream in streams], dtype=np.int64), decoding=True)
    lanes.stream[:] = np.frombuffer(b"".join(streams), dtype=np.uint8)
    lanes.start()
    engine.run(lanes, advance)
    ids = np.concatenate([row[:count] for row, count in zip(lanes.ids, counts, strict=True)])
    return None if (ids < 0).any() else ids


class ReferenceEngine:
    """Lanes coded in NumPy and Python."""

    def __init__(self, model: WholeModel) -> None:
        self._model = ReferenceModel(model)

    def run(self, lanes: Lanes, advance: Advance) -> None:
        """See `CodingEngine`."""
        state = self._model.initial_state(len(lanes.counts))
        logits = np.repeat(self._model.model.output_bias[None], len(lanes.counts), axis=0)
        for t in range(lanes.ids.shape[1]):
            if t:
                logits, state = self._model.step(np.maximum(lanes.ids[:, t - 1], 0), state)
            weights = shares(logits)
            ends = np.cumsum(weights, axis=1)
            for lane in np.flatnonzero(t < lanes.counts).tolist():
                self._code(lanes, lane, t, weights[lane], ends[lane])
            advance(int((t < lanes.counts).sum()))

    def _code(self, lanes: Lanes, lane: int, t: int, weights: Whole, ends: Whole) -> None:
        at, flat, total = lane * ranges.NUMBERS, lanes.coders.reshape(-1), int(ends[-1])
        begin, end = int(lanes.bounds[lane]), int(lanes.bounds[lane + 1])
        if lanes.decoding:
            aimed = ranges.aim(flat, at, total)
            lanes.ids[lane, t] = -1 if aimed >= total else np.searchsorted(ends, aimed, side="right")
        symbol = int(lanes.ids[lane, t])
        if symbol < 0:
            return
        below, weight = int(ends[symbol] - weights[symbol]), int(weights[symbol])
        if lanes.decoding:
            ranges.decode(flat, at, lanes.stream, begin, end, below, weight, total)
        else:
            ranges.encode(flat, at, lanes.stream, begin, below, weight, total)


def open_coding_engine(
    model: WholeModel, engine: str = "auto", threads: int | None = None, on_compile: Callable[[], None] | None = None
) -> CodingEngine:
    """What codes fastest here; all engines write the same bytes.

    Args:
        engine: numba, numpy, or auto: numba where it can be imported.
        threads: at most so many share the lanes; None for all processors.
        on_compile: told when the loop has to be compiled, which takes seconds.

    Raises:
        ConfigError: there is no such engine, or numba was asked for and cannot be imported.
    """
    lookup(dict.fromkeys(CODING_ENGINES), engine, "engine")
    if engine == "numpy":
        return ReferenceEngine(model)
    try:
        from charlm.coding.compiled_engine import CompiledEngine

        return CompiledEngine(model, threads or processors(), on_compile or (lambda: None))
    except ImportError as error:
        if engine == "numba":
            raise ConfigError(f"engine numba cannot be imported ({error}): take engine numpy") from None
        return ReferenceEngine(model)
