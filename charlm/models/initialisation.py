"""First weights, drawn in place from the generator that is handed in."""

from __future__ import annotations

import math

import torch
from torch import Tensor


@torch.no_grad()
def orthogonal_(weight: Tensor, generator: torch.Generator) -> None:
    """A random orthogonal matrix, weight: (H, H) (Saxe et al., 2013, arXiv:1312.6120).

    The orthogonal factor of a Gaussian matrix; the signs of R's diagonal make it uniform over all
    orthogonal matrices (Mezzadri, 2007, arXiv:math-ph/0609050).
    """
    # drawn and factored in float64 on the generator's device, so that any model gets the same matrix, rounded
    normal = torch.empty(weight.shape, dtype=torch.float64, device=generator.device).normal_(generator=generator)
    q, r = torch.linalg.qr(normal)
    weight.copy_(q * torch.where(r.diagonal() < 0, -1.0, 1.0))


@torch.no_grad()
def scaled_uniform_(weight: Tensor, generator: torch.Generator, gain: float = 1.0) -> None:
    """Uniform with variance gain^2 / columns, weight: (rows, columns): at gain 1 a product keeps its input's
    variance (LeCun et al., 1998, "Efficient BackProp", section 4.6)."""
    bound = gain * math.sqrt(3 / weight.shape[1])
    weight.copy_(_uniform(weight, generator).mul_(2 * bound).sub_(bound))


@torch.no_grad()
def normal_(weight: Tensor, deviation: float, generator: torch.Generator) -> None:
    """Gaussian with mean 0."""
    drawn = torch.empty(weight.shape, dtype=torch.float32, device=generator.device).normal_(generator=generator)
    weight.copy_(drawn.mul_(deviation))


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty(like.shape, dtype=torch.float32, device=generator.device).uniform_(generator=generator)
