"""A torch model that reads a text in lanes, and is listened to while it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.evaluation.predictions import Ids
from charlm.evaluation.reading import Advance, Block, Integers, lane_blocks
from charlm.evaluation.torch_scoring import block_length, home_of

if TYPE_CHECKING:
    from charlm.models import LanguageModel

LEAD = 2000
"""Symbols of the lane before that a lane reads first: for its own memory, and for that of whoever listens."""


class LaneReader:
    """A model as it was trained, with what its layers give: the stream, in lanes that overlap by LEAD.

    Args:
        lanes: how many stretches are read side by side.
    """

    def __init__(self, model: LanguageModel, lanes: int) -> None:
        self.model, self.lanes = model, lanes

    def read(self, ids: Ids, advance: Advance = None, /) -> Iterator[Block]:
        predictions, state = len(ids) - 1, None
        steps = block_length(self.model, self.lanes)
        with listening(self.model) as heard:
            for places, counted in lane_blocks(predictions, self.lanes, steps, LEAD):
                with torch.no_grad():
                    nats, state = losses(self.model, ids, places, state)
                yield block_of(places, counted, nats, heard.pop(), advance)


def losses(model: LanguageModel, ids: Ids, places: Integers, state: Any) -> tuple[Tensor, Any]:
    """Nats (B, T) float32 of the ids at some places (B, T), and the state after."""
    home = home_of(model, None)
    x, targets = (torch.from_numpy(ids[at].astype(np.int64)).to(home) for at in (places - 1, places))
    logits, state = model(x, state)
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none").view(places.shape), state


def block_of(places: Integers, counted: Any, nats: Tensor, outputs: Tensor, advance: Advance) -> Block:
    """What was read, told to `advance`."""
    if advance is not None:
        advance(int(counted.sum()))
    read = nats.detach().cpu().double().numpy()
    return Block(places=places, counted=counted, nats=read, outputs=outputs.detach().float())


@contextmanager
def listening(model: LanguageModel) -> Iterator[list[Tensor]]:
    """While in here, each call of the model appends what its layers give, (B, T, H)."""
    heard: list[Tensor] = []
    handle = model.layers.register_forward_hook(lambda layers, given, found: heard.append(found[0]))
    try:
        yield heard
    finally:
        handle.remove()
