"""Characters that are too rare for an id: the cheapest vocabulary, and where none is left out."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import TokenizerConfig
from charlm.errors import TokenizerError
from charlm.tokenizers import load_tokenizer, train_tokenizer
from charlm.tokenizers.rare import BYTE_IDS, LEAST_SAVING, STEP_IN_IDS, least_count, least_count_of


def cost(counts: list[int], lengths: list[int], least: int) -> float:
    """Products of the whole text where rarer characters are written as bytes."""
    symbols = sum(
        count if count >= least else count + count * max(length - 1, 1)
        for count, length in zip(counts, lengths, strict=True)
    )
    return symbols * (STEP_IN_IDS + BYTE_IDS + sum(count >= least for count in counts))


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 4)), max_size=30),
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 4)), min_size=200, max_size=600),
)
def test_no_other_count_is_cheaper(frequent: list[tuple[int, int]], rare: list[tuple[int, int]]) -> None:
    counts, lengths = map(list, zip(*frequent, *rare, strict=True))
    found = least_count(np.array(counts), np.array(lengths))
    costs = {least: cost(counts, lengths, least) for least in {1, *(count + 1 for count in counts)}}
    if found == 1:
        assert min(costs.values()) >= (1 - LEAST_SAVING) * costs[1] * (1 - 1e-12)
    else:
        assert costs[found] <= min(costs.values()) * (1 + 1e-12)


def test_of_a_text_like_chinese_neither_all_nor_none_are_left_out() -> None:
    """The k-th most frequent of 3,000 characters occurs 100,000 / k times: the cheapest count is between the ends."""
    counts, lengths = [100_000 // (k + 1) for k in range(3000)], [3] * 3000
    found = least_count(np.array(counts), np.array(lengths))
    costs = {least: cost(counts, lengths, least) for least in {1, *(count + 1 for count in counts)}}
    assert min(costs) < found < max(costs)
    assert costs[found] == min(costs.values())


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, 1),
        ({"a": 1}, 1),
        ({"a": 1_000_000, "q": 1}, 1),
        ({chr(ord("0") + n): 10_000 // (n + 1) for n in range(80)}, 1),
        # a thousand ideographs that occur once in 50,000 characters, and all of them as often as any
        ({"a": 50_000, **{chr(0x4E00 + n): 1 for n in range(1000)}}, 2),
        ({chr(0x4E00 + n): 50 for n in range(1000)}, 1),
        # half a surrogate pair is no character, however many kinds there are
        ({"a": 50_000, **{chr(0xDC80 + n): 1 for n in range(100)}}, 1),
    ],
    ids=str,
)
def test_a_vocabulary_by_hand(counts: dict[str, int], expected: int) -> None:
    assert least_count_of(counts) == expected


def test_a_vocabulary_is_smaller_where_that_pays(tmp_path) -> None:
    draws = random.Random(5)
    text = "".join(draws.choices("abc \n", k=30_000)) + "".join(map(chr, range(0x4E00, 0x4E00 + 900)))
    counts = Counter(text)
    found = train_tokenizer(TokenizerConfig(), [text])
    assert found.min_count == least_count_of(counts) == 2
    assert found.vocab_size == 5 + 256
    ids = found.encode(text)
    assert found.decode(ids) == text
    assert len(ids) == 30_000 + 3 * 900
    found.save(tmp_path)
    again = load_tokenizer(tmp_path, found.fingerprint)
    assert again.min_count == 2
    # what cannot be written as bytes has an id, and so has everything where that is asked for
    for settings in ({"unknown": "error"}, {"unknown": "drop"}, {"min_count": 1}):
        every = train_tokenizer(TokenizerConfig(**settings), [text])
        assert set(counts) <= set(chain.from_iterable(every.pieces(range(every.vocab_size))))
        assert every.min_count == 1


def test_a_vocabulary_may_be_bytes_alone(tmp_path) -> None:
    """Where nothing is frequent enough nothing has an id, the end of a line neither."""
    text = "".join(chr(0x20000 + n) for n in range(20_000)) + "\n"
    found = train_tokenizer(TokenizerConfig(), [text])
    assert (found.vocab_size, found.min_count, found.unknown_in_prompts) == (256, 2, "bytes")
    found.save(tmp_path)
    ids = load_tokenizer(tmp_path).encode(text)
    assert found.decode(ids) == text
    assert ids.tolist() == list(text.encode())


def test_a_count_that_leaves_nothing_out_is_none() -> None:
    """A prompt's new character is an error then, and two such vocabularies are one."""
    twice = train_tokenizer(TokenizerConfig(min_count=2), ["aabb"])
    assert (twice.min_count, twice.unknown_in_prompts) == (1, "error")
    assert twice.fingerprint == train_tokenizer(TokenizerConfig(), ["aabb"]).fingerprint


@pytest.mark.parametrize("unknown", ["drop", "error"])
def test_a_text_of_no_character_that_can_have_an_id_is_told(unknown: str) -> None:
    with pytest.raises(TokenizerError, match=f"this text has no characters: --unknown {unknown} leaves nothing"):
        train_tokenizer(TokenizerConfig(unknown=unknown), ["\udcff"])
