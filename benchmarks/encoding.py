"""Speed of encoding, of writing the token store and of reading windows from it, on one core.

    python benchmarks/encoding.py            about a minute
    python benchmarks/encoding.py --quick    a few seconds

The opponent is what a character RNN's users write themselves: `[table[c] for c in text]`. It takes turns with
the others, and its ids are compared with charlm's first. The text is made up of seeded random words; `mixed`
has every tenth word in Cyrillic. MB are 10^6 bytes of UTF-8.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from harness.program import finish, options, show
from harness.record import Case
from harness.timing import Side, measure

from charlm.config import TokenizerConfig
from charlm.streams import Lanes, open_store, write_store
from charlm.tokenizers import Tokenizer, train_tokenizer

CHUNK = 1 << 22
TEXTS = {"ascii": 0.0, "mixed": 0.1}
WINDOWS = ((32, 64), (64, 64), (256, 256))
SUBWORDS = ("bpe:1000", "unigram:1000")


def make_text(characters: int, share_of_cyrillic: float) -> str:
    """Lines of random words, frequent ones more often, of at least so many characters."""
    chance = random.Random(1)
    alphabets = {"latin": "etaoinshrdlucmfwypvbgkjqxz", "cyrillic": "оеаинтсрвлкмдпуяыьгзбчйхжш"}
    words = {
        name: ["".join(chance.choices(a, k=chance.randint(1, 9))) for _ in range(5000)] for name, a in alphabets.items()
    }
    weights = [1 / (rank + 5) for rank in range(5000)]
    lines = []
    for _ in range(20_000):
        name = "cyrillic" if chance.random() < share_of_cyrillic else "latin"
        lines.append(" ".join(chance.choices(words[name], weights, k=8)).capitalize() + ".\n")
    once = "".join(lines)
    return once * (characters // len(once) + 1)


def dict_loop(table: Mapping[str, int], text: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Ids of a text without unknown characters, one dictionary look-up a character."""
    return np.array([table[character] for character in text], dtype=dtype)


def store(tokenizer: Tokenizer, text: str, folder: Path) -> None:
    """Encode piece by piece into a token store, checksums and fsync included."""
    pieces = (tokenizer.encode(text[at : at + CHUNK]) for at in range(0, len(text), CHUNK))
    write_store(folder, "benchmark", vocab_size=tokenizer.vocab_size, parts={"train": pieces}, facts={})


def again(function: Callable[[], object]) -> Callable[[int], None]:
    """The function so many times."""

    def run(count: int) -> None:
        for _ in range(count):
            function()

    return run


def encode(kind: str, asked: argparse.Namespace, folder: Path) -> Case:
    """One text, by every way there is."""
    text = make_text(2_000_000 if asked.quick else 10_000_000, TEXTS[kind])
    char = train_tokenizer(TokenizerConfig(), [text])
    case = Case(title=f"encoding, {kind} text", unit="MB/s", reference="dict loop")
    table = {character: index for index, character in enumerate(sorted(set(text)))}
    different = int((dict_loop(table, text, char.dtype) != char.encode(text)).sum())
    case.checks["ids that differ, char against dict loop"] = (different, 0)
    store(char, text, folder)
    ways: dict[str, Callable[[], object]] = {
        "dict loop": lambda: dict_loop(table, text, char.dtype),
        "char: count the vocabulary": lambda: train_tokenizer(TokenizerConfig(), [text]),
        "char: encode": lambda: char.encode(text),
        "char: encode and store": lambda: store(char, text, folder),
        "store: open and check": lambda: open_store(folder, "benchmark"),
    }
    for spec in ("byte", *(() if asked.quick else SUBWORDS)):
        tokenizer = train_tokenizer(TokenizerConfig(tokenizer=spec), [text])
        ways[f"{spec}: encode"] = partial(tokenizer.encode, text)
    size = len(text.encode()) / 1e6
    sides = {name: Side(again(way), size) for name, way in ways.items()}
    case.sides = measure(sides, repeats=asked.repeats, seconds=asked.seconds)
    return case


def read_windows(asked: argparse.Namespace, folder: Path) -> Case:
    """Windows of several shapes, from the store on disk."""
    found = open_store(folder, "benchmark")
    assert found is not None
    sides = {}
    for batch_size, window_length in WINDOWS:
        lanes = Lanes(found.part("train"), batch_size)
        side = Side(again(partial(lanes.next, window_length)), batch_size * window_length / 1e6)
        sides[f"windows, B {batch_size}, T {window_length}"] = side
    case = Case(title="reading windows", unit="million ids/s")
    case.sides = measure(sides, repeats=asked.repeats, seconds=asked.seconds)
    return case


def main(arguments: list[str] | None = None) -> int:
    """Measure all texts; returns the exit code."""
    asked = options(__doc__).parse_args(arguments)
    asked.repeats = asked.repeats or (3 if asked.quick else 5)
    asked.seconds = asked.seconds or (0.05 if asked.quick else 0.3)
    cases = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in TEXTS:
            cases[kind] = encode(kind, asked, folder)
            show(cases[kind])
        cases["windows"] = read_windows(asked, folder)
        show(cases["windows"])
    return finish("encoding", cases, asked, {})


if __name__ == "__main__":
    sys.exit(main())
