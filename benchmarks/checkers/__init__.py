"""Whether a piece of text has the structure of its kind: one file a kind, one class each, proof against any garbage."""

from checkers.c_source import CSource
from checkers.latex import Latex
from checkers.piece import Checker, Place
from checkers.plays import Plays

# To add a kind: a file, and a line here.
CHECKERS: dict[str, type[Checker]] = {"c": CSource, "latex": Latex, "plays": Plays}

__all__ = ["CHECKERS", "Checker", "Place"]
