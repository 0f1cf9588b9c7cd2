"""Plays: who speaks is named alone on a line, before a colon, after an empty line."""

from __future__ import annotations

import re

from checkers.piece import Checker, Place, Verdict, whole_lines

SPEAKER = re.compile(r"(?:\A|(?<=\n\n))([^\n:]{1,60}):(?=\n)")
PARAGRAPH = re.compile(r"\n\n(?=[^\n])")


class Plays(Checker):
    """Plays. Pieces begin after an empty line. A speaker exists whom the training text knows, or who has spoken before
    in the text that the piece goes on from: a play that is held out has people of its own. A piece without any speaker
    is no play."""

    aspects = ("speakers",)

    def __init__(self, training_text: str) -> None:
        super().__init__(training_text)
        self._names = set(SPEAKER.findall(training_text))

    def places(self, text: str, before: int) -> list[Place]:
        found: list[Place] = []
        spoken: dict[str, None] = {}
        at = 0
        for paragraph in PARAGRAPH.finditer(text, before):
            spoken |= dict.fromkeys(SPEAKER.findall(text[at : paragraph.end()]))
            at = paragraph.end()
            found.append(Place(at, tuple(spoken)))
        return found

    def judge(self, piece: str, place: Place) -> Verdict:
        speakers = SPEAKER.findall(whole_lines(piece))
        exist = bool(speakers) and self._names.union(place.known).issuperset(speakers)
        return Verdict(set() if exist else {"speakers"}, len(speakers))
