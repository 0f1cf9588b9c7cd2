"""Token store: what was written is read; damage, crashes and rivals never give wrong ids."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlm.errors import ConfigError, CorpusError, UnknownNameError
from charlm.streams import open_store, write_store
from charlm.streams import store as store_module

PARTS = {"train": [[1, 2, 3], [4]], "validation": [[5, 6]], "test": []}


def arrays(parts: dict[str, list[list[int]]]) -> dict[str, list[np.ndarray]]:
    return {name: [np.array(piece, dtype=np.int64) for piece in pieces] for name, pieces in parts.items()}


def write(folder: Path, vocab_size: int = 10, **facts: Any) -> Any:
    return write_store(folder, "key", vocab_size=vocab_size, parts=arrays(PARTS), facts=facts)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("vocab_size", "dtype"),
    [(10, "u1"), (256, "u1"), (257, "<u2"), (65_536, "<u2"), (65_537, "<u4"), (2**32, "<u4")],
)
def test_what_was_written_is_read(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    written = write(tmp_path / "new" / "folder", vocab_size, characters=6, name="ä\n")
    for found in (written, open_store(tmp_path / "new" / "folder", "key")):
        assert found.vocab_size == vocab_size
        assert found.facts == {"characters": 6, "name": "ä\n"}
        assert found.parts == {"train": (0, 4), "validation": (4, 6), "test": (6, 6)}
        assert found.part("train").tolist() == [1, 2, 3, 4]
        assert found.part("validation").tolist() == [5, 6]
        assert found.part("test").tolist() == []
        assert found.part("all").tolist() == [1, 2, 3, 4, 5, 6]
        assert found.part("train").dtype == dtype
        assert not found.part("train").flags.writeable
    assert (tmp_path / "new/folder/key.bin").stat().st_size == 6 * np.dtype(dtype).itemsize
    assert names(tmp_path / "new" / "folder") == ["key.bin", "key.json"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.dictionaries(
        st.sampled_from(["train", "validation", "test"]), st.lists(st.lists(st.integers(0, 299), max_size=50))
    ),
    block=st.integers(16, 64),
)
def test_any_parts_in_any_pieces(tmp_path: Path, parts: dict[str, list[list[int]]], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "BLOCK", block)  # many checksums
        patch.setattr(os, "fsync", lambda number: None)  # what is tested here is not durability
        found = write_store(tmp_path, "k", vocab_size=300, parts=arrays(parts), facts={})
    for name, pieces in parts.items():
        assert found.part(name).tolist() == [value for piece in pieces for value in piece]


def test_nothing_at_all(tmp_path: Path) -> None:
    found = write_store(tmp_path, "k", vocab_size=5, parts={"train": []}, facts={})
    assert len(found.part("train")) == 0
    assert not found.part("train").flags.writeable
    with pytest.raises(UnknownNameError, match=r"no part 'trian': choose all, train \(did you mean train"):
        found.part("trian")


def test_absent_is_none(tmp_path: Path) -> None:
    assert open_store(tmp_path, "key") is None
    assert open_store(tmp_path / "no folder", "key") is None


@pytest.mark.parametrize("suffix", ["bin", "json"])
def test_flipped_bits_and_every_cut_are_noticed(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, name="x")
    path = tmp_path / f"key.{suffix}"
    good = path.read_bytes()
    changed = [good[:end] for end in range(len(good))] + [good + b"\0"]
    for place in range(len(good)):
        bits = range(8) if suffix == "bin" else [place % 8]
        changed += [good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :] for bit in bits]
    noticed = 0
    for data in changed:
        path.write_bytes(data)
        found = open_store(tmp_path, "key")
        noticed += found is None
        # Only white space of the side file may change unnoticed: it means nothing.
        assert found is None or (suffix == "json" and json.loads(data) == json.loads(good))
    assert noticed > 0.9 * len(changed)
    path.write_bytes(good)
    assert open_store(tmp_path, "key").part("train").tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{}", b"[" * 100_000, b'{"checksum": 5}', b"\xff"])
def test_a_side_file_of_something_else_is_none(tmp_path: Path, content: bytes) -> None:
    write(tmp_path)
    (tmp_path / "key.json").write_bytes(content)
    assert open_store(tmp_path, "key") is None


HOSTILE: dict[str, Any] = {
    "vocab_size": [10**30, -1, 1.5, "10", None, True],
    "bytes": [-1, 10**30, 6.0, "6", [6]],
    "parts": [
        [],
        None,
        {"a": [0, 7]},
        {"a": [2, 1]},
        {"a": [0]},
        {"a": 3},
        {"a": "01"},
        {"a": [0, 1.0]},
        {"a": [-1, 1]},
    ],
    "facts": [[], None, "x"],
    "crc32": [[], None, ["1"], [1, 2], {"1": 2}],
}


@pytest.mark.parametrize("name", [*HOSTILE, "format"])
def test_hostile_fields_with_the_right_checksum_are_none(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    path = tmp_path / "key.json"
    side = json.loads(path.read_text())
    del side["checksum"]
    changed = [{**side, name: value} for value in HOSTILE.get(name, [2, "1"])]
    changed.append({key: value for key, value in side.items() if key != name})
    for body in changed:
        path.write_text(json.dumps({**body, "checksum": store_module._checksum(body)}))
        assert open_store(tmp_path, "key") is None, body


def test_ids_that_are_open_stay_as_they_were_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    write(tmp_path)
    found = open_store(tmp_path, "key").part("train")
    (tmp_path / "key.bin").write_bytes(bytes(6))
    assert found.tolist() == [1, 2, 3, 4]
    os.truncate(tmp_path / "key.bin", 0)
    assert found.tolist() == [1, 2, 3, 4]


def test_damage_in_any_checked_block_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BLOCK", 64)
    ids = np.arange(64 * 100, dtype=np.int64) % 250
    write_store(tmp_path, "k", vocab_size=250, parts={"all": [ids]}, facts={})
    path = tmp_path / "k.bin"
    good = path.read_bytes()
    noticed = []
    for block in range(100):
        path.write_bytes(good[: block * 64] + b"\xff" + good[block * 64 + 1 :])
        if open_store(tmp_path, "k") is None:
            noticed.append(block)
    path.write_bytes(good + b"\0")
    assert open_store(tmp_path, "k") is None
    # a large store is checked in places, evenly spread, first and last among them
    assert len(noticed) == store_module.CHECKED_BLOCKS
    assert (noticed[0], noticed[-1]) == (0, 99)
    assert max(np.diff(noticed)) <= 7


@pytest.mark.parametrize("bad", [-1, 10, 300])
def test_an_id_outside_the_vocabulary_is_never_stored(tmp_path: Path, bad: int) -> None:
    with pytest.raises(ConfigError, match=f"id {bad} is outside the vocabulary of 10"):
        write_store(tmp_path, "k", vocab_size=10, parts={"train": [np.array([0, bad, 1])]}, facts={})
    assert names(tmp_path) == []


@pytest.mark.parametrize("key", ["", "../k", "a/b", ".hidden", "a" * 201, "a\0", "ä"])
def test_a_key_that_is_no_file_name_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="a token store's key must be of letters"):
        write_store(tmp_path, key, vocab_size=10, parts={}, facts={})
    with pytest.raises(ConfigError, match="a token store's key must be of letters"):
        open_store(tmp_path, key)


def test_an_error_of_the_text_passes_and_leaves_nothing(tmp_path: Path) -> None:
    def pieces() -> Iterator[np.ndarray]:
        yield np.array([1])
        raise CorpusError("byte 0xFF at offset 5")

    with pytest.raises(CorpusError, match="byte 0xFF"):
        write_store(tmp_path, "k", vocab_size=10, parts={"train": pieces()}, facts={})
    assert names(tmp_path) == []


def test_an_open_store_outlives_its_replacement(tmp_path: Path) -> None:
    first = write(tmp_path).part("train")
    write_store(tmp_path, "key", vocab_size=10, parts={"train": [np.array([9])]}, facts={})
    assert first.tolist() == [1, 2, 3, 4]


def test_memory_is_flat_while_writing_and_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_HELD", 1 << 20)
    piece = np.arange(1 << 18, dtype=np.uint16)
    tracemalloc.start()
    try:
        found = write_store(tmp_path, "k", vocab_size=1 << 16, parts={"train": (piece for _ in range(100))}, facts={})
        assert len(found.part("train")) == 100 << 18
        assert tracemalloc.get_traced_memory()[1] < 8e6  # 52 MB passed through
    finally:
        tracemalloc.stop()
