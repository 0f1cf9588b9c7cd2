"""A model's weights as whole numbers, the same on every machine.

A float32 is multiplied by a power of two and rounded to the nearest whole number, element by element: operations
that IEEE 754 leaves no choice in. Each row of a matrix has a power of its own, as large as leaves every sum of
products with activations within 32 bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.coding.tables import FRACTION
from charlm.config import ModelConfig
from charlm.errors import ConfigError
from charlm.runtime.checking import checked
from charlm.runtime.layout import CANDIDATE, INPUT, PLANES, RECURRENT

Whole = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

LARGEST_WEIGHT = 2**15 - 1
ACTIVATION_DIGITS = 12
LARGEST_ACTIVATION = 2**ACTIVATION_DIGITS - 1
LARGEST_ROW = (2**31 - 1) // LARGEST_ACTIVATION
"""The magnitudes of a row's weights add up to no more than this, so no sum of products can leave 32 bits."""
MOST_SHIFT = 30
LIMIT = 2**29
"""Fixed-point numbers stay within this: three of them, added up, are still within 32 bits."""
NORM_FRACTION = 16

CELLS = ("elman", "elman-relu", "gru", "gru-reset-before", "lstm")
"""Cells with a step in `charlm.coding.reference`."""

# Changes when the same weights come to give other probabilities.
ARITHMETIC = 1


class WholeMatrix(NamedTuple):
    """A matrix (rows, columns) as int16 `weights`, row r of them ``2**shifts[r]`` times as large; shifts int64."""

    weights: npt.NDArray[np.int16]
    shifts: Whole


class WholeLayer(NamedTuple):
    """One recurrent layer. Rows of matrices and biases lie in the order of `charlm.runtime.layout.PLANES`.

    Attributes:
        norm: weight and bias (in,) of the layer norm, None without one.
        input, recurrent, candidate: matrices of the planes that the input, the state, and the state times the
            reset gate are multiplied into; None for a cell that has no such planes.
        early: biases of the planes of `input`. late: of the GRU's last plane, else None.
        residual: whether the layer's input is added to its output.
    """

    norm: tuple[Whole, Whole] | None
    input: WholeMatrix
    recurrent: WholeMatrix
    candidate: WholeMatrix | None
    early: Whole
    late: Whole | None
    residual: bool


class WholeModel(NamedTuple):
    """A language model in whole numbers: `charlm.coding.reference` says what it computes.

    Attributes:
        ngrams: vectors of n-grams (R, D), as `charlm.streams.rows_of_ngrams` finds them; None without.
        ngram_input: what they are multiplied by in layer 0, whose `input` is that of the embedding alone then; None
            where layer 0 normalises both together or adds them to its output, and its `input` is that of both.
        ngram_output: what they are multiplied by for the logits; None without.
    """

    config: ModelConfig
    vocab_size: int
    embedding: Whole
    ngrams: Whole | None
    ngram_input: WholeMatrix | None
    ngram_output: WholeMatrix | None
    layers: tuple[WholeLayer, ...]
    projection: WholeMatrix | None
    output: WholeMatrix
    output_bias: Whole

    @property
    def identity(self) -> bytes:
        """SHA-256 of all that the probabilities depend on."""
        config = self.config
        facts = [ARITHMETIC, self.vocab_size, config.cell, config.layers, config.hidden_size]
        facts += [] if self.ngrams is None else [config.ngram_order, config.ngram_rows]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for array in _arrays(self):
            digest.update(json.dumps([array.dtype.itemsize, *array.shape]).encode())
            digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
        return digest.digest()


def make_whole(config: ModelConfig, arrays: Mapping[str, npt.NDArray[Any]], vocab_size: int) -> WholeModel:
    """The model of these tensors in whole numbers.

    Raises:
        RunError: a tensor that is missing, one too many, misshapen or not finite.
        ConfigError: a cell or tensor that there is no whole-number arithmetic for, or a number too large for it.
    """
    weights = checked(arrays, config, vocab_size)
    if config.cell not in CELLS:
        raise ConfigError(
            f"compress and decompress compute in whole numbers, for the cells {', '.join(CELLS)}; was {config.cell!r}"
        )
    if config.attention_window:
        raise ConfigError(
            "compress and decompress compute in whole numbers, which there are none of for attention: "
            f"take a run without --attention-window, was {config.attention_window}"
        )
    tensors = _Tensors(weights)
    layers = tuple(_layer(config, tensors, index) for index in range(config.layers))
    embedding = tensors.fixed("embedding")
    made = WholeModel(
        config=config,
        vocab_size=vocab_size,
        embedding=embedding,
        ngrams=tensors.fixed("ngram_embedding") if config.ngram_embedding_size else None,
        ngram_input=_ngram_input(config, tensors),
        ngram_output=tensors.matrix("ngram_output_weight") if config.ngram_embedding_size else None,
        layers=layers,
        projection=tensors.matrix("projection") if "projection" in weights else None,
        output=tensors.matrix("embedding" if config.tie_weights else "output_weight"),
        output_bias=tensors.fixed("output_bias"),
    )
    tensors.refuse_others()
    return made


