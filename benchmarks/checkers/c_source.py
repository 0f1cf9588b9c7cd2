"""C: brackets that nest, quotes that end on their line, comments that end."""

from __future__ import annotations

import re

from checkers.piece import Nested, Place, Reading

CLOSING = {"(": ")", "[": "]", "{": "}"}
# Prose first: messages of the preprocessor, and comments to the end of a line.
TOKEN = re.compile(
    r"^[ \t]*#[ \t]*(?:error|warning)\b.*|//.*"
    r"|(?P<comment>/\*)|(?P<stray>\*/)"
    r"""|(?P<quoted>"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*')|(?P<quote>["'])"""
    r"|(?P<bracket>[][(){}])",
    re.MULTILINE,
)
LINE = re.compile(r"\n")


class CSource(Nested):
    """C. Pieces begin on the outermost level, at the beginning of a line."""

    aspects = ("braces", "quotes", "comments")

    def read(self, text: str, known: tuple[str, ...] = ()) -> Reading:
        found, at = Reading(open=[]), 0
        while True:
            token = TOKEN.search(text, at)
            end = token.start() if token else len(text)
            if not found.open:
                found.places += [Place(line.end()) for line in LINE.finditer(text, at, end)]
            if token is None:
                return found
            at = token.end()
            if token["comment"]:
                end = text.find("*/", at)
                if end < 0:
                    found.begin("*/", "comments", token.start())
                    return found
                found.found += 1
                at = end + 2
            elif token["stray"]:
                found.faults.add("comments")
            elif token["quote"]:
                found.faults.add("quotes")
                end = text.find("\n", at)
                at = len(text) if end < 0 else end
            elif token["quoted"]:
                found.found += 1
            elif token["bracket"]:
                _bracket(text, token["bracket"], token.start(), found)


def _bracket(text: str, bracket: str, at: int, found: Reading) -> None:
    if bracket in CLOSING:
        found.begin(CLOSING[bracket], "braces", at)
        return
    if bracket == "}" and (at == 0 or text[at - 1] == "\n"):
        # subtle: the end of a function. What was opened in an indented line, as by both branches of an #ifdef, is
        # not open any more, or nothing after it would be read rightly
        indented = [depth for depth, opening in enumerate(found.open) if _is_indented(text, opening.at)]
        if indented:
            found.drop(indented[0])
    found.close(bracket, "braces")


def _is_indented(text: str, at: int) -> bool:
    return text[text.rfind("\n", 0, at) + 1] in " \t"
