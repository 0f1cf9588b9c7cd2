"""Pieces of text that are cut at both ends, and what is fair to ask of them.

A piece goes on from a place of a longer text that the checker has read up to there: what is open at that place is
known, and everybody who goes on from it is held to the same. It ends wherever its length ends it. So a last line that
is not whole is left out, and what a piece opens in its second half may stay open: its end may lie behind the cut. What
it opens in its first half has to be closed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

OUTSIDE = -1
"""Where something was opened that the piece need not close."""


class Place(NamedTuple):
    """Where a piece may begin, and what is known there: what is open, outermost first, or who has spoken."""

    at: int
    known: tuple[str, ...] = ()


class Opening(NamedTuple):
    """Something that is open: what has to close it, what is at fault if nothing does, and where it was opened."""

    closing: str
    aspect: str
    at: int


class Verdict(NamedTuple):
    """Of a piece: the aspects that are at fault, and how much there was to be at fault."""

    faults: set[str]
    found: int


@dataclass
class Reading:
    """What was found in a text.

    Attributes:
        open: what is open at its end, outermost first.
        found: how much that opens, or contradicts itself.
        faults: aspects that contradict themselves somewhere.
        places: where pieces may begin.
    """

    open: list[Opening]
    found: int = 0
    faults: set[str] = field(default_factory=set)
    places: list[Place] = field(default_factory=list)

    def begin(self, closing: str, aspect: str, at: int) -> None:
        """Something opens."""
        self.found += 1
        self.open.append(Opening(closing, aspect, at))

    def close(self, closing: str, aspect: str) -> None:
        """Something closes. What is open inside of it is at fault, or it itself where nothing of its kind is open."""
        depth = next((at for at in reversed(range(len(self.open))) if self.open[at].closing == closing), None)
        if depth is None:
            self.faults.add(aspect)
        else:
            self.drop(depth + 1)
            self.open.pop()

    def drop(self, depth: int) -> None:
        """Whatever is open from a depth on was never closed."""
        self.faults |= {opening.aspect for opening in self.open[depth:]}
        del self.open[depth:]


class Checker(ABC):
    """The structure of one kind of text. `aspects` are what can be at fault."""

    aspects: ClassVar[tuple[str, ...]]

    def __init__(self, training_text: str) -> None:
        """`training_text`: for what is to be learnt from it, as names are."""
        self.training_text = training_text

    @abstractmethod
    def places(self, text: str, before: int) -> list[Place]:
        """Where pieces of a text may begin, in order, with at least `before` characters before them."""

    @abstractmethod
    def judge(self, piece: str, place: Place) -> Verdict:
        """A piece that goes on from `place`."""


class Nested(Checker):
    """What opens and closes."""

    @abstractmethod
    def read(self, text: str, known: tuple[str, ...] = ()) -> Reading:
        """Read a text in which `known` is open when it begins."""

    def places(self, text: str, before: int) -> list[Place]:
        return [place for place in self.read(text).places if place.at >= before]

    def judge(self, piece: str, place: Place) -> Verdict:
        reading = self.read(whole_lines(piece), place.known)
        left = {opening.aspect for opening in reading.open if OUTSIDE < opening.at < len(piece) / 2}
        return Verdict(reading.faults | left, reading.found)


def whole_lines(piece: str) -> str:
    """A piece without the line that its end cuts."""
    return piece[: piece.rfind("\n") + 1]
