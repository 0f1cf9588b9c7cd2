"""How a text is put before a model. A loss means nothing without its protocol, so it is printed with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charlm.errors import ConfigError
from charlm.evaluation.predictions import Ids, Predictions
from charlm.evaluation.scoring_engine import Feed, ScoringEngine
from charlm.evaluation.stream import stream_pieces
from charlm.evaluation.windows import window_pieces
from charlm.registry import lookup

if TYPE_CHECKING:
    import torch

    from charlm.evaluation.torch_scoring import Model

LONGEST_WINDOW = 2**20
MOST_LANES = 2**16


class Protocol(ABC):
    """A way to score a text: which symbols a model sees before it predicts each one."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What `parse_protocol` reads."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The same for a reader."""

    @abstractmethod
    def pieces(
        self,
        model: Model | ScoringEngine,
        ids: Ids,
        *,
        device: torch.device | str | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> Iterator[Predictions]:
        """Predictions of every symbol of `ids` (N,) but the first, in text order, some at a time.

        Args:
            device: where a torch model is; None asks its parameters.
            advance: told how many predictions were done since it was last told.
        """


@dataclass(frozen=True)
class StreamProtocol(Protocol):
    """One long text, memory carried from its first symbol to its last.

    Attributes:
        lanes: 1 for exactly one long pass, None for side by side, which is faster and as good.
    """

    lanes: int | None = None

    @classmethod
    def parse(cls, number: int | None) -> StreamProtocol:
        """``stream`` or ``stream:LANES``."""
        if number is not None and number > MOST_LANES:
            raise ConfigError(f"protocol stream takes from 1 to {MOST_LANES} lanes, was {number}")
        return cls(number)

    @property
    def name(self) -> str:
        return "stream" if self.lanes is None else f"stream:{self.lanes}"

    @property
    def words(self) -> str:
        return "one long text: every symbol but the first predicted once, with memory of all before it"

    def pieces(
        self,
        model: Model | ScoringEngine,
        ids: Ids,
        *,
        device: torch.device | str | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> Iterator[Predictions]:
        return stream_pieces(Feed.of(model, device), ids, self.lanes, advance)


@dataclass(frozen=True)
class WindowsProtocol(Protocol):
    """Windows that do not overlap, each begun without memory.

    Attributes:
        length: symbols in a window.
    """

    length: int

    @classmethod
    def parse(cls, number: int | None) -> WindowsProtocol:
        """``windows:LENGTH``."""
        if number is None:
            raise ConfigError("protocol windows needs a length, for instance windows:256")
        if number > LONGEST_WINDOW:
            raise ConfigError(f"a window has from 1 to {LONGEST_WINDOW} symbols, was {number}; try --protocol stream")
        return cls(number)

    @property
    def name(self) -> str:
        return f"windows:{self.length}"

    @property
    def words(self) -> str:
        return (
            f"windows of {self.length} that do not overlap, no memory at the start of each: "
            "every symbol but the first predicted once"
        )

    def pieces(
        self,
        model: Model | ScoringEngine,
        ids: Ids,
        *,
        device: torch.device | str | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> Iterator[Predictions]:
        return window_pieces(Feed.of(model, device), ids, self.length, advance)


PROTOCOLS: dict[str, type[StreamProtocol] | type[WindowsProtocol]] = {
    "stream": StreamProtocol,
    "windows": WindowsProtocol,
}


def parse_protocol(text: str) -> Protocol:
    """The protocol that ``stream``, ``stream:LANES`` or ``windows:LENGTH`` asks for.

    Raises:
        ConfigError: no such protocol, or a number that is missing, malformed or out of range.
    """
    if not isinstance(text, str):
        raise ConfigError(f"protocol must be a text such as stream or windows:64, was {text!r:.60}")
    name, colon, digits = text.strip().partition(":")
    protocol = lookup(PROTOCOLS, name, "protocol")
    if not colon:
        return protocol.parse(None)
    # subtle: isdigit alone takes other scripts' digits, and int() refuses thousands of them
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18 and int(digits) > 0):
        raise ConfigError(f"protocol {name} takes a whole number from 1 after the colon, was {digits[:40]!r}")
    return protocol.parse(int(digits))
