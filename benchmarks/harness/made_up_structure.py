"""Made-up texts that have the structure of C, of LaTeX and of plays, always the same ones."""

from __future__ import annotations

import random
from collections.abc import Callable

WORDS = ["alpha", "beta", "gamma", "delta", "lamp", "river", "stone", "cloud", "window", "garden", "letter", "answer"]
PEOPLE = ("ANNA", "BORIS", "First Lord", "CLARA")


def _sentence(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=6)) + "."


def _function(chance: random.Random) -> str:
    one, other = chance.sample(WORDS, 2)
    return (
        f"/* {_sentence(chance)} */\nstatic int {one}(char *{other}) {{\n"
        f'    if ({other}[0] == \'"\') {{ // {one}\n        return puts("{_sentence(chance)}");\n    }}\n'
        f"    return {chance.randrange(100)};\n}}\n\n"
    )


def _section(chance: random.Random) -> str:
    word = chance.choice(WORDS)
    items = "".join(f"\\item {_sentence(chance)}\n" for _ in range(2))
    return (
        f"\\section{{{word}}}\n\n{_sentence(chance)} As ${word[0]}_1 = 3$, 5\\% % more\n\n"
        f"\\begin{{itemize}}\n{items}\\end{{itemize}}\n\n\\[ x^{chance.randrange(9)} \\]\n\n"
    )


def _speech(chance: random.Random) -> str:
    return f"{chance.choice(PEOPLE)}:\n{_sentence(chance)}\n{_sentence(chance)}\n\n"


def _text_of(part: Callable[[random.Random], str]) -> Callable[[int], str]:
    def text(characters: int) -> str:
        """So many characters, in whole parts but for the last."""
        chance, parts, length = random.Random(1), [], 0
        while length < characters:
            parts.append(part(chance))
            length += len(parts[-1])
        return "".join(parts)[:characters]

    return text


MADE_UP = {"c": _text_of(_function), "latex": _text_of(_section), "plays": _text_of(_speech)}
