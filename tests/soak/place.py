"""A place to work in: a folder with a run, texts and odd things beside them; and whether all of it is still there."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import specimen
from counting import Asked, Count
from inside import Ended, charlm, hold
from started import CHECKOUT

from charlm.config.folders import cache_folder

T = TypeVar("T")

# Bytes of addresses. What a command could ask for beyond it would take the machine down with it.
MEMORY = 10 << 30
ONE_LINE = "an exit code that is documented, one line that says why, no traceback, nothing lost, nothing left behind"
TALE = specimen.text(600, seed=1)
# To be compressed, which takes a while where nothing is compiled for it.
WORD = "the cat sat on a mat\n"


class Kept:
    """What lies in a folder, and whether it is still there as it was.

    Attributes:
        folder: which one.
        beside: the name of a folder in it that may change: what is in there can be made again.
    """

    def __init__(self, folder: Path, beside: str) -> None:
        self.folder = folder
        self.beside = beside
        self._watched = True
        self.remember()

    def remember(self) -> None:
        """From now on what is here has to stay as it is."""
        self._found = self._look()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Inside, what is made stays; afterwards it is taken away, and what was there must be as it was."""
        self._watched = False
        try:
            yield
        finally:
            self._watched = True
            self.tidied()

    def tidied(self) -> list[str]:
        """Take away what is new, and return its names; raises where something is gone or changed."""
        if not self._watched:
            return []
        for thread in threading.enumerate():
            if thread.name == "charlm-baselines":  # goes on writing into the cache when its training has ended
                thread.join()
        now = self._look()
        lost = [path for path, facts in self._found.items() if now.get(path) != facts]
        new = sorted(set(now) - set(self._found), key=len, reverse=True)
        for path in new:
            os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        assert not lost, f"gone or changed: {lost}"
        return new

    def _look(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for place, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if name != self.beside]
            for name in (*folders, *names):
                path = os.path.join(place, name)
                one = os.lstat(path)
                found[path] = (one.st_mode,) if name in folders else (one.st_mode, one.st_size, one.st_mtime_ns)
        return found


class Place(Kept):
    """The working folder while in `made`.

    Attributes:
        specimen: the run ``poem``, its text and cache.
    """

    def __init__(self, made: specimen.Specimen) -> None:
        self.specimen = made
        super().__init__(made.folder, made.cache.name)

    def put(self, name: str, content: bytes) -> None:
        """Write a file, which has to stay as it is from now on."""
        (self.folder / name).write_bytes(content)
        self.remember()

    def start(self, words: Sequence[str], **streams: Any) -> subprocess.Popen[bytes]:
        """A process of its own, started and left running; both streams are pipes where `streams` says nothing else."""
        usual = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-m", "charlm", *words]
        return subprocess.Popen(command, cwd=self.folder, env=os.environ | {"PYTHONPATH": CHECKOUT}, **usual | streams)

    def leftovers(self) -> list[str]:
        """What lies in the cache under a name that is for a while only."""
        return [str(path) for path in self.specimen.cache.rglob("*tmp*")]


@contextlib.contextmanager
def made(folder: Path) -> Iterator[Place]:
    """A place in `folder`, which is the working folder while in here; nothing is heard of outer settings.

    Machine code is kept where it always is: what is tried here is not the compiler.
    """
    before, where, memory = dict(os.environ), Path.cwd(), resource.getrlimit(resource.RLIMIT_AS)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / "compiled"))
    for name in [name for name in os.environ if name.startswith("CHARLM_")]:
        del os.environ[name]
    one = specimen.make(folder / "place", steps=(specimen.BEST,), characters=2_000)
    os.environ |= {"CHARLM_CACHE": str(one.cache), "CHARLM_CHECKPOINTS": str(one.runs)}
    os.chdir(one.folder)
    _furnish(one.folder)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, memory[1]))
    try:
        yield Place(one)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, memory)
        os.chdir(where)
        os.environ.clear()
        os.environ.update(before)


def _furnish(folder: Path) -> None:
    (folder / "tale.txt").write_text(TALE, encoding="utf-8")
    (folder / "word.txt").write_text(WORD, encoding="utf-8")
    (folder / "folder").mkdir()
    (folder / "folder" / "a.txt").write_text(TALE, encoding="utf-8")
    (folder / "loop").symlink_to("loop")
    packed = charlm("compress", "word.txt", "--run", "poem", "--engine", "numpy", "--quiet", limit=60)
    assert packed.code == 0, packed.errors


def attempt(count: Count, place: Place, words: list[str], endless: bool = False, stdin: bytes = b"") -> list[Ended]:
    """Run a command, which may be refused or do what it is told; what is promised of both is checked.

    Returns how it ended, in a list that is empty where the attempt failed.
    """
    with count.attempt(" ".join(["charlm", *(ascii(word)[:60] for word in words)])):
        ended = charlm(*words, stdin=stdin)
        try:
            hold(ended, endless)
            if "--json" in words and ended.code == 0 and not ended.interrupted:
                strict(ended.output)
        finally:
            new = place.tidied()
        assert not new or ended.code in (0, 130), f"left behind: {new}"
        return [ended]
    return []


def strict(output: bytes) -> None:
    """Every line must be JSON of a strict kind, without NaN and infinities."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in JSON")

    for text in output.decode("utf-8").splitlines():
        json.loads(text, parse_constant=refuse)


def chosen(all_of_them: Iterable[T], asked: Asked, few: int) -> list[T]:
    """All, or a few at random."""
    found = list(all_of_them)
    return random.Random(asked.seed).sample(found, few) if asked.quick else found
