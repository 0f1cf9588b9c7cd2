"""How the corpora room tells of slow work; the command line draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told what is being done and how far it is; `start` and `finish` come in pairs, one pair at a time."""

    def start(self, what: str, total: int | None) -> None:
        """`what` begins, in `total` units (bytes or documents), None where that is not known."""

    def advance(self, n: int) -> None:
        """`n` more units are done."""

    def finish(self) -> None:
        """What was started has ended, well or not."""


class NoProgress:
    """Tells nobody."""

    def start(self, what: str, total: int | None) -> None:
        pass

    def advance(self, n: int) -> None:
        pass

    def finish(self) -> None:
        pass
