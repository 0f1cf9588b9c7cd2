"""Files of machine code: each signature has its own, and what is not whole is not there."""

import numpy as np
import pytest
from numba.core import event

from charlm.simd import compiled
from charlm.simd.code_files import CodeFiles


def size_and_one(numbers):
    return numbers.itemsize + numbers[0]


def test_two_that_save_at_once_take_nothing_from_each_other(tmp_path):
    one, other = (CodeFiles(tmp_path, "bend-3.py311", 7) for _ in range(2))
    one.save(("float32", "avx"), "narrow")
    other.save(("float64", "avx"), "wide")
    one.save(("float32", "avx"), "narrow again")
    for files in (one, other):
        assert files.load(("float32", "avx")) == "narrow again"
        assert files.load(("float64", "avx")) == "wide"
        assert files.load(("float64", "sse")) is None
    assert CodeFiles(tmp_path, "bend-3.py311", 8).load(("float64", "avx")) is None  # another source
    assert len(list(tmp_path.iterdir())) == 2
    other.flush()
    assert not list(tmp_path.iterdir())


class Alike:
    """A key that reads as others do and equals none."""

    def __repr__(self):
        return "alike"


def test_keys_that_read_alike_are_not_taken_for_one_another(tmp_path):
    files = CodeFiles(tmp_path, "bend", 7)
    files.save(Alike(), "code")
    assert files.load(Alike()) is None


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_file_is_compiled_anew(tmp_path, monkeypatch, damage):
    """With a real function: what Numba is given back is run."""
    monkeypatch.setattr("charlm.simd.compiling.code_folder", lambda: tmp_path)

    def compilations():
        with event.install_recorder("numba:compile") as recorder:
            assert compiled(size_and_one)(np.ones(1, np.float32)) == 5
        return sum(one.is_start for _, one in recorder.buffer)

    assert (compilations(), compilations()) == (1, 0)
    (path,) = tmp_path.rglob("*.nbc")
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes(whole[:-1] if damage == "cut" else flipped)
    assert (compilations(), compilations()) == (1, 0)


def test_numba_asks_these_files_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr("charlm.simd.compiling.code_folder", lambda: tmp_path)
    assert compiled(size_and_one)(np.ones(1, np.int8)) == 2
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".nbc"]
