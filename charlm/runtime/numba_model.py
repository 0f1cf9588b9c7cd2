"""A model in machine code: the engine that generation and short scorings use, one compiled loop for everything.

Numba compiles the loop when it first runs on a machine; from then on it runs without.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from charlm.config import ModelConfig
from charlm.runtime.call import NUMBERS, READ, SCORE, WRITE, Room, kinds, whole_kind
from charlm.runtime.checking import check_range, checked
from charlm.runtime.drawing import Drawing
from charlm.runtime.layout import lay_out
from charlm.runtime.packing import Matrices, aligned
from charlm.runtime.priming import Ids, Priming
from charlm.runtime.quantised import HALVES, PRECISIONS
from charlm.runtime.state import Array, State, Weighed
from charlm.simd import HAS_AMX, MOST_ROWS, PANEL, WIDTH
from charlm.simd.entries import Entry
from charlm.simd.halves import filled_depth

Numbers = npt.NDArray[np.float64]

# Products of one call that reads a prompt: about a hundredth of a second, in which nothing else is heard.
WORK = 2**27
# What a step costs beside its products, counted in products.
STEP_WORK = 2**17
_NO_NUMBERS = np.empty(0)
_NO_BYTES = np.empty(0, dtype=np.uint8)
_NO_DRAWING = (_NO_NUMBERS, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


class NumbaModel(Priming):
    """The model of `charlm.models.LanguageModel`, without dropout. Letters: N rows, T steps, V.

    Row i of every result is the same, bit for bit, whatever N and the number of threads are. A state is one
    array (N, S).
    """

    def __init__(
        self,
        config: ModelConfig,
        arrays: Mapping[str, npt.NDArray[Any]],
        vocab_size: int,
        *,
        precision: str = "exact",
        threads: int = 1,
        on_compile: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            arrays: all tensors by name, as `LanguageModel.to_arrays` gives them; they are copied.
            precision: of the products, one of `charlm.runtime.PRECISIONS`; or `charlm.runtime.quantised.HALVES`, where
                the processor has matrix tiles.
            threads: at most so many share the rows.
            on_compile: told when the loop has to be compiled, which takes seconds.

        Raises:
            ImportError: the loop has to be compiled, and Numba cannot be imported.
            RunError: naming a tensor that is missing, one too many, misshapen, not of floats or not finite.
            ConfigError: a model that the loop does not compute, see `charlm.runtime.layout.missing_in`.
            UnknownNameError: `config.cell` is no cell.
            ValueError: a precision that there is not, or not on this processor.
        """
        if precision not in (*PRECISIONS, HALVES) or (precision == HALVES and not HAS_AMX):
            raise ValueError(f"no products of precision {precision!r} on this processor")
        weights = checked(arrays, config, vocab_size)
        self.config, self.vocab_size, self.precision, self.threads = config, vocab_size, precision, threads
        self._model = lay_out(config, weights, vocab_size, Matrices(precision, PANEL * WIDTH))
        self._pool: ThreadPoolExecutor | None = None
        kind = self._model.weights.dtype
        self._loop = Entry(f"runtime-{kind}", NUMBERS, kinds(kind), lambda: _entry_of(kind), on_compile)

    def initial_state(self, n: int) -> State:
        """The state of n rows before any text: zeros."""
        return ((np.zeros((n, self._model.size("S")), dtype=np.float32),),)

    def step(self, ids: Ids, state: State) -> tuple[Array, State]:
        """ids: (N,), state of N rows -> logits (N, V) of the id that follows, state after."""
        after = state[0][0].copy()
        logits = self._run(READ, _read_and_next(np.asarray(ids)[:, None]), after)
        return logits[:, : self.vocab_size].copy(), ((after,),)

    def read(self, ids: Ids) -> State:
        """The state of one row after ids (T,), T >= 0, from the beginning. Memory is flat in T."""
        state, at_once = self.initial_state(1), max(1, WORK // (self._model.weights.size + STEP_WORK))
        for start in range(0, len(ids), at_once):
            self._run(READ, _read_and_next(ids[None, start : start + at_once]), state[0][0])
        return state

    def score(self, ids: Ids, state: State) -> tuple[Weighed, State]:
        """Weigh the ids (N, T + 1) but the first, each given those before it, from a state of N rows."""
        after, N, T = state[0][0].copy(), len(ids), ids.shape[1] - 1
        nats, right = np.empty((N, T)), np.zeros((N, T), dtype=np.uint8)
        self._run(SCORE, np.ascontiguousarray(ids, dtype=np.int64), after, nats=nats, right=right)
        return Weighed(nats, right.astype(np.bool_)), ((after,),)

    def draw(self, texts: Drawing, uniforms: Numbers) -> tuple[npt.NDArray[np.int64], Numbers]:
        """Go on with texts, which are changed, by a step for each of the numbers (N, T) from [0, 1).

        Returns:
            the ids drawn (N, T), and their nats (N, T) under the model itself: nan from where it has exploded.
        """
        N, T = uniforms.shape
        ids, nats = np.zeros((N, T + 1), dtype=np.int64), np.empty((N, T))
        ids[:, 0] = texts.ids
        self._run(WRITE, ids, texts.state[0][0], nats=nats, texts=texts, uniforms=uniforms)
        texts.ids[:] = ids[:, -1]
        return ids[:, 1:], nats

    def _run(
        self,
        mode: int,
        ids: npt.NDArray[np.int64],
        state: Array,
        *,
        nats: Numbers = _NO_NUMBERS,
        right: npt.NDArray[np.uint8] = _NO_BYTES,
        texts: Drawing | None = None,
        uniforms: Numbers = _NO_NUMBERS,
    ) -> Array:
        """ids: (N, T + 1); the arrays, and the logits that it returns, are those of `charlm.runtime.loops.entry_of`."""
        N, T = len(ids), ids.shape[1] - 1
        model = self._model
        # the loop looks at no bounds
        check_range(ids, self.vocab_size)
        if N < 1 or state.shape != (N, model.size("S")) or state.dtype != np.float32:
            wanted = f"float32 ({max(N, 1)}, {model.size('S')})"
            raise ValueError(f"the state must be {wanted}, was {state.dtype} {state.shape}")
        logits = aligned(N * model.size("V") if mode == READ else 0, np.float32)
        if mode != SCORE:
            right = np.empty(nats.size, dtype=np.uint8)
        rules, recent, written = _NO_DRAWING if texts is None else (texts.rules, texts.recent, texts.written)
        # reshape gives views: what the loop changes is changed for the caller
        arrays: list[npt.NDArray[Any]] = [
            *cast("tuple[npt.NDArray[Any], ...]", model),
            ids.reshape(-1),
            state.reshape(-1),
            logits,
            rules,
        ]
        arrays += [np.ascontiguousarray(uniforms).reshape(-1), recent.reshape(-1), written]
        arrays += [nats.reshape(-1), right.reshape(-1)]
        self._share(N, lambda first, last: self._loop([mode, first, last, T], [*arrays, *self._room(last - first)]))
        return logits.reshape(-1, model.size("V"))

    def _room(self, rows: int) -> Room:
        """What a thread works in."""
        kind = self._model.weights.dtype
        L, X, P, R, V = (self._model.size(name) for name in ("L", "X", "P", "R", "V"))
        tile = MOST_ROWS * PANEL * WIDTH
        return Room(
            vectors=aligned(rows * (2 * X + P + V + L * R), np.float32),
            likelihoods=np.zeros(V, dtype=np.float32),
            wide=np.empty(V),
            order=np.empty(2 * V, dtype=np.int64),
            sums=aligned(tile, np.float32),
            whole_sums=aligned(tile, np.int32),
            whole=aligned(rows * (2 * filled_depth(X) if kind == np.uint16 else X), whole_kind(kind)),
            scales=np.empty(rows, dtype=np.float32),
        )

    def _share(self, N: int, task: Callable[[int, int], None]) -> None:
        """Rows shared among the threads, as evenly as can be."""
        parts = min(self.threads, N)
        bounds = [N * part // parts for part in range(parts + 1)]
        if parts == 1:
            task(0, N)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, "charlm")
        for future in [self._pool.submit(task, *pair) for pair in itertools.pairwise(bounds)]:
            future.result()


def _entry_of(kind: npt.DTypeLike) -> Callable[..., None]:
    from charlm.runtime.loops import entry_of

    make: Callable[[Any], Callable[..., None]] = entry_of
    return make(np.dtype(kind).type)


def _read_and_next(ids: Ids) -> npt.NDArray[np.int64]:
    """ids: (N, T) -> (N, T + 1), the last ones never read."""
    found = np.zeros((ids.shape[0], ids.shape[1] + 1), dtype=np.int64)
    found[:, :-1] = ids
    return found
