"""Texts: length, stop strings, prompts, whole characters, order and memory."""

from __future__ import annotations

import tracemalloc
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import SamplingConfig, TokenizerConfig
from charlm.errors import ConfigError, RunError, TokenizerError
from charlm.generation import Ending, Piece, generate
from charlm.generation.text import Growth, Rules, cut_prompt
from charlm.tokenizers import ByteTokenizer, CharTokenizer, train_tokenizer

BYTES = ByteTokenizer()


def grown(pieces: list[bytes], rules: Rules) -> tuple[str, str | None, int]:
    """The text of pieces taken one by one until the rules end it, the reason, and how many were taken."""
    text, growth = "", Growth()
    for taken, piece in enumerate(pieces, 1):
        more, growth, reason = rules.grow(growth, piece)
        text += more
        assert growth.characters == len(text)
        if reason:
            return text, reason, taken
    return text, None, len(pieces)


def test_length_counts_characters_of_the_text_not_of_the_prompt(lstm, write):
    *others, last = write(*lstm, prompt="abc", length=7)
    assert others[0] == Piece(sample=0, text="abc", is_prompt=True)
    assert all(piece.ending is None and not piece.is_prompt for piece in others[1:])
    assert last.ending is not None
    assert (last.ending.reason, last.ending.characters) == ("length", 7)
    assert len("".join(piece.text for piece in [*others[1:], last])) == 7


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("options", [{}, {"beam": 3}], ids=str)
def test_a_length_of_none_is_the_prompt_alone(lstm, write, samples, options):
    pieces = write(*lstm, prompt="ab", length=0, samples=samples, **options)
    ending = Ending(reason="length", characters=0, tokens=0, nats=0.0)
    expected = [
        piece
        for sample in range(samples if not options else 1)
        for piece in (
            Piece(sample=sample, text="ab", is_prompt=True),
            Piece(sample=sample, text="", ending=ending),
        )
    ]
    assert pieces == expected


def test_one_sample_streams_each_character_as_it_is_made(script, write):
    model = script(b"caf\xc3\xa9 \xf0\x9f\x98\x80!", 256)
    assert [piece.text for piece in write(model, BYTES, length=7)] == ["c", "a", "f", "é", " ", "😀", "!"]


def test_bytes_that_are_no_character_become_replacement_characters(script, write, texts):
    # a lead byte without its rest, then a lone continuation
    model = script(b"a\xe2\x82b\x80c", 256)
    (text,) = texts(write(model, BYTES, length=5))
    assert text == "a\ufffdb\ufffdc"


BEGUN = [
    # prompt, what the model writes, all that is written with length 2
    (b"ab\xd0", b"\xbex\xd0", b"ab\xd0\xbex"),
    (b"\xf0\x9f", b"\x98\x80!!", b"\xf0\x9f\x98\x80!"),
    (b"a\xf0", b"\x9f\x98\x80!!", b"a\xf0\x9f\x98\x80!"),
    (b"a\xd0", b"xyz", b"a\xd0xy"),  # begun and not gone on with: the bytes are the prompt's own
    (b"a\xe2\x82", b"xyz", b"a\xe2\x82xy"),
    (b"a\xe2", b"\x82xyz", b"a\xe2\xef\xbf\xbdx"),
    (b"a\x80", b"xyz", b"a\x80xy"),
    (b"\xef\xbf", b"\xbdx", b"\xef\xbf\xbdx"),
    ("é".encode(), b"xyz", "éxy".encode()),
]


@pytest.mark.parametrize(("prompt", "written", "expected"), BEGUN, ids=ascii)
@pytest.mark.parametrize("options", [{}, {"greedy": True}, {"beam": 1}], ids=str)
def test_a_character_that_the_prompt_begins_is_completed(script, write, prompt, written, expected, options):
    """`head -c 200 play.txt | charlm generate --prompt -` may end within one."""
    given = prompt.decode("utf-8", "surrogateescape")
    model = script(written, 256)
    pieces = write(model, BYTES, prompt=given, length=2, **options)
    text = "".join(piece.text for piece in pieces)
    assert text.encode("utf-8", "surrogateescape") == expected
    assert pieces[-1].ending.characters == 2


def test_a_prompt_alone_is_all_of_it(script, write):
    pieces = write(script(b"x", 256), BYTES, prompt="a\udcd0", length=0)
    assert [piece.text for piece in pieces] == ["a\udcd0", ""]


