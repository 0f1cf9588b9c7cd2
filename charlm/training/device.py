"""Which machine a training runs on: what was asked for, or what a short measurement finds the fastest."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import torch

from charlm.config import ModelConfig, TrainingConfig
from charlm.corpora import Progress
from charlm.errors import ConfigError, UnavailableError
from charlm.kernels import KERNELS, cudnn
from charlm.kernels.devices import choose_device
from charlm.training.machine import Machine
from charlm.training.trial import fastest, is_emulated


def choose_machine(
    training: TrainingConfig,
    model: ModelConfig,
    vocab_size: int,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress | None = None,
) -> Machine:
    """The machine that `training` asks for; ``auto`` takes the fastest there is.

    Args:
        progress: told when loops have to be compiled, which takes seconds the first time.

    Raises:
        UnavailableError: a device, or kernels, that this machine or this build of torch does not have.
        ConfigError: kernels that there are not for this cell or device.
    """
    _start_workers()
    device = choose_device(training.device)
    threads = training.threads or torch.get_num_threads()
    if device.type != "cpu" or model.cell not in KERNELS["torch"]:
        if training.kernels == "compiled":
            where = f"on {device.type}" if device.type != "cpu" else f"for cell {model.cell}"
            raise ConfigError(f"there are no kernels 'compiled' {where}: leave --kernels out")
        # elsewhere there is one family; and a cell that is stepped as it reads has products too small to gain
        if training.dtype != "auto":
            return Machine(device=device, dtype=getattr(torch, training.dtype), threads=threads)
        lower = device.type == "cuda" and torch.cuda.is_bf16_supported()
        lower = lower and (model.cell not in cudnn.CELLS or cudnn.takes_bfloat16(device, model.cell, model.hidden_size))
        return Machine(device=device, dtype=torch.bfloat16 if lower else torch.float32, threads=threads)
    candidates = [
        Machine(device=device, dtype=dtype, threads=threads, kernels=family)
        for dtype in _formats(training.dtype)
        for family in _families(training)
        if (_compiled_fits if family == "compiled" else _torch_fits)(dtype, training)
    ]
    with told_of_compiling(progress if "charlm.simd.compiling" in sys.modules else None):
        return fastest(candidates, training, model, vocab_size, clock)


def _start_workers() -> None:
    """Start torch's threads with denormals flushed: each keeps the setting that it was started with."""
    torch.set_flush_denormal(True)
    torch.ones(2**17).add_(1.0)
    torch.set_flush_denormal(False)


def _formats(dtype: str) -> list[torch.dtype]:
    return [torch.float32, torch.bfloat16] if dtype == "auto" else [getattr(torch, dtype)]


def _families(training: TrainingConfig) -> list[str]:
    """The kernels to choose from; charlm's own where Numba is there."""
    if training.kernels == "torch":
        return ["torch"]
    try:
        import charlm.simd.compiling  # noqa: F401
    except ImportError as error:  # no Numba for this processor or Python
        if training.kernels == "compiled":
            raise UnavailableError(
                f"kernels 'compiled' need Numba, which cannot be imported ({error})", "give --kernels torch"
            ) from None
        return ["torch"]
    return ["compiled"] if training.kernels == "compiled" else ["compiled", "torch"]


def _torch_fits(dtype: torch.dtype, training: TrainingConfig) -> bool:
    """Whether torch's kernels are worth a trial in a format."""
    return dtype == torch.float32 or training.dtype != "auto" or not is_emulated(dtype)


def _compiled_fits(dtype: torch.dtype, training: TrainingConfig) -> bool:
    """Whether charlm's own loops are worth a trial in a format."""
    from charlm.simd import BFLOAT16_PAYS, HAS_BFLOAT16

    if dtype == torch.bfloat16 and not HAS_BFLOAT16:
        if training.kernels == "compiled" and training.dtype == "bfloat16":
            raise UnavailableError(
                "kernels 'compiled' compute in bfloat16 only on a processor that multiplies it, and this one does not",
                "give --dtype float32 or --kernels torch",
            )
        return False
    # no need to compile them for float32 as well where they are faster in bfloat16
    return not (dtype == torch.float32 and training.dtype == "auto" and BFLOAT16_PAYS)


@contextlib.contextmanager
def told_of_compiling(progress: Progress | None) -> Iterator[None]:
    """Say so when loops are compiled in here."""
    if progress is None:
        yield
        return
    from charlm.simd.compiling import telling

    begun = []

    def begin() -> None:
        begun.append(True)
        progress.start("compiling for this processor: some seconds, once", None)

    with telling(begin):
        try:
            yield
        finally:
            if begun:
                progress.finish()
