"""A single attention head over past outputs of the last layer. Letters: B lanes, T window, H, A past outputs kept."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.models.state import AttentionState

# A window is worked through in parts of A steps, or of so many: what is in memory does not grow with its square.
SHORTEST_PART = 64


class AttentionWeights(NamedTuple):
    """The head's parameters, by the names that they have in the model after ``attention_``."""

    norm_weight: Tensor  # (H,)
    norm_bias: Tensor  # (H,)
    query: Tensor  # (H, H)
    output: Tensor  # (H, H)


def empty_memory(B: int, A: int, like: Tensor) -> AttentionState:
    """What is remembered before any text, in the format and on the device of `like` (..., H): nothing."""
    return AttentionState(like.new_zeros(B, A, like.shape[-1]), like.new_zeros(B, A))


def attend(y: Tensor, state: AttentionState, weights: AttentionWeights) -> tuple[Tensor, AttentionState]:
    """Add to each output what it finds among itself and the A outputs before it, wherever windows begin.

        n[t] = norm(y[t])
        a[t] = softmax over i = t - A ... t of  n[i] . (query n[t]) / sqrt(H)
        z[t] = y[t] + output sum a[t, i] n[i]

    After Merity (2019, arXiv:1911.11423): one head, and keys and values are the remembered vectors themselves. With one
    head, matrices for them would add nothing to those of query and output.

    Args:
        y: (B, T, H).

    Returns:
        z (B, T, H), and the memory after the window in the format of the weights.
    """
    found = []
    for part in torch.split(y, max(state.memory.shape[1], SHORTEST_PART), dim=1):
        normal = F.layer_norm(part.to(weights.norm_weight.dtype), part.shape[-1:], *weights[:2])
        context, state = _look_back(normal, state, weights.query)
        found.append(part + F.linear(context, weights.output))
    return torch.cat(found, dim=1) if len(found) > 1 else found[0], state


def _look_back(normal: Tensor, state: AttentionState, query: Tensor) -> tuple[Tensor, AttentionState]:
    """normal: (B, T, H) -> weighted means of the past (B, T, H), the memory after."""
    A, T, H = state.memory.shape[1], *normal.shape[1:]
    past = torch.cat([state.memory, normal], dim=1)  # (B, A + T, H)
    filled = torch.cat([state.filled, torch.ones_like(normal[:, :, 0])], dim=1)
    # row t sees places t to t + A: the A before its own, and its own
    near = torch.ones(T, A + T, dtype=torch.bool, device=normal.device).triu().tril(A)
    scores = torch.bmm(F.linear(normal, query) / H**0.5, past.mT)
    scores = scores.masked_fill(~(near & (filled > 0).unsqueeze(1)), -torch.inf)
    return torch.bmm(scores.softmax(-1), past), AttentionState(past[:, T:], filled[:, T:])
