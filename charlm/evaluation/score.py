"""A score and its denominators: totals and counts are added up, ratios are derived."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Score:
    """Total negative log-likelihood of some targets, in nats, and what they amount to.

    `tokens` counts predictions: the first symbol of a text is context only, so a text of N symbols
    has N - 1. `characters` and `bytes` are those of the predicted symbols alone. Ratios of no
    predictions are None, never NaN.
    """

    total_nats: float
    tokens: int
    characters: int
    bytes: int

    def __add__(self, other: Score) -> Score:
        return Score(
            total_nats=self.total_nats + other.total_nats,
            tokens=self.tokens + other.tokens,
            characters=self.characters + other.characters,
            bytes=self.bytes + other.bytes,
        )

    @property
    def nats_per_token(self) -> float | None:
        """Mean loss per predicted token: the training loss's unit."""
        return self.total_nats / self.tokens if self.tokens else None

    @property
    def nats_per_character(self) -> float | None:
        """Mean loss per character: comparable across tokenizers."""
        return self.total_nats / self.characters if self.characters else None

    @property
    def perplexity(self) -> float | None:
        """exp of the loss per *token*; only comparable between models of one tokenizer."""
        return _exp(self.nats_per_token)

    @property
    def perplexity_per_character(self) -> float | None:
        """exp of the loss per character: comparable across tokenizers; the other one where a token is a character."""
        return _exp(self.nats_per_character)

    @property
    def bits_per_character(self) -> float | None:
        """Base-2 loss per character: comparable across tokenizers."""
        return self.total_nats / math.log(2) / self.characters if self.characters else None

    @property
    def bits_per_byte(self) -> float | None:
        """Base-2 loss per UTF-8 byte: comparable across scripts, and with compressors."""
        return self.total_nats / math.log(2) / self.bytes if self.bytes else None


def _exp(nats: float | None) -> float | None:
    if nats is None:
        return None
    return math.inf if nats >= 700 else math.exp(nats)  # NaN stays NaN
