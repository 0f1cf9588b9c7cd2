"""Speed of encoding, of writing the token store and of reading windows from it, on one core.

    python benchmarks/encoding.py            about a minute
    python benchmarks/encoding.py --quick    a few seconds

The opponent is what a character RNN's users write themselves: `[table[c] for c in text]`. It runs in turn
with the others, in the same process, and its ids are compared with charlm's first. The text is made up of
seeded random words; `mixed` has every tenth word in Cyrillic. MB are 10^6 bytes of UTF-8.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from charlm.config import TokenizerConfig
from charlm.streams import Lanes, open_store, write_store
from charlm.tokenizers import Tokenizer, train_tokenizer

CHUNK = 1 << 22


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


def dict_loop(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """Ids of a text without unknown characters, one dictionary look-up a character."""
    table = {character: index for index, character in enumerate(sorted(set(text)))}
    return np.array([table[character] for character in text], dtype=tokenizer.dtype)


def store(tokenizer: Tokenizer, text: str, folder: Path) -> None:
    """Encode piece by piece into a token store, checksums and fsync included."""
    pieces = (tokenizer.encode(text[at : at + CHUNK]) for at in range(0, len(text), CHUNK))
    write_store(folder, "benchmark", vocab_size=tokenizer.vocab_size, parts={"train": pieces}, facts={})


def measure(cases: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each case, `repeats` times, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def report(kind: str, text: str, repeats: int, folder: Path, subwords: bool) -> None:
    """Measure one text and print a line for each case."""
    char = train_tokenizer(TokenizerConfig(), [text])
    assert np.array_equal(dict_loop(char, text), char.encode(text)), "the two sides do not compute the same"
    cases: dict[str, Callable[[], object]] = {
        "dict loop": lambda: dict_loop(char, text),
        "char: count the vocabulary": lambda: train_tokenizer(TokenizerConfig(), [text]),
        "char: encode": lambda: char.encode(text),
        "char: encode and store": lambda: store(char, text, folder),
        "store: open and check": lambda: open_store(folder, "benchmark"),
    }
    store(char, text, folder)
    for spec in ("byte", "bpe:1000", "unigram:1000") if subwords else ("byte",):
        tokenizer = train_tokenizer(TokenizerConfig(tokenizer=spec), [text])
        cases[f"{spec}: encode"] = partial(tokenizer.encode, text)
    size = len(text.encode()) / 1e6
    seconds = measure(cases, repeats)
    slow = statistics.median(seconds["dict loop"])
    for name, found in seconds.items():
        middle = statistics.median(found)
        spread = (max(found) - min(found)) / middle
        print(f"{kind:6} {name:28} {size / middle:9.1f} MB/s  {slow / middle:7.1f} x dict loop  (spread {spread:4.0%})")


def report_lanes(folder: Path, repeats: int) -> None:
    """Time of one window of several shapes, from the store on disk."""
    found = open_store(folder, "benchmark")
    assert found is not None
    for batch_size, window_length in ((32, 64), (64, 64), (256, 256)):
        lanes = Lanes(found.part("train"), batch_size)
        times = measure({"next": partial(lanes.next, window_length)}, 100 * repeats)["next"]
        print(f"lanes  next, B {batch_size:3}, T {window_length:3}  {statistics.median(times) * 1e6:14.1f} us a window")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller text, fewer repeats, no sub-words")
    quick = parser.parse_args().quick
    characters, repeats = (2_000_000, 3) if quick else (10_000_000, 7)
    with tempfile.TemporaryDirectory() as folder:
        for kind, share in (("ascii", 0.0), ("mixed", 0.1)):
            report(kind, make_text(characters, share), repeats, Path(folder), not quick)
        report_lanes(Path(folder), repeats)


if __name__ == "__main__":
    main()
