"""What every tokenizer in the table promises."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlm.errors import ConfigError, TokenizerError
from charlm.tokenizers import Tokenizer

AWKWARD = [
    "",
    " ",
    "\n",
    "\r\n\r",
    "  two  spaces  at  both  ends  ",
    "\t\ttabs\t",
    "\0NUL\0",
    "form\ffeed\vand\x1b[31mescape\x07",
    "\u2581\u2581 the sign for a space \u2581",
    "\u2585 the sign for the unknown",
    "<0x41><unk><s></s><0x0A>",
    "e\u0301 \u00e9 n\u0303",
    "ﬁ ﬂ ﬃ \u2028\u2029\u00a0\u3000\ufeff",
    "👩‍👩‍👧 🇫🇷 \U0010ffff",
    "\u202eright to left\u202c",
    "漢字かな交じり文" * 50,
    "x" * 10_000,
    "\n" * 10_000,
    "a\u2581" * 5_000,
    "raw \udcff\udc80 bytes \udce2\udc96 here",
]
#: Everything, lone surrogates too, and more often what tokenizers stumble over.
HARD = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(" \n\t\r\0\u2581\u2585<0x41>ae\u0301é\udc80\udcc3\udca9\udcff\ud800\udfff👩"),
    )
)
FAST = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("text", AWKWARD, ids=lambda text: ascii(text[:20]))
def test_awkward_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode("utf-8", "surrogateescape")


def test_long_rows_of_ids_are_decoded_as_short_ones(tokenizer: Tokenizer) -> None:
    ids = np.random.default_rng(1).integers(tokenizer.vocab_size, size=150_001).astype(tokenizer.dtype)
    assert tokenizer.decode_bytes(ids) == b"".join(tokenizer.piece_bytes(index) for index in ids.tolist())


@FAST
@given(text=HARD)
def test_text_comes_back_or_the_error_names_the_place(tokenizer: Tokenizer, text: str) -> None:
    try:
        back, complaint = tokenizer.decode(tokenizer.encode(text)), ""
    except TokenizerError as error:
        back, complaint = "", str(error)
    if complaint:
        position = int(re.search(r"position (\d+)", complaint).group(1))
        assert "\ud800" <= text[position] <= "\udfff", complaint
        assert "\n" not in complaint
    else:
        assert back == text


@FAST
@given(data=st.one_of(st.binary(), st.text().map(str.encode)))
def test_any_bytes_come_back(tokenizer: Tokenizer, data: bytes) -> None:
    assert tokenizer.decode_bytes(tokenizer.encode(data.decode("utf-8", "surrogateescape"))) == data


@FAST
@given(text=st.text())
def test_totals_are_exact(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.characters_per_id[ids].sum() == len(text)
    assert tokenizer.bytes_per_id[ids].sum() == len(text.encode())


def test_raw_bytes_count_one_byte_each(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a\udcff\udce9b")
    assert tokenizer.bytes_per_id[ids].sum() == 4
    assert tokenizer.characters_per_id[ids].sum() == 4


@FAST
@given(text=st.text(), data=st.data())
def test_stream_gives_whole_characters(tokenizer: Tokenizer, text: str, data: st.DataObject) -> None:
    stream = tokenizer.stream()
    assert "".join([*map(stream.feed, tokenizer.encode(text).tolist()), stream.finish()]) == text

    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    stream = tokenizer.stream()
    streamed = "".join([*map(stream.feed, ids), stream.finish()])
    assert streamed == tokenizer.decode_bytes(ids).decode("utf-8", "replace")


def test_stream_holds_a_character_back_until_it_is_whole(trained: dict[str, Tokenizer]) -> None:
    stream = trained["byte"].stream()
    assert [stream.feed(byte) for byte in b"\xe2\x82\xacx\xe2\x82"] == ["", "", "€", "x", "", ""]
    assert stream.finish() == "\ufffd"


@FAST
@given(data=st.data())
def test_every_row_of_ids_is_some_text(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    assert tokenizer.decode(ids).encode("utf-8", "surrogateescape") == tokenizer.decode_bytes(ids)
    assert len(tokenizer.pieces(ids)) == len(ids)


@pytest.mark.parametrize("bad", [-1, 10**6, 2**40])
def test_an_id_outside_the_vocabulary_is_an_error(tokenizer: Tokenizer, bad: int) -> None:
    with pytest.raises(TokenizerError, match=f"id {bad} at position 2 is outside the vocabulary of"):
        tokenizer.decode([0, 1, bad])
    with pytest.raises(TokenizerError, match=f"id {bad} is outside the vocabulary of"):
        tokenizer.stream().feed(bad)


@pytest.mark.parametrize("bad", [[0.5], [[1, 2]], ["a"], 3])
def test_what_is_no_row_of_ids_is_an_error(tokenizer: Tokenizer, bad: object) -> None:
    with pytest.raises(TokenizerError, match="a row of whole numbers"):
        tokenizer.decode(bad)


def test_ids_have_the_smallest_type_and_can_be_written_to(tokenizer: Tokenizer) -> None:
    for text in ("", "plain", "größer"):
        ids = tokenizer.encode(text)
        assert ids.dtype == (np.uint8 if tokenizer.vocab_size <= 256 else np.uint16)
        assert ids.flags.writeable


@pytest.mark.parametrize(
    ("text", "position"),
    [("ab\ud800c", 2), ("\udfff", 0), ("é" * 70_000 + "\ud800", 70_000), ("a" * 65_535 + "\udcc3\udca9", 65_535)],
)
def test_surrogates_that_cannot_come_back_are_named(tokenizer: Tokenizer, text: str, position: int) -> None:
    with pytest.raises(TokenizerError, match=rf"U\+D[8CF][0-9A-F]+.* at position {position} "):
        tokenizer.encode(text)


def test_drop_leaves_out_what_cannot_be_written(tokenizer: Tokenizer) -> None:
    if tokenizer.family == "char":
        assert tokenizer.decode(tokenizer.encode("a漢\ud800\udcffb", "drop")) == "ab"
    else:
        assert tokenizer.decode(tokenizer.encode("a漢\ud800\udcffb", "drop")) == "a漢\udcffb"


def test_an_unknown_policy_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="unknown must be one of bytes, drop, error, was 'guess'"):
        tokenizer.encode("a", "guess")
