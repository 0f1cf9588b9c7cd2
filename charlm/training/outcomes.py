"""What steps on a device came to, read some steps later, so that the host never waits for the step it queued."""

from __future__ import annotations

import math
from collections import deque

import torch
from torch import Tensor

# A result is read after so many further steps were queued. They keep the device busy in the meantime; the host
# is never further ahead.
LAG = 8

Outcome = tuple[float, float, float, float | None]


class Outcomes:
    """A queue of results on their way from the device: each is three numbers, and the seconds it took or None.

    The seconds are the device's own, from the end of the step before, infinite where that is not known; a CPU has no
    such clock.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        # pinned memory, or the copy would wait
        self._slots = torch.empty((LAG + 1, 3), dtype=torch.float64, pin_memory=self._cuda)
        self._pending: deque[tuple[int, torch.cuda.Event | None]] = deque()
        self._next = 0
        self._last: torch.cuda.Event | None = None

    def push(self, outcome: Tensor) -> None:
        """Take a copy of `outcome`, (3,), as it will be once the device has come this far.

        No more than `LAG` may be pending: call `overdue` after each.
        """
        slot, self._next = self._next, (self._next + 1) % len(self._slots)
        self._slots[slot].copy_(outcome, non_blocking=True)
        event = None
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
        self._pending.append((slot, event))

    def overdue(self) -> list[Outcome]:
        """The results that are `LAG` steps old, oldest first. The same ones at every run of the same training."""
        return [self._pop() for _ in range(len(self._pending) - LAG)]

    def all(self) -> list[Outcome]:
        """Wait for the rest, oldest first."""
        return [self._pop() for _ in range(len(self._pending))]

    def forget(self) -> None:
        """Drop what is pending."""
        self._pending.clear()
        self._last = None

    def _pop(self) -> Outcome:
        slot, event = self._pending.popleft()
        seconds = None
        if event is not None:
            event.synchronize()
            seconds = math.inf if self._last is None else self._last.elapsed_time(event) / 1e3
            self._last = event
        loss, norm, characters = self._slots[slot].tolist()
        return loss, norm, characters, seconds
