"""Which devices there are to compute on."""

from __future__ import annotations

import torch

from charlm.errors import UnavailableError

# Steps before a graph is recorded: libraries set themselves up in them, which may not happen while recording.
STEPS_BEFORE_GRAPH = 3


def choose_device(wanted: str) -> torch.device:
    """The device called `wanted`: cpu, cuda or mps; ``auto`` takes the fastest there is.

    Raises:
        UnavailableError: a device that this machine or this build of torch does not have.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, present in there.items() if present))
    if not there.get(wanted):
        choices = ", ".join(name for name, present in there.items() if present)
        raise UnavailableError(f"device {wanted!r} is not available here", f"choose {choices} or auto")
    return torch.device(wanted)
