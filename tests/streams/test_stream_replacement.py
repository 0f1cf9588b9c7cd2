"""Writing a store: failing calls, links, rivals and killed writers."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.errors import OutputError
from charlm.streams import open_store, write_store
from charlm.streams.replacement import remove_leftovers


def write(folder: Path, **facts: Any) -> None:
    parts = {"train": [np.array([1, 2, 3]), np.array([4])]}
    write_store(folder, "key", vocab_size=10, parts=parts, facts=facts)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_every_failing_call_leaves_the_old_store_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    write(tmp_path, version=1)
    original = getattr(os, call)
    failures = 0
    for failing in range(10):
        calls = iter(range(100))

        def broken(*args: Any, calls: Iterator[int] = calls, failing: int = failing) -> Any:
            if next(calls) == failing:
                raise OSError(code, os.strerror(code))
            return original(*args)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, broken)
            try:
                write(tmp_path, version=2)
            except OutputError as error:
                failures += 1
                message = str(error)
        found = open_store(tmp_path, "key")
        assert found is not None
        assert found.part("train").tolist() == [1, 2, 3, 4]
        assert names(tmp_path) == ["key.bin", "key.json"]
    assert failures == {"fsync": 4, "replace": 2}[call]
    assert os.strerror(code) in message
    assert "\n" not in message
    assert found.facts == {"version": 2}


@pytest.mark.parametrize("error", [None, errno.ENOSPC, errno.EIO])
def test_a_store_written_with_a_failing_or_last_call_is_whole_or_not_there(
    tmp_path: Path, every_file_call: Any, error: int | None
) -> None:
    def prepare() -> None:
        for path in tmp_path.iterdir():
            path.unlink()

    seen = set()
    for _, problem in every_file_call(prepare, lambda: write(tmp_path, version=1), error):
        assert error is None or problem is None or isinstance(problem, OutputError)
        found = open_store(tmp_path, "key")
        seen.add(found is not None)
        assert found is not None or problem is not None
        assert found is None or found.part("train").tolist() == [1, 2, 3, 4]
        write(tmp_path, version=2)
        assert open_store(tmp_path, "key").facts == {"version": 2}
        assert names(tmp_path) == ["key.bin", "key.json"]
    assert seen == {False, True}


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"token store not written in .*: (Not a directory|File exists)"):
        write(tmp_path / "file" / "folder")


def test_the_umask_is_honoured_and_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    folder = tmp_path / "store"
    folder.mkdir()
    for name in ("key.bin", "key.json", f".{os.getpid()}-0.charlm-tmp"):
        (folder / name).symlink_to(outside)
    before = os.umask(0o027)
    try:
        write(folder)
    finally:
        os.umask(before)
    assert outside.read_text() == "mine"
    assert stat.S_IMODE((folder / "key.bin").lstat().st_mode) == 0o640
    assert stat.S_IMODE((folder / "key.json").lstat().st_mode) == 0o640


WRITER = """
import sys, pathlib, numpy as np
from charlm.streams import write_store
def pieces():
    for number in range(int(sys.argv[2])):
        yield np.full(100_000, number % 250, dtype=np.uint8)
        if number == 3:
            print("started", flush=True)
            sys.stdin.read()
store = write_store(pathlib.Path(sys.argv[1]), "key", vocab_size=250, parts={"train": pieces()}, facts={})
print(int(store.part("train").astype(np.int64).sum()))
"""


def writer(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), "40"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_rivals_on_one_key_both_succeed(tmp_path: Path) -> None:
    rivals = [writer(tmp_path) for _ in range(3)]
    for rival in rivals:
        assert rival.stdout.readline() == "started\n"  # all are in the middle of it
    assert len(names(tmp_path)) == 3
    outputs = [rival.communicate("")[0] for rival in rivals]
    assert outputs == [f"{100_000 * sum(range(40))}\n"] * 3
    assert [rival.returncode for rival in rivals] == [0, 0, 0]
    assert names(tmp_path) == ["key.bin", "key.json"]


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    killed, living = writer(tmp_path), writer(tmp_path)
    for process in (killed, living):
        assert process.stdout.readline() == "started\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert open_store(tmp_path, "key") is None
    left = set(names(tmp_path))
    write(tmp_path)
    assert len(left - set(names(tmp_path))) == 1  # the living one's is not touched
    assert living.communicate("")[0] == f"{100_000 * sum(range(40))}\n"
    assert names(tmp_path) == ["key.bin", "key.json"]


def test_a_leftover_is_removed_while_it_is_held_so_that_no_writer_takes_it_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, unlink = tmp_path / ".1-0.charlm-tmp", Path.unlink
    held: list[Path] = []
    left.write_bytes(b"half")

    def watched(path: Path) -> None:
        with path.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held.append(path)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", watched)
    remove_leftovers(tmp_path)
    assert held == [left]
    assert not left.exists()
    left.write_bytes(b"under way")
    with left.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        remove_leftovers(tmp_path)
    assert left.exists()
