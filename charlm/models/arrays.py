"""Tensors to NumPy arrays and back, with everything checked on the way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charlm.config.shapes import check_shapes
from charlm.errors import RunError


def array_of(tensor: Tensor) -> np.ndarray[Any, Any]:
    """A copy of the tensor in main memory: float64 stays as it is, every other format becomes float32."""
    kind = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.detach().to("cpu", kind, copy=True).contiguous().numpy()


def tensors_of(arrays: Mapping[str, np.ndarray[Any, Any]], like: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Copies of the arrays in the names, order, number format and device of `like`.

    Raises:
        RunError: naming a tensor that is missing, one too many, misshapen, not of floats or not finite.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in like.items()}
    check_shapes({name: array.shape for name, array in arrays.items()}, shapes, where)
    found = {}
    for name, model in like.items():
        array = arrays[name]
        if array.dtype.kind != "f":
            raise RunError(f"{where}: tensor {name!r} holds {array.dtype}, must hold floating-point numbers")
        # subtle: finite as float64 may still overflow the model's own format, so the copy is what is checked
        tensor = torch.tensor(np.asarray(array, dtype=np.float64 if array.itemsize > 4 else np.float32))
        found[name] = tensor.to(model.device, model.dtype)
        if not torch.isfinite(found[name]).all():
            raise RunError(f"{where}: tensor {name!r} holds a number that is not finite")
    return found
