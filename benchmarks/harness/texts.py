"""Texts to measure on: made up, always the same ones, so that no figure hangs on a download."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from charlm.config import CorpusConfig, TokenizerConfig
from charlm.runs import Data, prepare

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# 65 different characters, as many as Tiny Shakespeare has
SYMBOLS = f"\n !$&',-.3:;?{LETTERS.upper()}{LETTERS}"
FREQUENT_FIRST = "etaoinshrdlucmfwypvbgkjqxz"
WORDS = 3000
# What stands behind a word, and how often. A full stop ends a line now and then.
BEHIND = {" ": 0.82, ", ": 0.08, ". ": 0.04, ".\n": 0.05, "; ": 0.01}


def made_up_text(characters: int, seed: int = 1) -> str:
    """English-like text of at least so many characters: words from a fixed list, frequent ones more often.

    Each word has a few favourite successors, so that there is something to learn beyond spelling. All 65
    `SYMBOLS` occur in its first line.
    """
    draws = np.random.default_rng(seed)
    chance = random.Random(seed)
    weights = 1.0 / np.arange(5, 31)
    words = ["".join(chance.choices(FREQUENT_FIRST, weights, k=chance.randint(1, 9))) for _ in range(WORDS)]
    words[::7] = [word.capitalize() for word in words[::7]]
    favourites = draws.integers(WORDS, size=(WORDS, 3))
    frequency = 1.0 / (np.arange(WORDS) + 5)
    count = characters // 5 + 1
    free = draws.choice(WORDS, size=count, p=frequency / frequency.sum())
    # two words of three are a favourite of the word before them
    chosen = np.where(draws.random(count) < 2 / 3, favourites[np.roll(free, 1), draws.integers(3, size=count)], free)
    behind = draws.choice(len(BEHIND), size=count, p=list(BEHIND.values()))
    ends = list(BEHIND)
    text = "".join([words[word] + ends[end] for word, end in zip(chosen.tolist(), behind.tolist(), strict=True)])
    assert len(text) >= characters, "words are longer than five characters with what stands behind them"
    return f"{SYMBOLS}\n{text}"[:characters]


def write_text(folder: Path, characters: int) -> Path:
    """The made-up text as a file."""
    path = folder / f"made-up-{characters}.txt"
    path.write_text(made_up_text(characters), encoding="utf-8", newline="")
    return path


def open_data(corpus: str) -> Data:
    """The ids of a text, by the way that `charlm train` takes, with a vocabulary of its characters alone."""
    return prepare(CorpusConfig(corpus=(corpus,), split="90/10"), TokenizerConfig(unknown="error"))
