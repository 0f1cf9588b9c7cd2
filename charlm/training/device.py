"""Where to compute, and in which number format."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from charlm.config import ModelConfig, TrainingConfig
from charlm.kernels import KERNELS
from charlm.kernels.devices import choose_device

# bfloat16 must be this much faster than float32 in a product before it is chosen
WORTHWHILE = 1.2


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a training runs on. Stored with it, so that a resumed run computes the same numbers."""

    device: torch.device
    dtype: torch.dtype
    threads: int

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Products in bfloat16 where that was chosen; weights stay in float32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While in here: its threads, and denormal numbers flushed (they slow an LSTM up to 20 times).

        This is the calling thread's setting; torch's own threads have had theirs since `choose_machine`.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(before)

    def to_json(self) -> dict[str, str | int]:
        """What `TrainingConfig` calls device, dtype and threads."""
        return {
            "device": self.device.type,
            "dtype": str(self.dtype).removeprefix("torch."),
            "threads": self.threads,
        }

    def describe(self) -> str:
        """In words: ``cpu, 2 threads, bfloat16``."""
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" if self.device.type == "cpu" else ""
        return f"{self.device.type}{threads}, {str(self.dtype).removeprefix('torch.')}"


def choose_machine(
    training: TrainingConfig, model: ModelConfig, clock: Callable[[], float] = time.perf_counter
) -> Machine:
    """The machine that `training` asks for; ``auto`` takes the fastest there is.

    Raises:
        ConfigError: a device that this machine or this build of torch does not have.
    """
    _start_workers()
    device = choose_device(training.device)
    threads = training.threads or torch.get_num_threads()
    dtype = _choose_dtype(device, model, clock) if training.dtype == "auto" else getattr(torch, training.dtype)
    return Machine(device=device, dtype=dtype, threads=threads)


def _start_workers() -> None:
    """Start torch's threads with denormals flushed: each keeps the setting that it was started with."""
    torch.set_flush_denormal(True)
    torch.ones(2**17).add_(1.0)
    torch.set_flush_denormal(False)


def _choose_dtype(device: torch.device, model: ModelConfig, clock: Callable[[], float]) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # a cell without a kernel is stepped one by one, where the products are too small to gain
    if device.type == "cpu" and model.cell in KERNELS and _bfloat16_is_faster(clock):
        return torch.bfloat16
    return torch.float32


def _bfloat16_is_faster(clock: Callable[[], float]) -> bool:
    """A short measurement (some 20 ms): the best of several products in either format."""
    best = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = torch.ones(64, 512, dtype=dtype), torch.ones(512, 2048, dtype=dtype)
        times = []
        for _ in range(7):
            start = clock()
            left @ right
            times.append(clock() - start)
        best[dtype] = min(times)
    return best[torch.float32] > WORTHWHILE * best[torch.bfloat16]
