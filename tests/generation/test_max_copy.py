"""No more than N characters in a row out of the training text, whatever spells them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import SamplingConfig, TokenizerConfig
from charlm.errors import ConfigError
from charlm.generation import generate, max_copy, quotes
from charlm.generation.quotes import Quotes, hash_of
from charlm.tokenizers import ByteTokenizer, CharTokenizer, train_tokenizer

LEARNT = "".join(random.Random(3).choices(["the cat ", "sat on ", "the mat, ", "где кот? ", "и 😀 там.\n"], k=300))
TOKENIZERS = {
    "char": CharTokenizer("".join(sorted(set(LEARNT)))),
    "byte": ByteTokenizer(),
    "bpe": train_tokenizer(TokenizerConfig(tokenizer="bpe:300"), [LEARNT]),
}
TEXTS = st.text(st.sampled_from("abé😀\udc80\0"), max_size=40)


@given(TEXTS, TEXTS, st.integers(1, 8))
def test_runs_are_found_as_a_search_finds_them(text, other, length):
    known = Quotes(text, length)
    wanted = [(text + other)[at : at + length] for at in range(len(text + other) - length + 1)]
    found = known.contain(np.array([hash_of(run) for run in wanted], dtype=np.uint64), wanted.__getitem__)
    assert found.tolist() == [run in text for run in wanted]


def test_long_texts_are_hashed_in_pieces(monkeypatch):
    monkeypatch.setattr(quotes, "PIECE", 7)
    text = "".join(random.Random(1).choices("ab", k=100))
    wanted = [text[at : at + 9] for at in range(92)]
    hashes = np.array([hash_of(run) for run in wanted], dtype=np.uint64)
    assert Quotes(text, 9).contain(hashes, wanted.__getitem__).all()


def test_runs_of_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(quotes, "hashes_of", lambda text, length: np.zeros(len(text) - length + 1, dtype=np.uint64))
    runs = ["bc", "cb", "ca", "ab"]
    found = Quotes("abca", 2).contain(np.zeros(4, dtype=np.uint64), runs.__getitem__)
    assert found.tolist() == [True, False, True, True]


def written(model, tokenizer, learnt=LEARNT, seed=1, **settings):
    """Prompt and text of a generation."""
    pieces = generate(model, tokenizer, SamplingConfig(**settings), seed, training_text=learnt)
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize("N", [1, 3, 12])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_model_that_knows_its_text_by_heart_quotes_so_much_and_no_more(script, name, N):
    tokenizer = TOKENIZERS[name]
    model = script(tokenizer.encode(LEARNT), tokenizer.vocab_size)
    assert written(model, tokenizer, length=100) == LEARNT[:100]
    text = written(model, tokenizer, length=100, max_copy=N)
    assert not any(text[at : at + N + 1] in LEARNT for at in range(100 - N))
    if name != "bpe":  # its pieces have several characters
        # the newline that a text without a prompt follows counts as a prompt would
        assert text[: N - 1] == LEARNT[: N - 1]
        assert written(model, tokenizer, length=100, max_copy=500) == LEARNT[:100]


def test_another_spelling_is_a_copy_as_well(script):
    # in bytes, which the char vocabulary has beside its characters
    tokenizer = TOKENIZERS["char"]
    ids = [len(tokenizer.characters) + byte for byte in LEARNT.encode()]
    text = written(script(ids, tokenizer.vocab_size), tokenizer, length=60, max_copy=8)
    assert text[:7] == LEARNT[:7]
    assert not any(text[at : at + 9] in LEARNT for at in range(52))


def test_the_prompt_counts(script):
    tokenizer = TOKENIZERS["char"]
    model = script(tokenizer.encode(LEARNT[10:]), tokenizer.vocab_size)
    for given_, free in ((10, 0), (6, 0), (5, 1)):
        text = written(model, tokenizer, prompt=LEARNT[10 - given_ : 10], length=3, max_copy=6)
        assert (text[given_:][:free], text[given_ + free] == LEARNT[10 + free]) == (LEARNT[10 : 10 + free], False)


def test_where_nothing_else_is_left_the_copy_goes_on(chain, letters):
    assert written(chain([[0.0]]), letters(1), "aaaa", length=5, max_copy=2) == "aaaaa"
    # b alone may follow a
    model = chain([[-np.inf, 0.0], [0.0, 0.0]])
    assert written(model, letters(2), "abab", prompt="a", length=1, max_copy=1) == "ab"


def test_the_best_of_what_is_left_is_taken_by_what_follows(chain, letters):
    model = chain(np.tile([3.0, 2.0, 1.0], (3, 1)))
    assert written(model, letters(3), "aab", prompt="a", length=4, max_copy=1, greedy=True) == "acaca"


def test_a_text_is_read_once_for_all_samples(lstm, write, monkeypatch):
    made = []
    monkeypatch.setattr(max_copy, "Quotes", lambda *given: made.append(given) or Quotes(*given))
    write(*lstm, samples=5, batch_size=2, length=10, max_copy=3)
    assert len(made) == 1


def test_no_more_than_some_unfinished_characters_are_remembered(lstm, monkeypatch):
    monkeypatch.setattr(max_copy, "MOST_PENDING", 3)
    tokenizer = ByteTokenizer()
    filter_ = max_copy.MaxCopy(2, max_copy.Learnt(tokenizer, LEARNT))
    for lead in range(0xC2, 0xE0):
        assert (filter_(np.zeros(256), [lead]) == 0).all()
        assert len(filter_._ways) <= 3


def test_without_the_text_it_says_so(lstm):
    model, tokenizer = lstm
    with pytest.raises(ConfigError, match="max_copy needs the text that the model was trained on"):
        generate(model, tokenizer, SamplingConfig(max_copy=5), 1)
