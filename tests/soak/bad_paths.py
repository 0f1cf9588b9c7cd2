"""Odd names, which must work wherever a name is asked for; and places that are no files of a user's."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import specimen
from bad_lines import PLACES, line
from counting import Asked, Count
from place import ONE_LINE, TALE, WORD, Place, attempt, chosen, made

NAMES = {
    "spaces": " a  b ",
    "unicode": "é☃😀",
    "a newline": "line\nend",
    "a leading -": "-rf",
    "--": "--",
    "markup": "[x] [bold]",
    "markup that ends": "[x",
    "255 bytes": "n" * 255,
    "255 bytes of snow": "☃" * 85,
    "not UTF-8": os.fsdecode(b"\xff\xfea"),
    "escapes": "\x1b[2J\x07\x9b6n",
    "direction": "\u202egpj.exe",
    "per cent": "%s%(x)s{}",
    "quotes": "'\"`$HOME",
    "a star": "*?",
    "a tilde": "~",
    "a backslash": "\\n",
    "a comma": "a,b",
    "a number": "-1",
    "a gz that is none": "a.gz.txt",
    "what a corpus is called": "c",
}
TOML = "hidden_size = 9\n[training]\nseed = 5\n"


@contextlib.contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """Inside, an environment variable has this value."""
    with specimen.environment({name: value}):
        yield


def paths(asked: Asked) -> Count:
    """Every odd name for a text, a run, a sweep, an output, a settings file and the folders of the environment."""
    count = Count(
        what="odd names of files, runs, outputs and folders", promise="work as any name, and are shown escaped"
    )
    with made(asked.folder) as place:
        for kind, name in chosen(NAMES.items(), asked, 2):
            _texts(count, place, kind, name, asked.quick)
            _outputs(count, place, kind, name, asked.quick)
            _settings(count, place, kind, name)
            if not asked.quick:
                _runs(count, place, kind, name)
                _folders(count, place, kind, name)
    return count


def _works(count: Count, place: Place, kind: str, words: list[str], stdin: bytes = b"") -> bytes:
    """The command must end with 0; what it wrote."""
    for ended in attempt(count, place, words, stdin=stdin):
        with count.attempt(f"{words[0]} with {kind} in a name"):
            assert ended.code == 0, ended.error
        return ended.output
    return b""


def _texts(count: Count, place: Place, kind: str, name: str, quick: bool) -> None:
    text = name if name not in NAMES["what a corpus is called"] else os.path.join(".", name)
    with _there(place, name, TALE.encode()):
        _works(count, place, kind, line("corpora check", {"text": text}))
        _works(count, place, kind, line("tokenize", {"path": name}))
        if quick:
            return
        for reader, parameter in {
            "train": "text",
            "sweep": "text",
            "eval": "text",
            "score": "files",
            "compare": "file",
        }.items():
            _works(count, place, kind, line(reader, {parameter: text}))
    with _there(place, name, WORD.encode()):
        packed = _works(count, place, kind, line("compress", {"file": name, "output": "-", "quiet": ""}))
        found = _works(count, place, kind, line("decompress", {"file": "-", "output": "-"}), stdin=packed)
        with count.attempt(f"there and back, {kind} in a name"):
            assert found == WORD.encode()


def _outputs(count: Count, place: Place, kind: str, name: str, quick: bool) -> None:
    for words in (
        line("compress", {"output": name, "quiet": ""}),
        line("decompress", {"output": name}),
        *([] if quick else [line("eval", {"surprisal": name})]),
    ):
        with count.attempt(f"{words[0]} writes to a name with {kind}"), place.open():
            _works(count, place, kind, words)
            assert os.path.getsize(os.path.join(".", name)) > 0, "nothing was written"


def _settings(count: Count, place: Place, kind: str, name: str) -> None:
    with _there(place, name, TOML.encode()):
        shown = _works(count, place, kind, line("config show", {"config_file": name}))
        with count.attempt(f"settings in a file with {kind} in its name"):
            assert b"hidden_size = 9" in shown
            assert b"\x1b" not in shown
            assert shown.count(b"\n[") == 3, "one section a line"


def _runs(count: Count, place: Place, kind: str, name: str) -> None:
    """A run of that name: made, gone on with, used, shown, listed, removed."""
    with place.open():
        _works(count, place, kind, line("train", {"run": name}))
        _works(count, place, kind, [*line("train", {"run": name, "steps": "2", "text": None}), "--resume"])
        for command in ("eval", "generate", "score", "tokenize"):
            _works(count, place, kind, line(command, {"run": name}))
        for command in ("runs show", "runs export-config"):
            _works(count, place, kind, line(command, {"named": name}))
        _works(count, place, kind, line("compare", {"one": name}))
        _works(count, place, kind, line("runs list", {"json": ""}))
        with count.attempt(f"a run with {kind} in its name is removed"):
            assert (place.specimen.runs / name).is_dir()
            _works(count, place, kind, line("runs rm", {"named": name}))
            assert not (place.specimen.runs / name).exists()
        _works(count, place, kind, line("sweep", {"folder": name}))
        _works(count, place, kind, line("sweep", {"resume": name}))
        shutil.rmtree(place.specimen.runs / name, ignore_errors=True)


def _folders(count: Count, place: Place, kind: str, name: str) -> None:
    """CHARLM_CACHE and CHARLM_CHECKPOINTS of that name."""
    with place.open(), variable("CHARLM_CACHE", name), variable("CHARLM_CHECKPOINTS", os.path.join("folder", name)):
        _works(count, place, kind, line("train", {}))
        _works(count, place, kind, line("runs list", {}))
        _works(count, place, kind, line("eval", {"run": None}))


@contextlib.contextmanager
def _there(place: Place, name: str, content: bytes) -> Iterator[None]:
    """Inside, there is such a file."""
    path = place.folder / name
    place.put(name, content)
    try:
        yield
    finally:
        path.unlink()
        place.remember()


def places(asked: Asked) -> Count:
    """Pipes and standard input are read; devices, folders and what cannot be read are refused, everywhere."""
    count = Count(what="pipes, devices, folders and what cannot be read, in the place of files", promise=ONE_LINE)
    asking = [("tokenize", "path"), ("config show", "config_file"), ("corpora check", "text"), ("compress", "file")]
    if not asked.quick:
        asking += [
            ("train", "text"),
            ("eval", "text"),
            ("score", "files"),
            ("decompress", "file"),
            ("train", "config_file"),
        ]
    with made(asked.folder) as place:
        place.put("locked", TALE.encode())
        for command, parameter in asking:
            for where in PLACES:
                attempt(count, place, line(command, {parameter: where}))
            _piped(count, place, command, parameter)
            if command in ("train", "score"):  # they ask first for what they write to
                continue
            with _nobody(place):
                for ended in attempt(count, place, line(command, {parameter: "locked"})):
                    with count.attempt(f"{command} of a file that may not be read"):
                        assert ended.code in (2, 3), f"exit {ended.code}: {ended.errors}"
                        assert "ermission" in ended.error, ended.error
    return count


def _piped(count: Count, place: Place, command: str, parameter: str) -> None:
    content = {"config_file": TOML.encode(), "file": TALE.encode()}.get(parameter, TALE.encode())
    if command == "decompress":
        content = (place.folder / "word.txt.charlm").read_bytes()
    pipe = place.folder / "pipe"
    with count.attempt(f"{command} reads a pipe"), place.open():
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True)
        writer.start()
        try:
            _works(count, place, "a pipe", line(command, {parameter: "pipe"}))
        finally:
            # where nobody reads, the writer waits to this day
            with contextlib.suppress(OSError):
                os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
            writer.join(10)


@contextlib.contextmanager
def _nobody(place: Place) -> Iterator[None]:
    """Inside, ``locked`` may not be read: root, who may read everything, is somebody else."""
    path, user = Path("locked"), os.geteuid()
    path.chmod(0)
    for folder in (place.folder, place.folder.parent):
        folder.chmod(0o755)
    place.remember()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        path.chmod(0o600)
        place.remember()
