"""The character vocabulary: its order, its counts, its policies for what it does not hold."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from charlm.config import TokenizerConfig
from charlm.errors import ConfigError, TokenizerError
from charlm.tokenizers import CharTokenizer, train_tokenizer


def test_by_hand() -> None:
    tokenizer = train_tokenizer(TokenizerConfig(), ["banana", "é\n"])
    assert tokenizer.characters == "\nabné"
    assert tokenizer.vocab_size == 5 + 256
    # U+20AC is E2 82 AC in UTF-8: byte ids start at 5
    assert tokenizer.encode("né€b").tolist() == [3, 4, 5 + 0xE2, 5 + 0x82, 5 + 0xAC, 2]
    assert tokenizer.pieces([3, 4, 5 + 0xE2, 5 + 0x41]) == ["n", "é", "<0xE2>", "A"]
    assert tokenizer.characters_per_id[[4, 5 + 0xE2, 5 + 0x82, 5 + 0x41]].tolist() == [1, 1, 0, 1]
    assert tokenizer.bytes_per_id[[4, 5 + 0xE2, 5 + 0x82, 5 + 0x41]].tolist() == [2, 1, 1, 1]


def test_the_vocabulary_depends_on_the_text_alone() -> None:
    text = "zebra äöü 漢字 👩 " * 3
    whole = train_tokenizer(TokenizerConfig(), [text])
    pieces = train_tokenizer(TokenizerConfig(), reversed(text))
    assert whole.fingerprint == pieces.fingerprint
    assert whole.fingerprint != train_tokenizer(TokenizerConfig(), [text + "!"]).fingerprint
    assert whole.fingerprint != train_tokenizer(TokenizerConfig(unknown="drop"), [text]).fingerprint


@pytest.mark.parametrize("unknown", ["bytes", "drop", "error"])
def test_surrogates_are_never_members(unknown: str) -> None:
    tokenizer = train_tokenizer(TokenizerConfig(unknown=unknown), ["a\udcff\ud800b"])
    assert tokenizer.characters == "ab"


def test_min_count_writes_rare_characters_as_bytes() -> None:
    tokenizer = train_tokenizer(TokenizerConfig(min_count=2), ["aab", "cbb漢漢"])
    assert tokenizer.characters == "ab漢"
    assert tokenizer.decode(tokenizer.encode("abc")) == "abc"


@pytest.mark.parametrize("unknown", ["drop", "error"])
def test_without_byte_ids(unknown: str) -> None:
    tokenizer = train_tokenizer(TokenizerConfig(unknown=unknown), ["abc"])
    assert tokenizer.vocab_size == 3
    with pytest.raises(ConfigError, match="made without byte ids; use drop or error"):
        tokenizer.encode("d", "bytes")
    with pytest.raises(ConfigError, match="min_count 9 leaves no character: the most frequent occurs 2 times"):
        train_tokenizer(TokenizerConfig(unknown=unknown, min_count=9), ["aab"])


@pytest.mark.parametrize("text", ["cab→a", "x" * 3 + "→", "a" * 70_000 + "b→"])
def test_error_names_character_and_position(text: str) -> None:
    tokenizer = CharTokenizer("abcx", "error")
    with pytest.raises(TokenizerError, match=rf"character '→' \(U\+2192\) at position {text.index('→')} is not in"):
        tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(text, "drop")) == text.replace("→", "")


@pytest.mark.parametrize("unknown", ["bytes", "drop", "error"])
def test_error_suggests_only_what_this_vocabulary_can_do(unknown: str) -> None:
    tokenizer = CharTokenizer("abc", unknown)
    with pytest.raises(TokenizerError) as caught:
        tokenizer.encode("ad", "error")
    told = str(caught.value)
    assert tokenizer.encode("ad", "drop").tolist() == [0]
    assert told.endswith(", --unknown drop leaves it out")
    if unknown == "bytes":
        assert "; --unknown bytes writes it as bytes" in told
    else:
        assert "; a run trained with --unknown bytes can write it" in told


def test_a_control_character_is_named_without_being_written() -> None:
    with pytest.raises(TokenizerError, match=r"character '\\x1b' \(U\+001B\) at position 1"):
        CharTokenizer("ab", "error").encode("a\x1b")


def test_drop_may_leave_nothing() -> None:
    ids = CharTokenizer("ab", "drop").encode("xyz")
    assert len(ids) == 0
    assert ids.dtype == np.uint8


@pytest.mark.parametrize(("members", "dtype"), [(256, "u1"), (257, "u2"), (65_536, "u2"), (70_000, "u4")])
def test_the_largest_ids_of_each_type(members: int, dtype: str) -> None:
    text = "".join(chr(code) for code in range(0x3000 + members) if not 0xD800 <= code < 0xE000)[-members:]
    tokenizer = CharTokenizer(text, "error")
    ids = tokenizer.encode(text)
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(members))
    assert tokenizer.decode(ids) == text


def test_ascii_beside_an_unknown_ascii_character() -> None:
    tokenizer = CharTokenizer("".join(map(chr, range(100))))
    text = "".join(map(chr, range(128)))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode(text)[100:].tolist() == [100 + byte for byte in range(100, 128)]


def test_memory_is_flat_while_counting() -> None:
    chunk = "The quick brown fox, größer. " * 40_000
    tracemalloc.start()
    try:
        train_tokenizer(TokenizerConfig(), (chunk for _ in range(20)))
        assert tracemalloc.get_traced_memory()[1] < 32e6  # 23 million characters passed through
    finally:
        tracemalloc.stop()