def _layer(config: ModelConfig, tensors: _Tensors, index: int) -> WholeLayer:
    start, H, cell = f"layers.{index}.", config.hidden_size, config.cell
    inputs, state = _rows(cell, INPUT, H), _rows(cell, RECURRENT, H)
    one, other = tensors.fixed(f"{start}input_bias"), tensors.fixed(f"{start}recurrent_bias")
    early, late = np.clip(one + other, -LIMIT, LIMIT), None
    if cell == "gru":  # the candidate's own bias is multiplied with the reset gate
        early[2 * H :], late = one[2 * H :], other[2 * H :]
    width = tensors.weights[f"{start}input_weight"].shape[1]
    columns = slice(config.embedding if index == 0 and not _in_one(config) else width)
    norm = (
        (tensors.fixed(f"{start}norm_weight", NORM_FRACTION), tensors.fixed(f"{start}norm_bias"))
        if config.layer_norm
        else None
    )
    candidate = tensors.matrix(f"{start}recurrent_weight", _rows(cell, CANDIDATE, H)) if cell in CANDIDATE else None
    return WholeLayer(
        norm=norm,
        input=tensors.matrix(f"{start}input_weight", inputs, columns),
        recurrent=tensors.matrix(f"{start}recurrent_weight", state),
        candidate=candidate,
        early=early[inputs],
        late=late,
        residual=config.residual and width == H,
    )


def _in_one(config: ModelConfig) -> bool:
    """Whether layer 0 takes the embedding and what is beside it, if anything, as one vector."""
    width = config.embedding + config.ngram_embedding_size
    return not config.ngram_embedding_size or config.layer_norm or (config.residual and width == config.hidden_size)


def _ngram_input(config: ModelConfig, tensors: _Tensors) -> WholeMatrix | None:
    if _in_one(config):
        return None
    rows = _rows(config.cell, INPUT, config.hidden_size)
    return tensors.matrix("layers.0.input_weight", rows, slice(config.embedding, None))


def _rows(cell: str, part: Mapping[str, tuple[int, int]], H: int) -> npt.NDArray[np.intp]:
    """Which rows of a cell's matrix some of its planes are, in their order."""
    order = PLANES[cell]
    first, last = part.get(cell, (0, len(order)))
    return np.concatenate([np.arange(gate * H, (gate + 1) * H) for gate in order[first:last]])


class _Tensors:
    """The tensors of a model, made whole; remembers which were asked for."""

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        self.weights = weights
        self._used: set[str] = set()

    def fixed(self, name: str, fraction: int = FRACTION) -> Whole:
        """Fixed-point numbers; `LIMIT` is their limit."""
        self._used.add(name)
        found = np.rint(np.ldexp(self.weights[name].astype(np.float64), fraction))
        if found.size and np.abs(found).max() > LIMIT:
            raise ConfigError(
                f"tensor {name!r} holds {np.abs(self.weights[name]).max():g}: "
                f"compress and decompress compute in whole numbers, which end at {LIMIT / 2**fraction:g}"
            )
        return found.astype(np.int64)

    def matrix(self, name: str, rows: npt.NDArray[np.intp] | None = None, columns: slice = slice(None)) -> WholeMatrix:
        """A matrix, or some of its rows and columns."""
        self._used.add(name)
        wanted = self.weights[name][:, columns]
        found = whole_rows(wanted if rows is None else wanted[rows])
        if found is None:
            raise ConfigError(
                f"tensor {name!r} holds weights too large for the whole numbers that compress and decompress compute in"
            )
        return found

    def refuse_others(self) -> None:
        """Raise `ConfigError` for a tensor that was not asked for: the model has a part that is not computed here."""
        others = sorted(set(self.weights) - self._used)
        if others:
            raise ConfigError(
                f"compress and decompress compute in whole numbers, and have none for tensor {others[0]!r}"
            )


def whole_rows(matrix: Floats) -> WholeMatrix | None:
    """Each row times the largest power of two that keeps `LARGEST_WEIGHT` and `LARGEST_ROW`; None if none does."""
    wide = matrix.astype(np.float64)
    _, exponents = np.frexp(np.abs(wide).max(axis=1))
    shifts = np.minimum(15 - exponents, MOST_SHIFT).astype(np.int64)
    while True:
        whole = np.clip(np.rint(np.ldexp(wide, shifts[:, None])), -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.int64)
        over = np.abs(whole).sum(axis=1) > LARGEST_ROW
        if (shifts - over < 0).any():
            return None
        if not over.any():
            return WholeMatrix(whole.astype(np.int16), shifts)
        shifts -= over


def _arrays(model: WholeModel) -> list[npt.NDArray[Any]]:
    """All numbers of a model, in an order that its configuration gives."""
    found: list[npt.NDArray[Any]] = [model.embedding]
    found += [*(() if model.ngrams is None else (model.ngrams,)), *(model.ngram_input or ())]
    for layer in model.layers:
        found += [*(layer.norm or ()), *layer.input, *layer.recurrent, *(layer.candidate or ()), layer.early]
        found += [np.array([layer.residual], dtype=np.int64), *(() if layer.late is None else (layer.late,))]
    return [*found, *(model.projection or ()), *model.output, model.output_bias, *(model.ngram_output or ())]
