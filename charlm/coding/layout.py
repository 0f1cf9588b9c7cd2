"""A whole-number model in the order in which the compiled loop reads it.

Letters: V E H L. Vectors are padded with zeros to whole vector registers, as in `charlm.runtime.layout`, whose
planes these are too.

    plan      int64: see `charlm.coding.plan`
    numbers   int32: embedding, biases, norms, and layer 0's share of the gates for each symbol, where that is small
    weights   int16: packed matrices one after the other
    shifts    int64: of the rows of the matrices; places: int64, the entries `PLACE` for each matrix
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.coding.plan import LAYER, WIDTHS
from charlm.coding.reference import layer_norm, product
from charlm.coding.tables import log2_e, power_table, tanh_table
from charlm.coding.whole import Whole, WholeLayer, WholeMatrix, WholeModel
from charlm.runtime.layout import CARRIED, CELL_NUMBERS, LARGEST_TABLE, PLANES, padded
from charlm.runtime.packing import PLACE, aligned

GROUP = 2
"""Neighbouring numbers of a row that a processor multiplies at once."""


class Packed(NamedTuple):
    """What the compiled loop is given of a model; see this module and `charlm.coding.tables`."""

    plan: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int32]
    weights: npt.NDArray[np.int16]
    shifts: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    tanh: npt.NDArray[np.int32]
    powers: npt.NDArray[np.int32]

    def size(self, name: str) -> int:
        """One of `charlm.coding.plan.WIDTHS`."""
        return int(self.plan[WIDTHS.index(name)])


def lay_out(model: WholeModel, panel: int) -> Packed:
    """Put a model where the loop looks for it; `panel` is how many columns of a product are computed at once."""
    config = model.config
    H, E, V = padded(config.hidden_size), padded(config.embedding), padded(model.vocab_size)
    parts = _Parts(panel)
    embedding = parts.add(_grid(model.embedding, model.vocab_size, E))
    layers = [_layer(model, index, parts) for index in range(config.layers)]
    projection = parts.add_matrix(model.projection, E, H, 1) if model.projection else -1
    output = parts.add_matrix(model.output, V, padded(model.output.weights.shape[1]), 1)
    bias = parts.add(_grid(model.output_bias[None], 1, V))
    carried = CARRIED[config.cell]
    D = config.ngram_embedding_size
    # multiplied for themselves n-grams begin at a whole vector, as one vector with the embedding right behind it
    ngrams_at = config.embedding if model.ngram_input is None else E
    widths = {"cell": CELL_NUMBERS[config.cell], "L": config.layers, "H": H, "V": V, "E": E}
    widths["X"] = max(H, E, padded(ngrams_at + padded(D)))
    widths |= {"P": len(PLANES[config.cell]) * H, "S": config.layers * carried * H, "V_real": model.vocab_size}
    widths |= {"embedding": embedding, "projection": projection, "output": output, "bias": bias, "log2_e": log2_e()}
    widths |= dict.fromkeys(
        ("ngrams", "D", "N", "ngram_rows", "ngrams_at", "ngram_input", "ngram_output", "symbols"), -1
    )
    if model.ngrams is not None and model.ngram_output is not None:
        widths |= {"ngrams": parts.add(model.ngrams), "ngrams_at": ngrams_at, "symbols": widths["S"]}
        widths |= {"D": D, "N": config.ngram_order, "ngram_rows": config.ngram_rows}
        widths["ngram_output"] = parts.add_matrix(model.ngram_output, V, padded(D), 1)
        widths["S"] += padded(config.ngram_order - 1)
    if model.ngram_input is not None:
        gates = len(model.ngram_input.weights) // config.hidden_size
        widths["ngram_input"] = parts.add_matrix(model.ngram_input, H, padded(D), gates)
    for index, layer in enumerate(layers):
        layer["state"] = index * carried * H
    plan = [widths[name] for name in WIDTHS] + [layer[name] for layer in layers for name in LAYER]
    return parts.joined(np.array(plan, dtype=np.int64))


def _layer(model: WholeModel, index: int, parts: _Parts) -> dict[str, int]:
    layer, H = model.layers[index], model.config.hidden_size
    width = layer.input.weights.shape[1]
    entries = dict.fromkeys(LAYER, -1) | {"depth": 0, "width": width, "start_stride": 0}
    entries["residual"] = int(layer.residual)
    both = model.ngrams is not None and model.ngram_input is None
    if index == 0 and not both and model.vocab_size * layer.early.size <= LARGEST_TABLE:
        start = _first_shares(model.embedding, layer)
        entries["start_stride"] = start.shape[1] // H * padded(H)
    else:
        start = layer.early[None]
        entries["depth"] = padded(width)
        entries["input"] = parts.add_matrix(layer.input, padded(H), padded(width), layer.early.size // H)
        if layer.norm is not None:
            entries["norm"] = parts.add(_grid(np.stack(layer.norm), 2, padded(width)))
    entries["start"] = parts.add(_planes(start, H))
    entries["recurrent"] = parts.add_matrix(layer.recurrent, padded(H), padded(H), len(layer.recurrent.weights) // H)
    if layer.candidate is not None:
        entries["candidate"] = parts.add_matrix(layer.candidate, padded(H), padded(H), 1)
    if layer.late is not None:
        entries["late"] = parts.add(_planes(layer.late[None], H))
    return entries


def _first_shares(embedding: Whole, layer: WholeLayer) -> Whole:
    """What every symbol puts into the planes of the first layer: (V, planes * H)."""
    x = embedding if layer.norm is None else layer_norm(embedding, *layer.norm)
    return product(x, layer.input) + layer.early


def _planes(rows: Whole, H: int) -> Whole:
    """(N, planes * H), each plane padded: (N, planes * padded H)"""
    planes = rows.shape[1] // H
    found = np.zeros((len(rows), planes, padded(H)), dtype=np.int64)
    found[:, :, :H] = rows.reshape(len(rows), planes, H)
    return found.reshape(len(rows), -1)


def _grid(array: npt.NDArray[Any], rows: int, columns: int) -> npt.NDArray[Any]:
    found = np.zeros((rows, columns), dtype=array.dtype)
    found[: array.shape[0], : array.shape[1]] = array
    return found


class _Parts:
    """Numbers and matrices one behind the other."""

    def __init__(self, panel: int) -> None:
        self._panel = panel
        self._numbers: list[npt.NDArray[Any]] = []
        self._weights: list[npt.NDArray[np.int16]] = []
        self._shifts: list[npt.NDArray[np.int64]] = []
        self._places: list[int] = []

    def add(self, array: Whole) -> int:
        """The place that the numbers of `array` will have."""
        place = sum(part.size for part in self._numbers)
        self._numbers.append(array.astype(np.int32).reshape(-1))
        return place

    def add_matrix(self, matrix: WholeMatrix, rows: int, depth: int, planes: int) -> int:
        """Pack a matrix, each of its planes padded to `rows` outputs, for a product with vectors of `depth` numbers.

        Returns its number.
        """
        weights, shifts = matrix
        own = len(weights) // planes
        columns = planes * rows
        filled = -(-columns // self._panel) * self._panel
        whole, moved = np.zeros((filled, depth), dtype=np.int16), np.zeros(filled, dtype=np.int64)
        for plane in range(planes):
            here, there = slice(plane * own, (plane + 1) * own), slice(plane * rows, plane * rows + own)
            whole[there, : weights.shape[1]], moved[there] = weights[here], shifts[here]
        self._places += [sum(part.size for part in self._weights), sum(map(len, self._shifts)), columns, depth]
        packed = whole.reshape(-1, self._panel, depth // GROUP, GROUP).transpose(0, 2, 1, 3)
        self._weights.append(np.ascontiguousarray(packed).reshape(-1))
        self._shifts.append(moved)
        return len(self._places) // len(PLACE) - 1

    def joined(self, plan: npt.NDArray[np.int64]) -> Packed:
        weights = aligned(sum(part.size for part in self._weights), np.int16)
        np.concatenate(self._weights, out=weights)
        return Packed(
            plan=plan,
            numbers=np.concatenate(self._numbers),
            weights=weights,
            shifts=np.concatenate(self._shifts),
            places=np.array(self._places, dtype=np.int64),
            tanh=tanh_table(),
            powers=power_table(),
        )
