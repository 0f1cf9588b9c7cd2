"""Specs, saving and loading: what was saved comes back, what was not is refused with file and field."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlm.errors import ConfigError, OutputError, RunError, UnknownNameError
from charlm.tokenizers import TOKENIZERS, CharTokenizer, Tokenizer, load_tokenizer, parse_spec

CHAR = {"format": 1, "tokenizer": "char", "unknown": "bytes", "characters": "abc"}


def write(folder: Path, values: Any) -> Path:
    text = values if isinstance(values, str) else json.dumps(values)
    (folder / "tokenizer.json").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("chr", r"no tokenizer 'chr': choose bpe, byte, char, unigram \(did you mean char\?\)"),
        ("", "no tokenizer ''"),
        ("char:5", "tokenizer char has no size: write just char, was 'char:5'"),
        ("byte:", "tokenizer byte has no size"),
        ("bpe", "tokenizer bpe needs a size, for instance bpe:1000"),
        ("bpe:", r"tokenizer bpe needs a size in \[257, 1000000\], was ''"),
        ("bpe:256", "was '256'"),
        ("bpe:-1000", "was '-1000'"),
        ("bpe:1e3", "was '1e3'"),
        ("bpe:١٠٠٠", "was '١٠٠٠'"),
        ("unigram:1000001", "was '1000001'"),
        ("unigram:" + "9" * 5000, "was '9999999999"),
    ],
)
def test_a_bad_spec_is_explained(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        parse_spec(spec)
    assert len(str(raised.value)) < 200


def test_good_specs() -> None:
    assert parse_spec("char") == (CharTokenizer, None)
    assert parse_spec("bpe:1000") == (TOKENIZERS["bpe"], 1000)
    assert {family for family in TOKENIZERS if TOKENIZERS[family].family == family} == set(TOKENIZERS)
    with pytest.raises(UnknownNameError):
        parse_spec("word")


def test_what_was_saved_comes_back(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    tokenizer.save(tmp_path)  # again, over it
    loaded = load_tokenizer(tmp_path, tokenizer.fingerprint)
    text = "Once\tmore — \u2581 unto\r\n the  Käse \0 漢"
    assert type(loaded) is type(tokenizer)
    assert (loaded.name, loaded.vocab_size, loaded.unknown) == (tokenizer.name, tokenizer.vocab_size, tokenizer.unknown)
    assert loaded.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert loaded.to_files() == tokenizer.to_files()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(tokenizer.to_files())


def test_the_file_can_be_read_by_a_person(tmp_path: Path) -> None:
    CharTokenizer("\n\x1b aé\u202e\ue000漢", "drop").save(tmp_path)
    assert (tmp_path / "tokenizer.json").read_text("utf-8") == (
        '{\n "format": 1,\n "tokenizer": "char",\n "unknown": "drop",\n'
        ' "characters": "\\n\\u001b aé\\u202e\\ue000漢"\n}\n'
    )


def test_the_vocabulary_of_another_model_is_refused(tmp_path: Path) -> None:
    CharTokenizer("abc").save(tmp_path)
    with pytest.raises(RunError, match=r"tokenizer\.json: the vocabulary does not match the model"):
        load_tokenizer(tmp_path, CharTokenizer("abd").fingerprint)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "must hold a table, holds list"),
        ("", "not a tokenizer's JSON"),
        ("{", "not a tokenizer's JSON"),
        ('{"format": NaN}', "NaN is no value of JSON"),
        ('{"format": 1, "format": 1}', "'format' stands there twice"),
        ("[" * 100_000, "too deeply nested"),
        ('{"a": ' * 100_000, "too deeply nested"),
        ("[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]", "holds more than a tokenizer does"),
        ('{"format": ' + "9" * 100_000 + "}", "not a tokenizer's JSON|format is a very long number"),
        ({}, "format is missing"),
        ({**CHAR, "format": 2}, "format is 2, this version of charlm reads 1"),
        ({**CHAR, "format": True}, "format must be a whole number, was True"),
        ({**CHAR, "format": 1.0}, "format must be a whole number, was 1.0"),
        ({**CHAR, "tokenizer": "word"}, "tokenizer must be one of bpe, byte, char, unigram, was 'word'"),
        ({**CHAR, "tokenizer": ["char"]}, "tokenizer must be text"),
        ({**CHAR, "characters": 5}, "characters must be text, was 5"),
        ({**CHAR, "characters": "aab"}, "characters must be sorted by code point, each once"),
        ({**CHAR, "characters": "cab"}, "characters must be sorted by code point, each once"),
        ({**CHAR, "characters": "ab\ud800"}, "characters holds half of a surrogate pair"),
        ({**CHAR, "characters": "", "unknown": "drop"}, "characters is empty"),
        ({**CHAR, "unknown": "guess"}, "unknown must be one of bytes, drop, error"),
        ({**CHAR, "min_count": 0}, "min_count must be at least 1, was 0"),
        ({**CHAR, "min_count": "2"}, "min_count must be a whole number, was '2'"),
        ({**CHAR, "vocab_size": 5}, "no field 'vocab_size'"),
        ({"format": 1, "tokenizer": "byte", "characters": "a"}, "no field 'characters'"),
        ({"format": 1, "tokenizer": "bpe"}, "vocab_size is missing"),
        ({"format": 1, "tokenizer": "bpe", "vocab_size": 300, "model_sha256": "0"}, r"tokenizer\.model: no such file"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else None,
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(RunError, match=message) as raised:
        load_tokenizer(write(tmp_path, values))
    assert str(tmp_path / "tokenizer.") in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_absent_unreadable_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(RunError, match="no such file"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").rmdir()
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match="not a tokenizer's JSON"):
        load_tokenizer(tmp_path)
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RunError, match="larger than 16 MiB"):
        load_tokenizer(tmp_path)


def test_a_damaged_or_foreign_model_file_is_refused(trained: dict[str, Tokenizer], tmp_path: Path) -> None:
    tokenizer = trained["bpe"]
    tokenizer.save(tmp_path)
    model = tmp_path / "tokenizer.model"
    good = model.read_bytes()
    for bad in (good[:-1], b"", good[:100] + bytes([good[100] ^ 1]) + good[101:], b"\x80\x04pickle"):
        model.write_bytes(bad)
        with pytest.raises(RunError, match=r"tokenizer\.model: damaged, or of another model"):
            load_tokenizer(tmp_path)
    model.write_bytes(b"no model")
    values = {**tokenizer.to_json(), "model_sha256": hashlib.sha256(b"no model").hexdigest()}
    with pytest.raises(RunError, match=r"tokenizer\.model: no sentencepiece model of charlm"):
        load_tokenizer(write(tmp_path, values))
    model.write_bytes(good)
    with pytest.raises(RunError, match=r"vocab_size is 999, but tokenizer\.model holds 310"):
        load_tokenizer(write(tmp_path, {**tokenizer.to_json(), "vocab_size": 999}))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 200), bit=st.integers(0, 7), cut=st.booleans())
def test_a_changed_file_is_refused_or_has_another_fingerprint(tmp_path: Path, place: int, bit: int, cut: bool) -> None:
    tokenizer = CharTokenizer("\n abcdéöü漢", "error")
    data = bytearray(tokenizer.to_files()["tokenizer.json"])
    place %= len(data)
    changed = data[:place] if cut else data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
    (tmp_path / "tokenizer.json").write_bytes(changed)
    with contextlib.suppress(RunError):
        loaded = load_tokenizer(tmp_path)
        same = loaded.to_json() == tokenizer.to_json()
        assert (loaded.fingerprint == tokenizer.fingerprint) == same


def test_what_a_killed_process_of_our_number_left_is_no_obstacle(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / f".tokenizer.json.{os.getpid()}.tmp").symlink_to(outside)
    CharTokenizer("abc").save(tmp_path)
    assert outside.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "tokenizer.json"]


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"tokenizer\.json: not written: No such file"):
        CharTokenizer("abc").save(tmp_path / "absent")
