"""The windows of `charlm.streams.Lanes`, gathered on the device that trains: no copy and no wait at a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charlm.streams import Lanes, stretches

# The text may take this share of the memory that is free when training starts; a longer one stays on the host.
LARGEST_SHARE = 0.25
# The text travels in pieces of so many ids, so that a mapped file is never in memory as a whole.
PIECE = 2**24
# torch computes little with uint16 and uint32: such ids are kept with their sign, and read without it
SIGNED = {"uint16": np.int16, "uint32": np.int32}


class DeviceLanes:
    """A text on a device and the B places in it. Letters: B lanes, T window length, N ids."""

    def __init__(self, lanes: Lanes, device: torch.device) -> None:
        self.predictions = len(lanes.ids) - 1
        self.starts = torch.from_numpy(lanes.starts.copy()).to(device)  # (B,)
        self.ids = _copied(lanes.ids, device)
        self._mask = (1 << 8 * lanes.ids.itemsize) - 1 if lanes.ids.dtype.name in SIGNED else None

    def window(self, position: Tensor, window_length: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets, each (T, B) int64: what `Lanes.next` gives at `position`, transposed.

        Args:
            position: () int64 on the device, predictions that every lane has given out before; it is read
                there, so that a recorded graph reads what it holds at each replay.
        """
        steps = position + torch.arange(window_length, device=self.starts.device)
        where = (self.starts + steps.unsqueeze(1)) % self.predictions  # (T, B)
        return self._read(where), self._read(where + 1)

    def _read(self, where: Tensor) -> Tensor:
        found = self.ids[where].to(torch.int64)
        return found if self._mask is None else found & self._mask


def fits(ids: npt.NDArray[Any], device: torch.device) -> bool:
    """Whether a text may lie on the device as a whole."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return ids.nbytes <= LARGEST_SHARE * free


def _copied(ids: npt.NDArray[Any], device: torch.device) -> Tensor:
    """`ids`, (N,), on the device in as few bytes as they have."""
    signed = ids.view(SIGNED.get(ids.dtype.name, ids.dtype))
    there = torch.empty(len(ids), dtype=torch.from_numpy(signed[:1].copy()).dtype, device=device)
    start = 0
    for piece in stretches(signed, PIECE):
        there[start : start + len(piece)].copy_(torch.from_numpy(np.array(piece)))
        start += len(piece)
    return there
