"""Texts side by side: the bits that each takes under a model, alone or line by line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from charlm.config import CorpusConfig
from charlm.corpora import Corpus, open_corpus
from charlm.errors import CorpusError, TokenizerError
from charlm.evaluation.evaluate import evaluate
from charlm.evaluation.predictions import Ids
from charlm.evaluation.protocols import StreamProtocol
from charlm.evaluation.score import Score
from charlm.evaluation.scoring_engine import ROWS_AT_ONCE, ScoringEngine
from charlm.evaluation.tally import score_of_total
from charlm.evaluation.unknown import drops, words_of_dropped
from charlm.runs.data import refuse_bytes
from charlm.runtime import select
from charlm.tokenizers import Tokenizer

# Lines that are sorted by length before they are scored: rows of one length waste nothing.
SORTED_TOGETHER = 4096
STEPS = 512
"""Symbols of each line in one call."""
ORDERS: dict[str, Callable[[float], float]] = {
    "likely": lambda bits: bits,
    "unlikely": lambda bits: -bits,
    "given": lambda bits: 0.0,
}
"""What a ranking can be sorted by: bits per character, fewest or most first, or the order of the texts."""


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A text and its score.

    Attributes:
        name: of the file.
        line: its number in the file from 1; None for a whole file.
        text: of the line, without its end; empty for a file.
    """

    name: str
    score: Score
    line: int | None = None
    text: str = ""

    @property
    def bits_per_character(self) -> float:
        """What it is ranked by; only texts with a prediction are."""
        return self.score.bits_per_character or 0.0


def sort_ranked(found: Iterable[Ranked], order: str = "likely", top: int | None = None) -> list[Ranked]:
    """The first `top` in an order of `ORDERS`; equal ones stay as they came.

    Those whose figure is no number, for the model's state exploded, are the last.
    """

    def place(one: Ranked) -> tuple[bool, float]:
        bits = ORDERS[order](one.bits_per_character)
        return math.isnan(bits), bits

    return sorted(found, key=place)[:top]


def score_files(
    model: Any,
    tokenizer: Tokenizer,
    corpora: Iterable[CorpusConfig],
    notice: Callable[[str], None],
    unknown: str | None = None,
) -> Iterator[Ranked]:
    """Each text from the model's empty state; its first symbol is only read, as by `charlm eval`.

    What cannot be read, or has nothing to predict, is left out, and `notice` told.

    Args:
        unknown: what to do with characters outside the vocabulary; None for what the run does.
    """
    for corpus in corpora:
        name = corpus.corpus[0]
        try:
            text = _opened(corpus, tokenizer, notice)
            dropped = _Dropped(tokenizer, unknown)
            ids = np.concatenate(list(tokenizer.encode_chunks(map(dropped.read, text.chunks("all")), unknown)))
        except TokenizerError as error:
            notice(f"left out: {name!r}: {error}")
            continue
        except CorpusError as error:
            notice(f"left out: {error}")
            continue
        dropped.kept(ids)
        score = evaluate(model, tokenizer, ids, split="all").score
        if score.characters:
            dropped.tell(name, notice)
            yield Ranked(name=name, score=score)
        else:
            notice(f"left out: {name!r} has no character to predict")


def score_lines(
    model: Any,
    tokenizer: Tokenizer,
    corpora: Iterable[CorpusConfig],
    notice: Callable[[str], None],
    unknown: str | None = None,
) -> Iterator[Ranked]:
    """Each line by itself, every character of it predicted, as if an empty line stood before; no blank ones.

    `unknown`: as of `score_files`.
    """
    held: list[tuple[str, int, str, Ids]] = []
    before = tokenizer.line_end
    for corpus in corpora:
        name, dropped = corpus.corpus[0], _Dropped(tokenizer, unknown)
        try:
            text = _opened(corpus, tokenizer, notice)
            for number, line in _lines(text.chunks("all")):
                try:
                    ids = tokenizer.encode(line, unknown)
                except TokenizerError as error:
                    notice(f"left out: line {number} of {name!r}: {error}")
                    continue
                dropped.read(line)
                dropped.kept(ids)
                held.append((name, number, line, np.concatenate([before, ids])))
                if len(held) == SORTED_TOGETHER:
                    yield from _scored(model, tokenizer, held)
                    held = []
        except CorpusError as error:
            notice(f"left out: {error}")
        dropped.tell(name, notice)
    yield from _scored(model, tokenizer, held)


class _Dropped:
    """Counts the characters of a text that comes in pieces."""

    def __init__(self, tokenizer: Tokenizer, unknown: str | None) -> None:
        self._tokenizer = tokenizer
        self._drops = drops(tokenizer, unknown)
        self._read = self._kept = 0

    def read(self, text: str) -> str:
        """A piece of the text, which is returned."""
        self._read += len(text)
        return text

    def kept(self, ids: Ids) -> None:
        """What was made of it."""
        self._kept += int(self._tokenizer.characters_per_id[ids].sum(dtype=np.int64))

    def tell(self, name: str, notice: Callable[[str], None]) -> None:
        """Say how many there are, if any."""
        if self._drops and (said := words_of_dropped(self._read, self._kept)):
            notice(f"{name!r}: {said}")


def _opened(corpus: CorpusConfig, tokenizer: Tokenizer, notice: Callable[[str], None]) -> Corpus:
    """A text, and what there is to say of how it is read."""
    refuse_bytes(corpus, tokenizer)
    text = open_corpus(corpus)
    for one in text.notices:
        notice(one)
    return text


def _scored(model: Any, tokenizer: Tokenizer, held: list[tuple[str, int, str, Ids]]) -> Iterator[Ranked]:
    totals = _totals(model, [ids for *_, ids in held])
    for (name, number, line, ids), nats in zip(held, totals, strict=True):
        score = score_of_total(nats, ids, tokenizer)
        if score.characters:
            yield Ranked(name=name, line=number, text=line, score=score)


def _totals(model: Any, texts: list[Ids]) -> list[float]:
    """The loss of each text in nats, from an empty state, its first symbol only read."""
    if not isinstance(model, ScoringEngine):  # torch, or no Numba
        return [sum(piece.total_nats for piece in StreamProtocol().pieces(model, ids)) for ids in texts]
    totals = np.zeros(len(texts))
    order = np.argsort([len(ids) for ids in texts], kind="stable")
    for first in range(0, len(order), ROWS_AT_ONCE):
        rows = order[first : first + ROWS_AT_ONCE]
        lengths = np.array([len(texts[row]) for row in rows])
        ids = np.zeros((len(rows), int(lengths.max())), dtype=np.int64)
        for place, row in enumerate(rows):
            ids[place, : lengths[place]] = texts[row]
        state = model.initial_state(len(rows))
        for start in range(0, ids.shape[1] - 1, STEPS):
            # the lengths ascend: lines that have ended come first
            over = int(np.searchsorted(lengths, start + 1, side="right"))
            if over:
                rows, lengths, ids = rows[over:], lengths[over:], ids[over:]
                state = select(state, range(over, over + len(rows)))
            weighed, state = model.score(ids[:, start : start + STEPS + 1], state)
            inside = start + 1 + np.arange(weighed.nats.shape[1]) < lengths[:, None]
            totals[rows] += np.where(inside, weighed.nats, 0.0).sum(axis=1)
    return list(map(float, totals))


def _lines(chunks: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without their ends, and their numbers from 1. A chunk may end within a line."""
    number, rest = 1, ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        for line in lines:
            if line.strip():
                yield number, line.removesuffix("\r")
            number += 1
    if rest.strip():
        yield number, rest.removesuffix("\r")
