"""charlm's engines as the sampling benchmark makes them: one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from charlm.api import Model
from charlm.runtime import NumpyModel


def _numpy(model: Model, threads: int) -> Any:
    return NumpyModel(model.config.model, model.checkpoint.weights, model.tokenizer.vocab_size)


# (run, threads that it may use) -> what `charlm.generation.generate` takes
ENGINES: dict[str, Callable[[Model, int], Any]] = {
    "numpy": _numpy,
}
# Engines with these words in their names have weights in whole numbers.
ROUGH = ("int16", "int8")
