"""Gradient clipping, by global norm and by value (Pascanu et al., 2013, arXiv:1211.5063)."""

from __future__ import annotations

import torch

from charlm.config.shapes import NGRAM_TABLE
from charlm.models import LanguageModel


def clipped_parameters(model: LanguageModel) -> list[torch.nn.Parameter]:
    """Those whose gradients are clipped, and counted in the norm: all but the table of n-grams, for `RowAdagrad` takes
    a gradient by what it is beside those before."""
    return [parameter for name, parameter in model.named_parameters() if name != NGRAM_TABLE]


def global_norm(gradients: list[torch.Tensor]) -> torch.Tensor:
    """The Euclidean norm of all gradients as one vector: a scalar, nan or inf where any of them is."""
    norms = torch.stack(list(torch._foreach_norm(gradients)))
    return norms.square().sum().sqrt()


def clip_by_norm(gradients: list[torch.Tensor], norm: float, threshold: float) -> None:
    """In place: g <- g * threshold / |g| when |g| >= threshold, with `norm` the |g| of all of them."""
    if norm >= threshold:
        torch._foreach_mul_(gradients, threshold / norm)


def clip_by_device_norm(gradients: list[torch.Tensor], norm: torch.Tensor, threshold: float) -> None:
    """`clip_by_norm` with a norm, (), that stays on its device; a factor of exactly one where nothing is clipped."""
    torch._foreach_mul_(gradients, torch.where(norm >= threshold, threshold / norm, torch.ones_like(norm)))


def clip_by_value(gradients: list[torch.Tensor], threshold: float) -> None:
    """In place: every component into [-threshold, threshold]."""
    torch._foreach_clamp_max_(gradients, threshold)
    torch._foreach_clamp_min_(gradients, -threshold)
