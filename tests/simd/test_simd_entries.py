"""Loops that run without Numba: what they compute, what they refuse, and the files that hold them."""

import math
import signal

import numpy as np
import pytest

from charlm.simd import entries
from charlm.simd.entries import Entry
from charlm.simd.words import array

NUMBERS, KINDS = 2, ["float32", "int64"]


def add(words):
    """floats[place] += numbers[...]; the last number is how often."""
    floats, places = array(words, NUMBERS, 0, np.float32), array(words, NUMBERS, 1, np.int64)
    for _ in range(words[1]):
        for index in range(len(places)):
            floats[places[index]] += np.float32(words[0]) / np.float32(4)


def error_function(words):
    floats = array(words, NUMBERS, 0, np.float32)
    floats[0] = math.erf(floats[1])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "code_folder", lambda: tmp_path / "code")
    return tmp_path / "code"


@pytest.fixture
def told():
    return []


@pytest.fixture
def opened(told):
    def opened(function=add):
        return Entry("sum", NUMBERS, KINDS, lambda: function, lambda: told.append("compiling"))

    return opened


def result(entry):
    floats = np.array([1, 2, 3], dtype=np.float32)
    entry([6, 2], [floats, np.array([0, 2, 2])])
    return floats.tolist()


EXPECTED = [4, 2, 9]


def test_it_computes_in_the_arrays_that_it_is_given(opened):
    assert result(opened()) == EXPECTED


def test_what_was_kept_is_not_compiled_again(opened, told, folder):
    assert [result(opened()) for _ in range(3)] == [EXPECTED] * 3
    assert told == ["compiling"]
    assert [path.suffix for path in folder.iterdir()] == [".o"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_file_is_compiled_anew(opened, told, folder, damage):
    opened()
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    flipped = whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:]
    path.write_bytes({"cut": whole[:-1], "flipped": flipped, "empty": b""}[damage])
    assert result(opened()) == EXPECTED
    assert told == ["compiling"] * 2
    assert path.read_bytes()[32:].startswith(b"_Z")
    assert result(opened()) == EXPECTED
    assert told == ["compiling"] * 2


def test_where_nothing_can_be_kept_it_is_compiled_each_time(opened, told, folder):
    folder.write_text("a file")
    assert [result(opened()) for _ in range(2)] == [EXPECTED] * 2
    assert told == ["compiling"] * 2


@pytest.mark.parametrize("what", ["NAME", "FEATURES"])
def test_each_processor_has_its_own_code(opened, told, folder, monkeypatch, what):
    opened()
    monkeypatch.setattr(entries, what, "another")
    opened()
    assert told == ["compiling"] * 2
    assert len(list(folder.iterdir())) == 2


FLOATS, PLACES = np.zeros(4, np.float32), np.zeros(2, np.int64)
MISTAKES = {
    "a number too few": ([1], [FLOATS, PLACES]),
    "an array too many": ([1, 1], [FLOATS, PLACES, PLACES]),
    "another order": ([1, 1], [PLACES, FLOATS]),
    "another type": ([1, 1], [FLOATS.astype(np.float64), PLACES]),
    "not flat": ([1, 1], [FLOATS.reshape(2, 2), PLACES]),
    "with gaps": ([1, 1], [FLOATS[::2], PLACES]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_arrays_that_it_was_not_compiled_for_are_refused(opened, mistake):
    with pytest.raises(ValueError, match="the loop takes"):
        opened()(*MISTAKES[mistake])


def test_code_that_would_need_more_than_is_there_is_refused(opened, folder):
    """LLVM ends the process when a symbol is missing."""
    with pytest.raises(ImportError, match="machine code needs erf"):
        opened(error_function)
    assert not folder.exists()


def test_a_numba_that_gives_no_code_is_none(opened, monkeypatch, folder):
    def compile_words(function):
        raise AttributeError("'CPUCodeLibrary' object has no attribute '_get_compiled_object'")

    monkeypatch.setattr("charlm.simd.words.compile_words", compile_words)
    with pytest.raises(ImportError, match="no machine code that runs without it: 'CPUCodeLibrary'"):
        opened()
    assert not folder.exists()


def test_nobody_is_told_of_compiling_where_numba_cannot_be_imported(told):
    def make():
        raise ImportError("no module")

    with pytest.raises(ImportError, match="no module"):
        Entry("sum", NUMBERS, KINDS, make, lambda: told.append("compiling"))
    assert told == []


def test_ctrl_c_while_code_is_linked_waits_until_it_is(opened, monkeypatch):
    opened()
    stages = []

    def link(content):
        # an exception here, between a call of LLVM and the note of who frees what it gave, would free it twice
        signal.raise_signal(signal.SIGINT)
        stages.append("linked")
        return linked(content)

    linked = entries._link
    monkeypatch.setattr(entries, "_link", link)
    with pytest.raises(KeyboardInterrupt):
        opened()
    assert stages == ["linked"]
