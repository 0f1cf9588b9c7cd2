"""A model's numbers in the order in which the compiled loop reads them.

Letters: V E H L, G gates; D N of n-grams; of a step's vectors X, the longest that is multiplied, P and R, all planes of
the input and of the state, and S, a row of the state: what cells carry, then the last N - 1 symbols. Every vector is
padded with zeros to whole vector registers (`padded`), so that no loop has a tail; the logits of symbols that are
padding are -inf. A cell's planes, H numbers each, are its gates before they are squashed, in an order in which each
product writes neighbouring planes (`PLANES`).

    plan      int64: the sizes `WIDTHS`, then for each layer the entries `LAYER`, in these orders; then the order of an
              even step's parts and that of an odd one's (`charlm.runtime.order`)
    weights   packed matrices one after the other, layer by layer, then those of the output
    floats    float32: everything else, at the places that the plan gives
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.config import ModelConfig
from charlm.config.cells import GATES
from charlm.errors import ConfigError
from charlm.registry import lookup
from charlm.runtime.layer import layer_norm
from charlm.runtime.order import orders
from charlm.runtime.packing import Matrices, aligned
from charlm.runtime.state import Array

# Layer 0's share of the gates is looked up in a table (V, GH) of up to this many numbers (32 MB), above that
# it is computed: a large vocabulary must not cost several times the memory of the model.
LARGEST_TABLE = 2**23
LONGEST_VECTOR = 16
"""Every padded width is a multiple of this, whatever the processor's own registers are."""

WIDTHS = (
    *("cell", "L", "H", "V", "X", "P", "R", "S", "parts", "V_real"),
    *("embedding", "E", "projection", "output", "bias"),
    *("ngrams", "D", "N", "ngram_rows", "ngrams_at", "ngram_output", "symbols"),
)
LAYER = (
    *("depth", "width", "residual", "norm", "start", "start_stride", "late"),
    *("input", "recurrent", "candidate", "state"),
)

ELMAN, ELMAN_RELU, GRU, GRU_RESET_BEFORE, LSTM = range(5)
CELL_NUMBERS = {
    "elman": ELMAN,
    "elman-relu": ELMAN_RELU,
    "gru": GRU,
    "gru-reset-before": GRU_RESET_BEFORE,
    "lstm": LSTM,
}
# Which gate each plane is, in the order of the planes.
PLANES = {
    "elman": (0,),
    "elman-relu": (0,),
    "gru": (2, 0, 1, 2),  # n's share of the input, r, z, n's share of the state
    "gru-reset-before": (0, 1, 2),
    "lstm": (0, 1, 2, 3),
}
# Planes that the input, the state, and the state times the reset gate are multiplied into: from, to.
INPUT = {"gru": (0, 3)}
RECURRENT = {"gru": (1, 4), "gru-reset-before": (0, 2)}
CANDIDATE = {"gru-reset-before": (2, 3)}
# Vectors of H that a layer carries.
CARRIED = {"elman": 1, "elman-relu": 1, "gru": 1, "gru-reset-before": 1, "lstm": 2}


class Packed(NamedTuple):
    """What the compiled loop is given of a model; see this module, and for the last four `charlm.runtime.packing`."""

    plan: npt.NDArray[np.int64]
    floats: Array
    places: npt.NDArray[np.int64]
    weights: npt.NDArray[Any]
    scales: Array
    corrections: npt.NDArray[np.int32]

    def size(self, name: str) -> int:
        """One of `WIDTHS`."""
        return int(self.plan[WIDTHS.index(name)])


def missing_in(config: ModelConfig) -> str | None:
    """What of a model the compiled loop does not compute, in words; None where it computes all of it."""
    # a name that no cell has is for `lay_out` to refuse
    if config.cell in GATES and config.cell not in CELL_NUMBERS:
        return f"cell {config.cell}"
    return "attention_window" if config.attention_window else None


