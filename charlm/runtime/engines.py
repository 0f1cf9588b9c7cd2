"""Which engine computes, and in which number format: what was asked for, or what is fastest here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from charlm.config import ModelConfig
from charlm.config.folders import cache_folder
from charlm.errors import ConfigError
from charlm.registry import lookup
from charlm.runtime.layout import missing_in
from charlm.runtime.precision import fastest
from charlm.runtime.quantised import HALVES, PRECISIONS

if TYPE_CHECKING:
    from charlm.runtime.numba_model import NumbaModel
    from charlm.runtime.numpy_model import NumpyModel

ENGINES = ("numba", "numpy")
"""The engines of this room, fastest first."""


def open_engine(
    config: ModelConfig,
    arrays: Mapping[str, npt.NDArray[Any]],
    vocab_size: int,
    *,
    engine: str = "auto",
    precision: str = "auto",
    measured: Mapping[str, float] | None = None,
    threads: int | None = None,
    on_compile: Callable[[], None] | None = None,
    otherwise: str = "numpy",
    halves: bool = False,
) -> NumbaModel | NumpyModel:
    """A model at work.

    Args:
        arrays: all tensors by name.
        engine: one of `ENGINES`, or ``auto``: numba, and numpy where that cannot be imported or keep its machine
            code, or does not compute such a model.
        precision: one of `PRECISIONS`; ``auto`` is what `charlm.runtime.precision.fastest` makes of `measured`.
        measured: nats by precision of these very weights; None where they were not measured.
        threads: at most so many share rows that run side by side; None for all processors.
        on_compile: told when the loop has to be compiled, which takes seconds.
        otherwise: the engine that errors name where numba cannot be had.
        halves: whether `charlm.runtime.quantised.HALVES` will do for ``exact``: to score, not to draw.

    Raises:
        UnknownNameError: there is no such engine, or precision.
        ConfigError: numba was asked for and cannot be imported or does not compute such a model, or numpy with a
            precision other than exact.
        RunError: naming a tensor that is missing, one too many, misshapen, not of floats or not finite.
    """
    lookup(dict.fromkeys(("auto", *ENGINES)), engine, "engine")
    lookup(dict.fromkeys(("auto", *PRECISIONS)), precision, "precision")
    if engine == "numpy" and precision not in ("auto", "exact"):
        raise ConfigError(f"precision must be exact with engine numpy, was {precision}: take engine numba")
    missing = missing_in(config)
    if missing is not None and (engine == "numba" or precision in PRECISIONS[1:]):
        raise ConfigError(f"engine numba does not compute {missing}: take engine {otherwise}, in precision exact")
    wanted = engine == "numba" or (engine == "auto" and (precision in PRECISIONS[1:] or can_keep_code()))
    if wanted and missing is None:
        try:
            return _compiled(
                config, arrays, vocab_size, precision, measured, threads or processors(), on_compile, halves
            )
        except ImportError as error:
            if engine == "numba" or precision in PRECISIONS[1:]:
                raise ConfigError(f"engine numba cannot be imported ({error}): take engine {otherwise}") from None
    from charlm.runtime.numpy_model import NumpyModel

    return NumpyModel(config, arrays, vocab_size)


def processors() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def can_keep_code() -> bool:
    """Whether machine code can be kept for later processes; without that, each would take seconds to make it."""
    # Numba's own variable goes first, as in `charlm.simd.code_files`
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder())
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _compiled(
    config: ModelConfig,
    arrays: Mapping[str, npt.NDArray[Any]],
    vocab_size: int,
    precision: str,
    measured: Mapping[str, float] | None,
    threads: int,
    on_compile: Callable[[], None] | None,
    halves: bool,
) -> NumbaModel:
    from charlm.runtime.numba_model import NumbaModel
    from charlm.simd import HAS_AMX, HAS_INT8

    if precision == "auto":
        precision = fastest(measured or {}, bytes_are_fast=HAS_INT8)
    if precision == "exact" and halves and HAS_AMX:
        precision = HALVES
    told = on_compile or (lambda: None)
    return NumbaModel(config, arrays, vocab_size, precision=precision, threads=threads, on_compile=told)
