"""Walking through a text on disk: nothing is left out, and what was read is not kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charlm.streams import Lanes, count_symbols, give_back, lanes, open_store, stretches, write_store
from charlm.streams import store as store_module

MB = 2**20
SIZE = 16 * MB
# What the system maps around a page that is read.
LEAST = 3 * MB


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc what of a file is in memory")


def held() -> int:
    """Bytes of files that are in the memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile:")) * 1024


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """16 million ids on disk, of which every millionth is 1, as a part of a store."""
    stretch = np.zeros(MB, dtype=np.uint8)
    stretch[7] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "_HELD", 0, raising=False)  # mapped, however short
        folder = tmp_path_factory.mktemp("store")
        write_store(folder, "k", vocab_size=3, parts={"a": [stretch[:1]], "b": [stretch] * 16}, facts={})
        found = open_store(folder, "k")
    assert found is not None
    return found.part("b")


def walk(ids: np.ndarray) -> None:
    sums = [int(one.sum()) for one in stretches(ids, 3 * MB)]
    assert sums == [3] * 5 + [1]


def count(ids: np.ndarray) -> None:
    assert count_symbols(ids, 3).tolist() == [SIZE - 16, 16, 0]


def train(ids: np.ndarray) -> None:
    reading, seen = Lanes(ids, 4), 0
    for _ in range(64):
        seen += int(reading.next(MB // 16)[1].sum())
    assert seen == 16


@pytest.mark.parametrize("read", [walk, count, train], ids=lambda read: read.__name__)
def test_memory_does_not_grow_with_the_text(
    mapped: np.ndarray, read: Callable[[np.ndarray], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "MOST_HELD", 2 * MB)
    give_back(mapped)
    before = held()
    read(mapped)
    assert held() - before < LEAST
    int(mapped.sum())  # what is not given back stays, else this would show nothing
    assert held() - before > SIZE / 2
    give_back(mapped)
    assert held() - before < LEAST


@pytest.mark.parametrize("length", [1, 3, 10, 11])
@pytest.mark.parametrize("first", [0, 1, 10, 12])
def test_stretches_are_the_text(length: int, first: int) -> None:
    ids = np.arange(10)
    found = list(stretches(ids, length, first))
    assert [one for part in found for one in part.tolist()] == list(range(first, 10))
    assert all(len(part) == length for part in found[:-1])


@pytest.mark.parametrize("ids", [np.empty(0, np.uint8), np.frombuffer(b"\1\2", np.uint8), np.arange(9)[2:5]], ids=len)
def test_what_is_in_memory_anyway_stays_as_it_is(ids: np.ndarray) -> None:
    before = ids.tolist()
    give_back(ids)
    assert ids.tolist() == before
