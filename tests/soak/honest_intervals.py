"""Intervals and baselines, held against texts whose true figure is known, and against the same thing done plainly.

A source with hidden topics writes the texts: how likely each character is follows from the topic, which stays for a
while. A model that knows nothing of topics then has a loss whose expectation can be computed.
"""

from __future__ import annotations

import lzma
import math
import random
import sys
from collections.abc import Mapping
from typing import Any

import counting
import numpy as np
import numpy.typing as npt
from counting import Asked, Count
from sizes import rare, sentences

from charlm.config import TokenizerConfig
from charlm.evaluation import baseline_scores, evaluate
from charlm.evaluation.baselines import XZ_DICTIONARY
from charlm.evaluation.compare import compare_losses
from charlm.evaluation.ngram import NGramModel
from charlm.evaluation.scoring_engine import ScoringEngine
from charlm.runtime.state import Weighed
from charlm.tokenizers import train_tokenizer

Numbers = npt.NDArray[np.float64]

LETTERS = "abcdefghij"
TOPICS = 4
# Characters for which a topic stays on average, and predictions of a text.
STAYS = (1, 20, 100)
LENGTHS = (3_000, 10_000, 30_000, 100_000)
LEAST, MOST = 0.92, 0.98


class Source:
    """Texts of hidden topics: what they are in the long run can be computed."""

    def __init__(self, seed: int, stays: float) -> None:
        draws = np.random.default_rng(seed)
        self.p = draws.dirichlet(np.ones(len(LETTERS)), TOPICS)  # (topics, V)
        self.leaves = 1 / stays

    def write(self, characters: int, seed: int) -> npt.NDArray[np.int64]:
        """Ids (N,)."""
        draws = np.random.default_rng(seed)
        fresh = draws.random(characters) < self.leaves
        fresh[0] = True
        topic = draws.integers(TOPICS, size=int(fresh.sum()))[np.cumsum(fresh) - 1]
        ends = self.p.cumsum(axis=1)
        found: npt.NDArray[np.int64] = (draws.random(characters)[:, None] > ends[topic]).sum(axis=1)
        return np.minimum(found, len(LETTERS) - 1)

    def expected(self, q: Numbers) -> float:
        """Nats per character of a model that gives each letter the probability q (V,), whatever came before."""
        return float(-(self.p.mean(axis=0) * np.log(q)).sum())