def padded(count: int) -> int:
    """`count` and what makes it whole vectors."""
    return -(-count // LONGEST_VECTOR) * LONGEST_VECTOR


def lay_out(config: ModelConfig, weights: Mapping[str, Array], vocab_size: int, matrices: Matrices) -> Packed:
    """Put a model's tensors where the loop looks for them.

    Args:
        weights: all tensors, checked; as `charlm.config.shapes.parameter_shapes` has them.
        matrices: empty; of the precision that the products are to have.

    Raises:
        ConfigError: a model that the loop does not compute, see `missing_in`.
    """
    missing = missing_in(config)
    if missing is not None:
        raise ConfigError(f"the compiled loop does not compute {missing}")
    number = lookup(CELL_NUMBERS, config.cell, "cell")
    H, E, V = padded(config.hidden_size), padded(config.embedding), padded(vocab_size)
    carried = CARRIED[config.cell]
    floats = _Floats()
    small = vocab_size * len(weights["layers.0.input_bias"]) <= LARGEST_TABLE
    D = config.ngram_embedding_size
    residual = config.residual and config.embedding + D == config.hidden_size
    # what is normalised with n-grams beside it is not known of a symbol alone
    table = small and not (D and (config.layer_norm or residual))
    raw = not table or residual
    embedding = floats.add(_rows(weights["embedding"], E)) if raw else -1
    layers = [
        _layer(config, weights, index, floats, matrices, table=table and index == 0) for index in range(config.layers)
    ]
    projection = matrices.add(_grid(weights["projection"], E, H)) if "projection" in weights else -1
    output = weights["embedding" if config.tie_weights else "output_weight"]
    output_place = matrices.add(_grid(output, V, padded(output.shape[1])))
    bias = np.full(V, -np.inf, dtype=np.float32)
    bias[:vocab_size] = weights["output_bias"]
    # behind the embedding, or in its place where that is multiplied already
    ngrams_at = config.embedding if raw else 0
    inputs = padded(max(config.embedding + D, ngrams_at + padded(D)))
    widths = {"cell": number, "L": config.layers, "H": H, "V": V, "X": max(H, inputs), "E": E, "V_real": vocab_size}
    widths |= {"P": _count(config, INPUT) * H, "R": _count(config, RECURRENT) * H, "S": config.layers * carried * H}
    widths |= dict.fromkeys(("ngrams", "D", "N", "ngram_rows", "ngrams_at", "ngram_output", "symbols"), -1)
    if D:
        widths |= {"ngrams": floats.add(_filled(weights["ngram_embedding"])), "ngrams_at": ngrams_at}
        widths |= {"ngram_output": matrices.add(_grid(weights["ngram_output_weight"], V, padded(D)))}
        widths |= {"D": D, "N": config.ngram_order, "ngram_rows": config.ngram_rows, "symbols": widths["S"]}
        widths["S"] += padded(config.ngram_order - 1)
    widths |= {"embedding": embedding, "projection": projection, "output": output_place, "bias": floats.add(bias)}
    even, odd = orders(config.layers, candidate=config.cell in CANDIDATE, projection=projection >= 0, ngrams=D > 0)
    widths["parts"] = len(even)
    for index, layer in enumerate(layers):
        layer["state"] = index * carried * H
    plan = [widths[name] for name in WIDTHS] + [layer[name] for layer in layers for name in LAYER]
    matrices.finish()
    return Packed(
        plan=np.array(plan + even + odd, dtype=np.int64),
        floats=floats.joined(),
        places=matrices.places,
        weights=matrices.weights,
        scales=matrices.scales,
        corrections=matrices.corrections,
    )


def _layer(
    config: ModelConfig,
    weights: Mapping[str, Array],
    index: int,
    floats: _Floats,
    matrices: Matrices,
    *,
    table: bool,
) -> dict[str, int]:
    own = {name: weights[f"layers.{index}.{name}"] for name in ("input_weight", "recurrent_weight")}
    width = own["input_weight"].shape[1]
    norm = (weights[f"layers.{index}.norm_weight"], weights[f"layers.{index}.norm_bias"]) if config.layer_norm else None
    early, late = _biases(config, weights, index)
    entries = dict.fromkeys(LAYER, -1)
    entries |= {"depth": padded(width), "width": width, "start_stride": 0}
    entries["residual"] = int(config.residual and width == config.hidden_size)
    start, multiplied = early, own["input_weight"]
    if table:
        x = weights["embedding"] if norm is None else layer_norm(weights["embedding"], *norm)
        looked_up, multiplied = np.split(multiplied, [config.embedding], axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            # (V, planes, H)
            start = _planes((x @ looked_up.T).T, config, INPUT).transpose(2, 0, 1) + early
        entries |= {"start_stride": early.size, "depth": padded(multiplied.shape[1])}
    if multiplied.size:
        entries["input"] = matrices.add(_matrix(multiplied, config, INPUT))
        if norm is not None:
            entries["norm"] = floats.add(_rows(np.stack(norm), padded(width)))
    entries["start"] = floats.add(start)
    entries["recurrent"] = matrices.add(_matrix(own["recurrent_weight"], config, RECURRENT))
    if config.cell in CANDIDATE:
        entries["candidate"] = matrices.add(_matrix(own["recurrent_weight"], config, CANDIDATE))
    if late is not None:
        entries["late"] = floats.add(late)
    return entries


def _biases(config: ModelConfig, weights: Mapping[str, Array], index: int) -> tuple[Array, Array | None]:
    """Biases (planes, H) of the planes that the input is multiplied into, and of the GRU's last plane (1, H)."""
    one, other = (weights[f"layers.{index}.{name}_bias"] for name in ("input", "recurrent"))
    if config.cell != "gru":
        return _planes((one + other)[:, None], config, INPUT)[..., 0], None
    # the candidate's own bias is multiplied with the reset gate
    early = one + other
    early[2 * config.hidden_size :] = one[2 * config.hidden_size :]
    late = _planes(other[:, None], config, {"gru": (3, 4)})[..., 0]
    return _planes(early[:, None], config, INPUT)[..., 0], late


def _planes(matrix: Array, config: ModelConfig, part: Mapping[str, tuple[int, int]]) -> Array:
    """Rows of a matrix (GH, columns) as planes (planes, padded H, columns), those from `part`, or all."""
    H = config.hidden_size
    first, last = _range(config, part)
    found = np.zeros((last - first, padded(H), matrix.shape[1]), dtype=np.float32)
    for place, gate in enumerate(PLANES[config.cell][first:last]):
        found[place, :H] = matrix[gate * H : (gate + 1) * H]
    return found


def _range(config: ModelConfig, part: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """The planes of a part, from and to: all, where it does not name the cell."""
    return part.get(config.cell, (0, len(PLANES[config.cell])))


def _count(config: ModelConfig, part: Mapping[str, tuple[int, int]]) -> int:
    first, last = _range(config, part)
    return last - first


def _matrix(matrix: Array, config: ModelConfig, part: Mapping[str, tuple[int, int]]) -> Array:
    """The rows of some planes, padded both ways: (planes * H, columns)"""
    planes = _planes(matrix, config, part)
    return _grid(planes.reshape(-1, matrix.shape[1]), len(planes) * planes.shape[1], padded(matrix.shape[1]))


def _grid(matrix: Array, rows: int, columns: int) -> Array:
    if matrix.shape == (rows, columns):
        return matrix
    found = np.zeros((rows, columns), dtype=np.float32)
    found[: matrix.shape[0], : matrix.shape[1]] = matrix
    return found


def _rows(matrix: Array, columns: int) -> Array:
    return _grid(matrix, len(matrix), columns)


def _filled(table: Array) -> Array:
    """Its numbers one behind the other, and zeros up to whole vectors."""
    return _rows(table.reshape(1, -1), padded(table.size))


class _Floats:
    """Arrays one behind the other, each at a cache line."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[Any]] = []
        self._size = 0

    def add(self, array: Array) -> int:
        """The place that `array`, whose size is whole vectors, will have."""
        place = self._size
        self._parts.append(np.ascontiguousarray(array, dtype=np.float32).reshape(-1))
        self._size += array.size
        return place

    def joined(self) -> Array:
        found = aligned(self._size, np.float32)
        np.concatenate(self._parts, out=found)
        return found
