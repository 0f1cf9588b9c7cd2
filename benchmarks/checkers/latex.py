"""LaTeX: environments that nest, and mathematics that ends in its paragraph."""

from __future__ import annotations

import re

from checkers.piece import OUTSIDE, Nested, Opening, Place, Reading

# What these hold is no LaTeX.
VERBATIM = {"verbatim", "verbatim*", "Verbatim", "lstlisting", "minted", "comment"}
TOKEN = re.compile(
    r"%.*"
    r"|\\(?P<which>begin|end)[ \t]*\{(?P<name>[^{}\n]*)\}"
    r"|\\verb\*?(?P<bar>[^\sA-Za-z*])(?:(?!(?P=bar)).)*(?P=bar)"
    r"|(?P<display>\\[][()])|\\[\s\S]"
    r"|(?P<dollar>\$\$?)"
    r"|(?P<blank>\n[ \t]*(?=\n))"
)
MATHS = {"\\(": "\\)", "\\[": "\\]"}


class Latex(Nested):
    """LaTeX. Pieces begin after an empty line, in whatever environments are open there."""

    aspects = ("environments", "mathematics")

    def read(self, text: str, known: tuple[str, ...] = ()) -> Reading:
        found, at = Reading(open=[Opening(name, "environments", OUTSIDE) for name in known]), 0
        while token := TOKEN.search(text, at):
            at = token.end()
            if token["which"] == "begin":
                at = _begin(text, token["name"], token.start(), at, found)
            elif token["which"] == "end":
                found.close(token["name"], "environments")
            elif token["display"] in MATHS:
                found.begin(MATHS[token["display"]], "mathematics", token.start())
            elif token["display"]:
                found.close(token["display"], "mathematics")
            elif token["dollar"]:
                _dollar(token["dollar"], token.start(), found)
            elif token["blank"] is not None:
                maths = [depth for depth, opening in enumerate(found.open) if opening.aspect == "mathematics"]
                if maths:
                    found.drop(maths[0])
                found.places.append(Place(at + 1, tuple(opening.closing for opening in found.open)))
        return found


def _begin(text: str, name: str, start: int, at: int, found: Reading) -> int:
    """An environment begins; returns from where on to read."""
    # a document ends where its file does, far from any piece
    found.begin(name, "environments", OUTSIDE if name == "document" else start)
    if name not in VERBATIM:
        return at
    end = text.find(f"\\end{{{name}}}", at)
    return len(text) if end < 0 else end


def _dollar(dollar: str, at: int, found: Reading) -> None:
    innermost = found.open[-1].closing if found.open else ""
    if innermost == "$" and dollar == "$$":  # the end of one formula and the beginning of the next
        found.open.pop()
        found.begin("$", "mathematics", at + 1)
    elif innermost == dollar:
        found.open.pop()
    else:
        found.begin(dollar, "mathematics", at)
