"""What every engine asks of the weights and texts it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import ModelConfig
from charlm.config.shapes import check_shapes, parameter_shapes
from charlm.errors import RunError
from charlm.runtime.state import Array


def check_ids(ids: npt.NDArray[Any], vocab_size: int) -> npt.NDArray[Any]:
    """The ids (T,) of a text to be read.

    Raises:
        RunError: no ids, or one outside the vocabulary.
    """
    ids = np.asarray(ids)
    if not len(ids):
        raise RunError("a model must read at least one symbol before it can write")
    check_range(ids, vocab_size)
    return ids


def check_range(ids: npt.NDArray[Any], vocab_size: int) -> None:
    """Raise `RunError` where an id is outside the vocabulary."""
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= vocab_size):
        raise RunError.of_ids(int(ids.min()), int(ids.max()), vocab_size)


def checked(arrays: Mapping[str, npt.NDArray[Any]], config: ModelConfig, vocab_size: int) -> dict[str, Array]:
    """The tensors as float32, held against the shapes that `config` calls for.

    Raises:
        RunError: naming a tensor that is missing, one too many, misshapen, not of floats or not finite.
    """
    check_shapes({name: array.shape for name, array in arrays.items()}, parameter_shapes(config, vocab_size), "weights")
    found = {}
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise RunError(f"weights: tensor {name!r} holds {array.dtype}, must hold floating-point numbers")
        with np.errstate(over="ignore"):
            found[name] = np.asarray(array, dtype=np.float32)
        if not np.isfinite(found[name]).all():
            raise RunError(f"weights: tensor {name!r} holds a number that is not finite")
    return found
