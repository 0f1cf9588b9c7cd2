"""What can be added to a trained model when it is scored, and the contract that every addition keeps.

To add one: a subclass of `Addition` in a file of its own, and a line in `ADDITIONS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from charlm.evaluation.predictions import Ids
from charlm.evaluation.reading import Advance, Block, Floats, Reader
from charlm.evaluation.tuning import TuningText
from charlm.registry import lookup


@dataclass(frozen=True, kw_only=True, eq=False)
class Learning:
    """What an addition knows of the world.

    Attributes:
        text: what it may learn from, and be tuned on.
        vocab_size: V.
        lanes: in how many lanes text is read.
    """

    text: TuningText
    vocab_size: int
    lanes: int


class Addition(ABC):
    """A reader on top of another: it predicts the same symbols, from the same text, in the same blocks.

    Args:
        before: reads without this addition.
        learning: what there is to learn from.
    """

    def __init__(self, before: Reader, learning: Learning) -> None:
        self.before, self.learning = before, learning

    @property
    @abstractmethod
    def tuned(self) -> Mapping[str, float]:
        """The numbers that `tune` has found, by name."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What is done, for a reader: a part of the protocol."""

    @abstractmethod
    def tune(self, advance: Advance = None) -> None:
        """Choose the numbers that predict `learning.text.ids` best."""

    @abstractmethod
    def read(self, ids: Ids, advance: Advance = None, /) -> Iterator[Block]:
        """As `before` reads, with other losses: still those of a distribution over the vocabulary, each time."""


@dataclass(frozen=True)
class Kind:
    """A row of ADDITIONS.

    Attributes:
        place: ``module:class``, opened when it is wanted: some need torch.
        words: what it is, for a reader.
        inside: whether it needs the model's weights or what its layers give, and not its losses alone.
    """

    place: str
    words: str
    inside: bool

    def open(self) -> type[Addition]:
        """The class."""
        module, name = self.place.split(":")
        found: type[Addition] = getattr(import_module(module), name)
        return found


ADDITIONS: dict[str, Kind] = {
    "dynamic": Kind("charlm.evaluation.dynamic:Dynamic", "the model goes on learning from what it has read", True),
    "cache": Kind("charlm.evaluation.cache:Cache", "symbols that followed similar contexts a short while ago", True),
    "ngram": Kind("charlm.evaluation.mixture:NGramMixture", "interpolation with the 5-gram of the baselines", False),
}
"""In the order in which they are put on top of one another."""


def in_order(names: Iterable[str]) -> dict[str, Kind]:
    """The additions of these names, lowest first.

    Raises:
        UnknownNameError: a name that is not in ADDITIONS.
    """
    wanted = {name: lookup(ADDITIONS, name, "addition") for name in names}
    return {name: kind for name, kind in ADDITIONS.items() if name in wanted}


def best_weight(p: Floats, q: Floats) -> float:
    """The w in [0, 1] for which (1 - w) p + w q, both (n,), gives the least loss; found by halving.

    The loss is convex in w, so its slope changes sign once.
    """
    low, high = 0.0, 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(30):
            w = (low + high) / 2
            gain = np.sum((q - p) / ((1 - w) * p + w * q))
            low, high = (w, high) if gain > 0 else (low, w)
    return low


def mean_nats(blocks: Iterator[Block]) -> float:
    """Mean loss of what is counted; inf where that is no number."""
    total, count = 0.0, 0
    for block in blocks:
        total += float(block.nats[block.counted].sum())
        count += int(block.counted.sum())
    mean = total / count if count else 0.0
    return mean if np.isfinite(mean) else float("inf")