# all bytes that a character of several begins with
BEGINNINGS = {
    chr(code).encode()[:length] for code in (*range(0x80, 0xD800), *range(0xE000, 0x110000, 64)) for length in (1, 2, 3)
} - {chr(code).encode() for code in (*range(0x80, 0xD800), *range(0xE000, 0x10000))}


@given(st.binary(max_size=6))
def test_a_prompt_is_cut_before_what_begins_a_character_alone(data):
    prompt = data.decode("utf-8", "surrogateescape")
    shown, begun = cut_prompt(prompt)
    assert shown + begun.decode("utf-8", "surrogateescape") == prompt
    ends = [data[-length:] for length in (3, 2, 1) if data[-length:] in BEGINNINGS]
    assert begun == (ends[0] if ends else b"")


def test_characters_of_byte_ids_count_once_they_are_whole(script, write):
    tokenizer = CharTokenizer("ab")
    model = script(tokenizer.encode("a€b", "bytes"), tokenizer.vocab_size)
    pieces = write(model, tokenizer, prompt="b", length=3)
    assert [piece.text for piece in pieces] == ["b", "a", "€", "b"]
    assert pieces[-1].ending.tokens == 5
    assert pieces[-1].ending.characters == 3


@pytest.fixture(scope="module")
def subwords():
    text = "the cat sat on the mat and the rat ate the oat\n" * 60
    return train_tokenizer(TokenizerConfig(tokenizer="bpe:290"), [text])


@pytest.mark.parametrize("length", range(1, 16))
def test_a_subword_that_is_too_long_is_cut_at_the_length(script, write, texts, subwords, length):
    text = "the cat ate the"
    ids = subwords.encode(text)
    assert len(ids) < len(text) - 3, "pieces of several characters"
    pieces = write(script(ids, subwords.vocab_size), subwords, length=length)
    assert texts(pieces) == [text[:length]]
    assert pieces[-1].ending.characters == length


@pytest.mark.parametrize(
    ("stop", "expected", "reason"),
    [
        (("cat ate",), "the cat ate", "stop"),
        (("t a", "e c"), "the c", "stop"),
        (("the",), "the", "stop"),
        (("dog",), "the cat ate the", "length"),
        ((" the",), "the cat ate the", "stop"),
        (("he cat ate the", "ate t"), "the cat ate t", "stop"),
    ],
)
def test_stop_strings_straddle_tokens_and_are_kept(script, write, texts, subwords, stop, expected, reason):
    for tokenizer in (subwords, BYTES):
        model = script(tokenizer.encode("the cat ate the"), tokenizer.vocab_size)
        pieces = write(model, tokenizer, length=15, stop=stop)
        assert texts(pieces) == [expected]
        assert pieces[-1].ending.reason == reason


def test_a_stop_string_does_not_begin_in_the_prompt(script, write, texts):
    model = script(b"b ab c", 256)
    assert texts(write(model, BYTES, prompt="a", length=6, stop=("ab",))) == ["b ab"]


def test_an_empty_stop_string_is_refused(lstm):
    with pytest.raises(ConfigError, match="stop must not be an empty text"):
        generate(*lstm, SamplingConfig(stop=("a", "")), 1)


PIECES = st.lists(
    st.one_of(
        st.sampled_from([b"a", b"b", b"ab", b"\xe2", b"\x82", b"\xac", b"\xe2\x82\xac", b"a\xe2", b"\x82\xacb"]),
        st.text("ab€😀", max_size=4).map(str.encode),
        st.binary(max_size=3),
    ),
    max_size=14,
)


@given(PIECES, st.integers(1, 12), st.lists(st.text("ab€\ufffd", min_size=1, max_size=3), max_size=3))
def test_pieces_grow_into_the_text_that_a_look_at_the_whole_gives(pieces, length, stop):
    text, reason, taken = grown(pieces, Rules(length, tuple(stop)))
    # what the tokenizer's own stream makes of the same bytes
    stream = BYTES.stream()
    whole = "".join(stream.feed(byte) for byte in b"".join(pieces[:taken]))
    ends = [whole.find(each) + len(each) for each in stop if each in whole]
    end = min([length, len(whole), *ends])
    assert text == whole[:end]
    expected = "stop" if ends and min(ends) <= length else "length" if len(whole) >= length else None
    assert reason == expected


