"""Privacy: every command with every socket refused: no network, no other program, no file where none belongs.

Python tells a hook of sockets and programs; strace, but for ``--quick``, sees what libraries do behind its back, and
every file that is written. Only where a named corpus is fetched is a socket asked for: that this is seen shows that the
others would be.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import counting
from counting import Asked, Count
from measured import AT_ONCE, CHECKOUT, TINY, Place
from sizes import sentences

from charlm.cli import entry
from charlm.cli.command import Group

# What opens, makes, names, moves or removes a file; ? is for what only some processors have.
WRITES = (
    "?open", "openat", "?creat", "truncate", "?mkdir", "mkdirat", "?rename", "renameat", "renameat2", "?link", "linkat",
    "?symlink", "symlinkat", "?unlink", "unlinkat", "?rmdir", "?mknod", "mknodat", "?chmod", "fchmodat",
)  # fmt: skip
FILES = {call.lstrip("?") for call in WRITES}
CALL = re.compile(r"^(?:\d+ +)?(?P<name>\w+)\((?P<rest>.*)$")
PLACE = re.compile(r'(?:(?:\d+|AT_FDCWD)<(?P<folder>[^>]*)>, )?"(?P<name>(?:[^"\\]|\\.)*)"')
WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)")
# Written to by anybody, and kept by nobody.
NOWHERE = ("/dev/null", "/dev/tty", "/dev/shm/", "/proc/self/", "/proc/thread-self/")
# Commands that one line of words can try; {run} is one that is there.
COMMANDS = {
    "train": (("train", "text.txt", *TINY, "--steps", "4", "--run", "new"), ("train", "text.txt", *TINY, "--plan")),
    "sweep": (("sweep", "text.txt", *TINY, "--steps", "4", "--trials", "2", "--range", "learning_rate=1e-3..1e-2"),),
    "eval": (("eval",), ("eval", "text.txt", "--engine", "torch"), ("eval", "--dynamic", "--cache", "--mix", "ngram")),
    "generate": (
        ("generate", "--length", "50"),
        ("generate", "--length", "20", "--engine", "torch", "--max-copy", "9"),
    ),
    "score": (("score", "text.txt", "other.txt"),),
    "compare": (("compare", "tiny", "again"),),
    "compress": (("compress", "text.txt", "--output", "out/packed.charlm"),),
    "decompress": (("decompress", "out/packed.charlm", "--output", "out/text.txt"),),
    "corpora list": (("corpora", "list"),),
    "corpora get": (),  # see `fetching`
    "corpora show": (("corpora", "show", "shakespeare"),),
    "corpora check": (("corpora", "check", "text.txt"),),
    "tokenize": (("tokenize", "some words"), ("tokenize", "--file", "text.txt")),
    "runs list": (("runs", "list"),),
    "runs show": (("runs", "show"),),
    "runs rm": (("runs", "rm", "new", "--yes"),),
    "runs export-config": (("runs", "export-config"),),
    "config show": (("config", "show"),),
    "completion": (("completion", "bash"),),
}
RUN = """
import json, os, sys
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty")
log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
def refuse(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname" or event in STARTS:
        os.write(log, f"{event} {arguments!r}\\n".encode())
        raise PermissionError(event)
sys.addaudithook(refuse)
if sys.argv[1] == "torch":
    import torch
    sys.exit()
from charlm.cli import entry
sys.exit(max(map(entry.run, json.loads(sys.argv[1]))))
"""
# What of a call is the same each time: its name and the first thing it is given.
ASKED = re.compile(r"^\W*(?P<call>[\w.]+)?.*?[\"'](?P<what>[^\"']*)")


class Watched(Place):
    """A place where every command is refused every socket, and seen to ask for one.

    Args:
        strace: whether that watches too.
    """

    def __init__(self, folder: Path, *, strace: bool) -> None:
        super().__init__(folder)
        self.strace = strace
        for name in ("home", "tmp", "out", "corpora"):
            (folder / name).mkdir()
        self.environment |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
        # machine code made by an earlier part would not be written again
        self.environment |= {"PYTHONDONTWRITEBYTECODE": "1", "CHARLM_CORPORA": str(folder / "corpora")}
        self.log, self.told = folder / "calls", folder / "told"
        self.wanted = [self.told, *(folder / name for name in ("runs", "cache", "out"))]
        self.wanted.append(Path(self.environment["NUMBA_CACHE_DIR"]))
        self._of_torch: set[str] = set()
        # a CUDA build of torch looks for libraries when it is imported, with ldconfig and a compiler
        self._run("torch")
        self._of_torch = set(map(_kind, self.network()))

    def session(self, *commands: tuple[str, ...]) -> tuple[int, str]:
        """Run some commands in one process: the highest exit code, and what went to standard error."""
        return self._run(json.dumps(commands))

    def _run(self, what: str) -> tuple[int, str]:
        command = [sys.executable, "-c", RUN, what, str(self.told)]
        if self.strace:
            calls = ("-e", f"trace=%network,execve,?execveat,{','.join(WRITES)}", "-e", "inject=socket:error=EACCES")
            command = ["strace", "-f", "-y", "-qq", "--seccomp-bpf", *calls, "-o", str(self.log), *command]
        self.log.write_text("")
        ended = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True)
        return ended.returncode, ended.stderr.decode("utf-8", "replace")

    def calls(self) -> Iterator[tuple[str, str]]:
        """Each system call of the last session: its name, and all behind it."""
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            found = CALL.match(line)
            if found:
                yield found["name"], found["rest"]

    def network(self) -> list[str]:
        """What asked for a socket, or for anything to be done with one; and other programs that were started, but for
        those that an import of torch starts by itself."""
        calls = [f"{name}({rest}" for name, rest in self.calls() if name not in FILES]
        first = next((place for place, call in enumerate(calls) if call.startswith("execve(")), None)
        if first is not None:  # the command itself
            del calls[first]
        found = [*self.told.read_text().splitlines(), *calls]
        return [one for one in found if _kind(one) not in self._of_torch]

    def elsewhere(self) -> list[str]:
        """Files that were opened for writing, made, moved or removed where none belongs, or lie there now."""
        found = [str(path) for name in ("home", "tmp") for path in (self.folder / name).rglob("*")]
        for name, rest in self.calls():
            if name not in FILES or (name.startswith("open") and not WRITING.search(rest)):
                continue
            for place in PLACE.finditer(rest):
                path = os.path.normpath(os.path.join(place["folder"] or self.folder, place["name"]))
                if not path.startswith(NOWHERE) and not any(Path(path).is_relative_to(one) for one in self.wanted):
                    found.append(f"{name}({rest}")
        return found


def _kind(call: str) -> str:
    """The same for two calls that ask for the same, such as a compiler with another temporary file."""
    found = ASKED.match(call)
    return call if found is None else f"{found['call']} {found['what']}"


def leaves(found: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that is no group, by its words."""
    if not isinstance(found, Group):
        yield " ".join(path)
        return
    for name in found.table:
        command = found.get_command(click.Context(found), name)
        assert command is not None
        yield from leaves(command, (*path, name))


def prepared(folder: Path, *, strace: bool) -> Watched:
    """A place with two texts, and two recipes whose texts are not there."""
    place = Watched(folder, strace=strace)
    place.write("text.txt", sentences(12_000 if strace else 2_000, 0))
    place.write("other.txt", sentences(3_000, 1))
    for name in ("shakespeare", "c"):
        shutil.copytree(CHECKOUT / "corpora" / name, folder / "corpora" / name, ignore=shutil.ignore_patterns("text"))
    return place


def silent(asked: Asked) -> Count:
    """Every command but one."""
    count = Count(
        what="commands, with every socket refused", promise="none asks for one, starts a program, writes elsewhere"
    )
    place = prepared(asked.folder, strace=not asked.quick)
    assert set(leaves(entry.charlm())) == set(COMMANDS), "a command is missing here"
    train = [("train", "text.txt", *TINY, "--steps", "2", "--run", name) for name in ("again", "tiny")]
    sessions = [tuple(train[:1]), tuple(train[1:]), *((words,) for some in COMMANDS.values() for words in some)]
    if asked.quick:
        sessions = [((*train[1], *AT_ONCE), ("eval", "--engine", "torch"), ("generate", "--engine", "numpy"))]
    for commands in sessions:
        with count.attempt(" ".join(commands[-1])):
            code, errors = place.session(*commands)
            assert code == 0, errors[-500:]
            assert not place.network(), place.network()[:3]
            assert not place.elsewhere(), place.elsewhere()[:3]
    return count


def fetching(asked: Asked) -> Count:
    """What fetches a named corpus asks for a socket, says so, and leaves nothing where it is refused."""
    count = Count(what="commands that fetch", promise="they ask for a socket, end with 3 and one line, leave nothing")
    place = prepared(asked.folder, strace=not asked.quick)
    fetch = [
        ("corpora", "get", "shakespeare"),
        ("train", "shakespeare", *TINY, "--steps", "2"),
        ("corpora", "get", "c"),
        ("sweep", "shakespeare", *TINY, "--steps", "2", "--range", "dropout=0,0.1"),
    ]
    for command in fetch[: asked.of(4, 1)]:
        with count.attempt(" ".join(command)):
            code, errors = place.session(command)
            assert code == 3, errors[-500:]
            assert place.network(), "nothing was seen: nor would it be elsewhere"
            assert errors.count("charlm: error:") == 1, errors
            assert not list((place.folder / "corpora").rglob("*.txt"))
    return count


PARTS = {"silent": silent, "fetching": fetching}

if __name__ == "__main__":
    sys.exit(counting.main("supply", PARTS, __doc__))
