"""What a training runs on: device, number format, threads and kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from charlm.kernels import using
from charlm.kernels.team import torch_alone
from charlm.models import LanguageModel
from charlm.plurals import counted

# up to this many weights a thread updates them sooner than a second one wakes: 4 to 12 % of a step of 2 x 128, 2 % of
# one of 2 x 256 (1.1 million), nothing for 2 x 512 (4.3 million)
MOST_ALONE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a training runs on. Stored with it, so that a resumed run computes the same numbers."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    kernels: str = "torch"

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Products in bfloat16 where that was chosen; weights stay in float32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While in here: its threads, its kernels, and denormal numbers flushed (they slow an LSTM up to 20 times).

        This is the calling thread's setting; torch's own threads have had theirs since `choose_machine`.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        torch.set_flush_denormal(True)
        try:
            with using(self.kernels):
                yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(before)

    def stepping(self, model: LanguageModel) -> contextlib.AbstractContextManager[object]:
        """While in here, for one step: torch alone in its thread where the compiled loops do nearly all of the work."""
        few = model.count_parameters(ngrams=False) <= MOST_ALONE and model.goes_in_one
        return torch_alone() if self.kernels == "compiled" and few else contextlib.nullcontext()

    def to_json(self) -> dict[str, str | int]:
        """What `TrainingConfig` calls device, dtype and threads."""
        return {
            "device": self.device.type,
            "dtype": str(self.dtype).removeprefix("torch."),
            "threads": self.threads,
            "kernels": self.kernels,
        }

    def describe(self) -> str:
        """In words: ``cpu, 2 threads, bfloat16``."""
        threads = f", {counted(self.threads, 'thread')}" if self.device.type == "cpu" else ""
        loops = ", compiled loops" if self.kernels == "compiled" else ""
        return f"{self.device.type}{threads}, {str(self.dtype).removeprefix('torch.')}{loops}"