class Fixed(ScoringEngine):
    """Gives every symbol the same probability wherever it stands."""

    def __init__(self, q: Numbers, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self._nats = -np.log(q)

    def initial_state(self, n: int, /) -> Any:
        return ((np.zeros((n, 1)),),)

    def score(self, ids: npt.NDArray[Any], state: Any, /) -> tuple[Weighed, Any]:
        nats = self._nats[ids[:, 1:]]
        return Weighed(nats, nats < 0), state


def coverage(asked: Asked) -> Count:
    """How often the interval of an evaluation holds the true figure."""
    count = Count(
        what="texts scored with an interval, by length and by how long a topic stays",
        promise=f"the 95 % interval holds the true figure in {100 * LEAST:.0f} to {100 * MOST:.0f} % of them",
    )
    tokenizer, texts = train_tokenizer(TokenizerConfig(unknown="error"), [LETTERS]), asked.of(1500, 40)
    draws = np.random.default_rng(asked.seed)
    for stays in STAYS[: asked.of(len(STAYS), 1)]:
        for length in LENGTHS[: asked.of(len(LENGTHS), 1)]:
            source, q = Source(asked.seed, stays), draws.dirichlet(3 * np.ones(len(LETTERS)))
            held = 0
            for number in range(texts):
                found = evaluate(Fixed(q, len(LETTERS)), tokenizer, source.write(length + 1, number), split="all")
                assert found.interval is not None
                held += found.interval[0] <= source.expected(q) <= found.interval[1]
            settle(count, f"{length:,} characters, topics of {stays}", held / texts, texts)
    return count


def settle(count: Count, name: str, share: float, texts: int) -> None:
    """Note a coverage, and hold it against what it may be, with what chance does to so many texts."""
    with count.attempt(name):
        count.notes[name] = f"{100 * share:.1f} %"
        chance = 2.6 * math.sqrt(0.05 * 0.95 / texts) if texts < 1000 else 0.0
        assert LEAST - chance <= share <= MOST + chance, f"{100 * share:.1f} %"
    count.tried += texts - 1


def compared(asked: Asked) -> Count:
    """How often the interval of a comparison holds the true difference of two models."""
    count = Count(
        what="texts on which two models were compared, by how long a topic stays",
        promise=f"the 95 % interval holds the true difference in {100 * LEAST:.0f} to {100 * MOST:.0f} % of them",
    )
    texts, length = asked.of(1500, 40), 30_000
    draws = np.random.default_rng(asked.seed + 1)
    for stays in STAYS[: asked.of(len(STAYS), 1)]:
        source = Source(asked.seed + 1, stays)
        one, other = draws.dirichlet(3 * np.ones(len(LETTERS)), 2)
        truth = (source.expected(other) - source.expected(one)) / math.log(2)
        held = 0
        for number in range(texts):
            ids = source.write(length, number)
            text = "".join(map(LETTERS.__getitem__, ids.tolist()))
            pair = [np.where(np.arange(length) == 0, np.nan, -np.log(q)[ids]) for q in (one, other)]
            found = compare_losses(
                text, pair[0], pair[1], runs=("a", "b"), checkpoints=("s", "s"), name="t", split="all"
            )
            assert found.interval is not None
            held += found.interval[0] <= truth <= found.interval[1]
        settle(count, f"topics of {stays}", held / texts, texts)
    return count


def ngram(asked: Asked) -> Count:
    """The n-gram baseline against its formula, symbol by symbol, with the counts taken by looking through the text."""
    count = Count(what="texts under n-grams", promise="the losses of the formula computed plainly, to 1e-9")
    draws = random.Random(asked.seed + 2)
    for number in range(asked.of(1000, 6)):
        V, order = draws.randint(2, 9), draws.randint(1, 6)
        weights = [draws.random() ** 3 for _ in range(V - 1)]
        train, held = (draws.choices(range(V - 1), weights, k=draws.randint(1, 150)) for _ in range(2))
        held += [V - 1, *train[:8]]  # with a symbol that was never seen, and what was
        with count.attempt(f"{number}: {train} {held} {V} {order}"):
            found = NGramModel(np.array(train), V, order).nats(np.array(held))
            plain = [-math.log(p) for p in plainly(tuple(train), tuple(held), V, order)]
            np.testing.assert_allclose(found, plain, rtol=1e-9, atol=1e-12)
    return count


def plainly(train: tuple[int, ...], held: tuple[int, ...], V: int, order: int) -> list[float]:
    """p of all of `held` but the first: Chen and Goodman's equations as they read."""
    text = (-1,) * (order - 1) + train
    # for each length of a gram: how often it occurs, or how many different symbols come before it
    rows = {text[at : at + order] for at in range(len(train))}
    grams: list[Mapping[tuple[int, ...], int]] = [
        {row: sum(text[at : at + order] == row for at in range(len(train))) for row in rows}
    ]
    for _ in range(1, order):
        shorter: dict[tuple[int, ...], int] = {}
        for row in grams[0]:
            shorter[row[1:]] = shorter.get(row[1:], 0) + 1
        grams.insert(0, shorter)

    def discount(of: Mapping[tuple[int, ...], int], times: int) -> float:
        n = [max(1, sum(one == k for one in of.values())) for k in range(1, 5)]
        k = min(times, 3)
        return min(max(k - (k + 1) * n[0] / (n[0] + 2 * n[1]) * n[k] / n[k - 1], 0.1), k)

    def p(history: tuple[int, ...], w: int) -> float:
        of = grams[len(history)]
        after = {row[-1]: times for row, times in of.items() if row[:-1] == history}
        if not history:
            return (after.get(w, 0) + len(after) / V) / (sum(after.values()) + len(after))
        if not after:
            return p(history[1:], w)
        taken = {symbol: discount(of, times) for symbol, times in after.items()}
        own = after[w] - taken[w] if w in after else 0.0
        return (own + sum(taken.values()) * p(history[1:], w)) / sum(after.values())

    def longest(at: int) -> float:
        history = held[max(0, at - order + 1) : at]
        return p(history, held[at])

    return [longest(at) for at in range(1, len(held))]


def xz(asked: Asked) -> Count:
    """The figure of xz against the sizes of two files, and the two simplest baselines against counts."""
    count = Count(
        what="texts under xz, unigram and uniform", promise="what two xz files differ by, and what counts say"
    )
    draws = random.Random(asked.seed + 3)
    for number in range(asked.of(300, 3)):
        make = draws.choice([sentences, rare])
        train, held = make(draws.randint(2, asked.of(60_000, 3000)), number), make(draws.randint(2, 5000), number + 1)
        kind = draws.choice(["char", "byte"])
        tokenizer = train_tokenizer(TokenizerConfig(tokenizer=kind), [train])
        ids, learnt = tokenizer.encode(held), tokenizer.encode(train)
        with count.attempt(f"{number} {kind} {len(train)} and {len(held)} characters"):
            found = {name: score.total_nats for name, score in baseline_scores(learnt, ids, tokenizer).items()}
            first = len(tokenizer.decode_bytes(ids[:1]))
            whole = train.encode()[-XZ_DICTIONARY:] + held.encode()
            tail = whole[: len(whole) - len(held.encode()) + first]
            grown = len(lzma.compress(whole, preset=6)) - len(lzma.compress(tail, preset=6))
            assert math.isclose(found["xz"], grown * 8 * math.log(2))
            seen = {symbol: learnt.tolist().count(symbol) for symbol in set(learnt.tolist())}
            S, n, V = len(seen), len(learnt), tokenizer.vocab_size
            new = S / (n + S) / (V - S) if S < V else 0.0
            share = n / (n + S) if S < V else 1.0
            unigram = -sum(math.log(seen[x] / n * share if x in seen else new) for x in ids[1:].tolist())
            uniform = -sum(math.log(share / S if x in seen else new) for x in ids[1:].tolist())
            assert math.isclose(found["unigram"], unigram, rel_tol=1e-9), (found["unigram"], unigram)
            assert math.isclose(found["uniform"], uniform, rel_tol=1e-9), (found["uniform"], uniform)
    return count


PARTS = {"coverage": coverage, "compared": compared, "ngram": ngram, "xz": xz}

if __name__ == "__main__":
    sys.exit(counting.main("honest_intervals", PARTS, __doc__))
