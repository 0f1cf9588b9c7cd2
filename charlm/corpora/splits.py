"""Which share of a text trains, validates and tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from charlm.errors import ConfigError

DEFAULT_SPLIT = "90/5/5"
_SHARES = re.compile(r"\d{1,3}(?:\.\d{1,6})?(?:/\d{1,3}(?:\.\d{1,6})?){0,2}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Shares of train, validation and test; `test` is None where there is no test part."""

    text: str
    train: Fraction
    validation: Fraction
    test: Fraction | None

    def bounds(self, characters: int) -> dict[str, tuple[int, int]]:
        """Where each part lies in a text of so many `characters`: contiguous, without gaps, by rounding down.

        A tiny text may leave parts empty.
        """
        first = int(characters * self.train)
        second = characters if self.test is None else int(characters * (self.train + self.validation))
        bounds = {"train": (0, first), "validation": (first, second)}
        if self.test is not None:
            bounds["test"] = (second, characters)
        return bounds


def parse_split(text: str) -> Shares:
    """Read ``90/5/5`` (train/validation/test), ``90/10`` (no test part) or ``100`` (all of it trains), in per cent.

    Raises:
        ConfigError: other than one to three decimal numbers, or they do not add up to 100.
    """
    advice = "must be train/validation or train/validation/test in per cent, such as 90/5/5"
    if not _SHARES.fullmatch(text.strip()):
        raise ConfigError(f"split {advice}, was {text!r}")
    numbers = [Fraction(number) for number in text.strip().split("/")]
    if sum(numbers) != 100:
        raise ConfigError(f"split {advice}, was {text!r}, which adds up to {float(sum(numbers)):g}")
    if not numbers[0]:
        raise ConfigError(f"split {advice}, was {text!r}, which leaves nothing to train on")
    shares = [number / 100 for number in numbers]
    return Shares(
        text=text.strip(),
        train=shares[0],
        validation=shares[1] if len(shares) > 1 else Fraction(0),
        test=shares[2] if len(shares) > 2 else None,
    )
