"""Tokenizers learnt from any text at all: that text and any other comes back; kept on disk they stay what they are."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config import TokenizerConfig
from charlm.errors import CharlmError, TokenizerError
from charlm.tokenizers import TOKENIZERS, load_tokenizer, train_tokenizer

# a few symbols often, everything sometimes, bytes that are no text among it
LETTERS = st.one_of(
    st.sampled_from("ab \n\u2581\u2585<>0x"), st.characters(), st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
)
TEXTS = st.text(LETTERS, max_size=80)


def learnt(spec, chunks, **more):
    """The tokenizer; None where the text is refused, in one line."""
    try:
        return train_tokenizer(TokenizerConfig(tokenizer=spec, **more), chunks)
    except CharlmError as error:
        complaint = str(error)
    assert "\n" not in complaint
    assert len(complaint) < 300
    return None


def check(tokenizer, texts, dropping=False):
    """Texts come back from ids, and from ids of the tokenizer once more loaded."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in tokenizer.to_files().items():
            Path(folder, name).write_bytes(content)
        loaded = load_tokenizer(Path(folder), tokenizer.fingerprint)
    for text in texts:
        try:
            ids = tokenizer.encode(text)
        except TokenizerError:
            ids = None
        if ids is None:
            assert tokenizer.unknown == "error" or any("\ud800" <= one <= "\udfff" for one in text)
            continue
        assert loaded.encode(text).tolist() == ids.tolist()
        assert loaded.decode(ids) == tokenizer.decode(ids)
        assert dropping or tokenizer.decode(ids) == text
        assert len(ids) == 0 or 0 <= ids.min() <= ids.max() < tokenizer.vocab_size


@pytest.mark.parametrize("family", [name for name, known in TOKENIZERS.items() if known.sizes is None])
@settings(max_examples=max(1, settings.default.max_examples // 2))
@given(chunks=st.lists(TEXTS, max_size=4), other=TEXTS)
def test_any_text_to_learn_from(family, chunks, other):
    check(learnt(family, chunks), ["".join(chunks), other])


@pytest.mark.parametrize("family", [name for name, known in TOKENIZERS.items() if known.sizes is not None])
@settings(max_examples=max(2, settings.default.max_examples // 12))
@given(chunks=st.lists(TEXTS, max_size=4), other=TEXTS, size=st.integers(257, 330))
def test_any_text_to_learn_pieces_from(family, chunks, other, size):
    tokenizer = learnt(f"{family}:{size}", [text * 20 for text in chunks])
    if tokenizer is not None:
        check(tokenizer, ["".join(chunks), other])


@settings(max_examples=max(1, settings.default.max_examples // 3))
@given(chunks=st.lists(TEXTS, max_size=4), other=TEXTS, unknown=st.sampled_from(["bytes", "drop", "error"]))
def test_rare_characters_and_policies(chunks, other, unknown):
    for min_count in (1, 2, 5):
        tokenizer = learnt("char", chunks, min_count=min_count, unknown=unknown)
        if tokenizer is None:
            continue
        text = "".join(chunks)
        if unknown == "bytes":
            assert set(tokenizer.characters) == {
                one for one in text if text.count(one) >= min_count and not "\ud800" <= one <= "\udfff"
            }
        check(tokenizer, [text, other], dropping=unknown == "drop")
