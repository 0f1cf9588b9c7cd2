"""What scores a saved run: the compiled engine on a CPU, torch on a GPU or where it is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from charlm.config.parts import SCORING_ENGINES
from charlm.errors import ConfigError
from charlm.registry import lookup
from charlm.runs import Checkpoint, Run
from charlm.runs.precision import measured_precisions
from charlm.runtime import NumpyModel, open_engine
from charlm.runtime.quantised import FORMATS, PRECISIONS

# Where Linux shows a GPU that torch could compute on.
GPU_PLACES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class Scorer:
    """A model that `charlm.evaluation.evaluate` can ask.

    Attributes:
        model: a torch model or an engine that scores by itself.
        in_use: what holds while it is asked.
        notices: lines for the user.
    """

    model: Any
    in_use: Callable[[], AbstractContextManager[None]] = nullcontext
    notices: tuple[str, ...] = ()


def open_scorer(
    run: Run,
    checkpoint: Checkpoint,
    device: str,
    threads: int | None,
    engine: str,
    precision: str,
    on_compile: Callable[[], None] | None = None,
) -> Scorer:
    """The fastest scorer for these settings.

    On a CPU the compiled engine is faster than torch for a text of any length, and starts without importing it.

    Args:
        on_compile: told when its loop has to be compiled, which takes seconds, once on a machine.

    Raises:
        ConfigError: an engine or device that cannot be had, or not with this precision.
    """
    lookup(dict.fromkeys(SCORING_ENGINES), engine, "engine")
    lookup(dict.fromkeys(("auto", *PRECISIONS)), precision, "precision")
    if engine == "numba" and device not in ("auto", "cpu"):
        raise ConfigError(f"engine numba computes on a CPU, not on {device}: choose engine torch")
    if engine == "numba" or (engine == "auto" and _on_cpu(device)):
        config, vocab_size = run.config.model, run.tokenizer.vocab_size
        measured = measured_precisions(run.facts, checkpoint.step)
        found = open_engine(
            config,
            checkpoint.weights,
            vocab_size,
            engine=engine,
            precision=precision,
            measured=measured,
            threads=threads,
            otherwise="torch",
            on_compile=on_compile,
            halves=True,
        )
        if not isinstance(found, NumpyModel):
            coarse = found.precision in FORMATS
            return Scorer(found, notices=(f"scored with weights in {found.precision}",) if coarse else ())
    if precision not in ("auto", "exact"):
        raise ConfigError(f"precision must be exact with torch, was {precision}: take engine numba, on a CPU")
    return torch_scorer(run, checkpoint, device, threads)


def torch_scorer(run: Run, checkpoint: Checkpoint, device: str, threads: int | None) -> Scorer:
    """The `LanguageModel` itself: its weights and what its layers give are there for those who look inside."""
    from charlm.kernels.devices import choose_device
    from charlm.models import LanguageModel

    model = LanguageModel.from_arrays(run.config.model, run.tokenizer.vocab_size, checkpoint.weights)
    return Scorer(model.to(choose_device(device)), lambda: _in_use(threads))


def _on_cpu(device: str) -> bool:
    """Whether a CPU is what `device` means, found out without importing torch where that can be."""
    if device == "auto" and sys.platform == "linux" and not any(map(os.path.exists, GPU_PLACES)):
        return True
    if device == "auto":
        from charlm.kernels.devices import choose_device

        return choose_device(device).type == "cpu"
    return device == "cpu"


@contextmanager
def _in_use(threads: int | None) -> Iterator[None]:
    """While in here torch computes in float32 with so many threads; None for as many as before."""
    import torch

    from charlm.evaluation.torch_scoring import exact_products

    before = torch.get_num_threads()
    torch.set_num_threads(before if threads is None else threads)
    try:
        with exact_products():
            yield
    finally:
        torch.set_num_threads(before)
