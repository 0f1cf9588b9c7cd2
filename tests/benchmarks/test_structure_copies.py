"""The longest copy against a search, and the 5-gram as an engine against its own probabilities."""

import numpy as np
import pytest
from harness import longest_copy
from harness.longest_copy import longest_copies
from hypothesis import given
from hypothesis import strategies as st
from opponents.ngram_engine import NGramEngine

from charlm.config import SamplingConfig
from charlm.evaluation.ngram import NGramModel
from charlm.generation import generate
from charlm.runtime import select
from charlm.tokenizers import CharTokenizer

TEXTS = st.text(st.sampled_from("abé\n\udc80"), max_size=30)


def searched(sample, text):
    runs = (sample[at:end] for at in range(len(sample)) for end in range(at + 1, len(sample) + 1))
    return max((len(run) for run in runs if run in text), default=0)


@given(st.lists(TEXTS, max_size=4), TEXTS)
def test_the_longest_copy_is_what_a_search_finds(samples, text):
    assert longest_copies(samples, text) == [searched(sample, text) for sample in samples]


def test_batches_and_pieces_change_nothing(monkeypatch):
    draws = np.random.default_rng(1)
    samples = ["".join(draws.choice(list("abc"), size=60)) for _ in range(7)]
    text = "".join(draws.choice(list("abcd"), size=3000)) + samples[3][5:45] + "d"
    expected = [searched(sample, text) for sample in samples]
    assert expected[3] >= 40
    monkeypatch.setattr(longest_copy, "AT_ONCE", 130)
    monkeypatch.setattr(longest_copy, "PIECE", 17)
    assert longest_copies(samples, text) == expected


def test_the_five_gram_writes_with_its_own_probabilities():
    tokenizer = CharTokenizer(" abcde", "drop")
    ids = np.random.default_rng(2).integers(6, size=2000) ** 2 % 6
    engine, model = NGramEngine(ids, 6), NGramModel(ids, 6)
    text = ids[:9]
    logits, state = engine.prime(text[:6], n=2)
    for at in range(6, 9):
        assert np.exp(logits[0].astype(float)).sum() == pytest.approx(1)
        assert -logits[1, text[at]] == pytest.approx(model.nats(text[: at + 1])[-1], rel=1e-5)
        logits, state = engine.step(np.repeat(text[at], 2), select(state, [1, 0]))
    (piece,) = [piece for piece in generate(engine, tokenizer, SamplingConfig(length=50), 1) if piece.ending]
    assert piece.ending.characters == 50