def test_samples_come_in_order_and_each_ends_once(lstm, write):
    pieces = write(*lstm, samples=5, length=30, prompt="b", stop=("a",), temperature=1.3)
    assert [piece.sample for piece in pieces] == sorted(piece.sample for piece in pieces)
    for sample in range(5):
        own = [piece for piece in pieces if piece.sample == sample]
        assert [piece.is_prompt for piece in own] == [True] + [False] * (len(own) - 1)
        assert [piece.ending is not None for piece in own] == [False] * (len(own) - 1) + [True]


def test_rows_that_have_ended_take_no_more_steps(chain, letters, write):
    # a is the stop string; it ends about half of the rows at each step
    model = chain(np.zeros((2, 2)))
    endings = [piece.ending for piece in write(model, letters(2), samples=40, length=50, stop=("a",)) if piece.ending]
    assert len({ending.tokens for ending in endings}) > 3
    assert model.rows == sum(ending.tokens - 1 for ending in endings)


def test_long_samples_run_one_by_one_so_that_nothing_has_to_wait(chain, letters):
    model = chain(np.zeros((2, 2)))
    pieces = generate(model, letters(2), SamplingConfig(samples=50, length=10**12), 1)
    assert len(list(islice(pieces, 300))) == 300
    assert model.rows < 310


@pytest.mark.parametrize("options", [{}, {"repetition_penalty": 1.1}, {"stop": ("abcabcabc" * 9,)}], ids=str)
def test_an_endless_text_streams_in_flat_memory(chain, letters, options):
    model = chain(np.zeros((4, 4)))
    pieces = generate(model, letters(4), SamplingConfig(length=10**12, **options), 1)
    list(islice(pieces, 500))
    tracemalloc.start()
    try:
        for _ in islice(pieces, 3000):
            pass
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()


# vocabulary, prompt, policy -> the ids read first
PROMPTS = [
    ("\nab", "ba", "error", [2, 1]),
    ("\nab", "", "error", [0]),
    ("\tab\n", "", "error", [1]),
    ("ab", "", "error", [0]),
    ("ab", "éa", "drop", [0]),
    ("a\nb", "é", "drop", [0]),
    ("ab", "é", "bytes", [2 + 0xC3, 2 + 0xA9]),
]


@pytest.mark.parametrize(("characters", "prompt", "unknown", "expected"), PROMPTS)
def test_what_the_model_reads_first(chain, write, characters, prompt, unknown, expected):
    tokenizer = CharTokenizer("".join(sorted(characters)))
    model = chain(np.zeros((tokenizer.vocab_size,) * 2))
    pieces = write(model, tokenizer, prompt=prompt, unknown=unknown, length=2)
    assert model.primed == expected
    assert [piece.text for piece in pieces if piece.is_prompt] == ([prompt] if prompt else [])


@pytest.mark.parametrize("unknown", ["bytes", "drop"])
def test_a_model_that_learnt_rare_characters_as_bytes_reads_them_so(chain, write, unknown):
    tokenizer = CharTokenizer("ab", unknown, min_count=2)
    model = chain(np.zeros((tokenizer.vocab_size,) * 2))
    if unknown == "bytes":
        write(model, tokenizer, prompt="é", length=2)
        assert model.primed == [2 + 0xC3, 2 + 0xA9]
        # without a prompt a newline, which may have been too rare as well
        unprompted = chain(np.zeros((tokenizer.vocab_size,) * 2))
        write(unprompted, tokenizer, prompt="", length=2)
        assert unprompted.primed == [2 + 0x0A]
    else:
        with pytest.raises(TokenizerError, match="'é'"):
            write(model, tokenizer, prompt="é", length=2)


def test_an_unseen_character_of_the_prompt_is_named_with_its_position(lstm):
    with pytest.raises(TokenizerError, match=r"character 'Z' \(U\+005A\) at position 2"):
        generate(*lstm, SamplingConfig(prompt="abZ"), 1)


def test_another_models_tokenizer_is_refused(lstm, letters):
    with pytest.raises(RunError, match="the model has 266 symbols, the tokenizer 3"):
        generate(lstm[0], letters(3), SamplingConfig(), 1)


def test_a_batch_of_none_is_refused(lstm):
    with pytest.raises(ConfigError, match="batch_size must be a whole number >= 1, was 0"):
        generate(*lstm, SamplingConfig(), 1, batch_size=0)
