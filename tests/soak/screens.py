"""The installed command with its streams on a terminal, a pipe or anything else, and a model that writes what harms."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from inside import harmless
from place import Kept
from specimen import environment
from started import CHECKOUT, TOO_LONG

from charlm.config import Config, CorpusConfig, ModelConfig, TokenizerConfig
from charlm.config.shapes import parameter_shapes
from charlm.runs import create_run, prepare

# CSI, OSC 52 (clipboard) and 8 (links), a report (CSI 6n), C1, bell, CR, marks of direction, markup, codes of emoji.
HOSTILE = (
    "\x1b[2J\x1b]52;c;aGVsbG8=\x07\x1b]8;;http://x\x1b\\\x1b[6n\x9b31m\x9d0;t\x9c\x90q\r\b\0\x7f\u202e\u2066x\u2069"
    "\u200f\u2028\u2029\ufeff[/x][bold]a[i]:smile:\té☃😀\n"
)
# What charlm itself may write to a terminal: colours, the cursor off and on, up, erasing, to the start of the line.
OURS = re.compile(r"\x1b\[(?:(?:0|1|2|7|3[0-7]);?)*m|\x1b\[\?25[lh]|\x1b\[[0-9]{0,3}A|\x1b\[[02]?K|\r")
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*3[0-7](?:;[0-9]+)*m")
SIZE = (24, 80)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A command that has ended. `errors` is empty on a terminal, where both streams are one."""

    code: int
    output: bytes
    errors: bytes = b""


class Stage:
    """A working folder with the run ``hostile`` and the text ``hostile.txt``, and the environment of a user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ours = ("CHARLM_", "NO_COLOR", "FORCE_COLOR", "LC_", "LANG", "PYTHONUTF8", "PYTHONIOENCODING", "COLUMNS")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environment |= {"TERM": "xterm-256color", "PYTHONPATH": CHECKOUT, "CHARLM_CACHE": str(folder / "cache")}
        (folder / "hostile.txt").write_text(HOSTILE * 20, encoding="utf-8", newline="")
        self._make_run()
        packed = ["compress", "hostile.txt", "--run", "hostile", "--engine", "numpy", "--output", "packed", "--quiet"]
        # what is compiled on first use, and said then, is compiled here
        for words in (packed, ["score", "hostile.txt", "--run", "hostile"]):
            assert self.in_pipes(words, {}).code == 0
        self.kept = Kept(folder, "cache")

    def _make_run(self) -> None:
        """To its model all symbols are equally likely."""
        corpus = CorpusConfig(corpus=(str(self.folder / "hostile.txt"),))
        config = Config(
            corpus=corpus, tokenizer=TokenizerConfig(unknown="error"), model=ModelConfig(hidden_size=8, layers=1)
        )
        with environment({"CHARLM_CACHE": str(self.folder / "cache")}):
            data = prepare(config.corpus, config.tokenizer)
        size = data.tokenizer.vocab_size
        facts = {"corpus": data.facts, "corpus_name": data.corpus_name, "vocab_size": size}
        run = create_run(
            self.folder / "checkpoints" / "hostile",
            config=config,
            facts=facts,
            tokenizer=data.tokenizer,
            clock=lambda: 1e9,
        )
        shapes = parameter_shapes(config.model, size)
        weights = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
        run.save(1, weights=weights, training={}, progress={}, best=True, keep=1)

    def _start(self, words: Sequence[str], setting: Mapping[str, str], **streams: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "charlm", *words]
        kept = {name: value for name, value in (self.environment | setting).items() if value}
        return subprocess.Popen(command, env=kept, cwd=self.folder, **{"stdin": subprocess.DEVNULL, **streams})

    def on_terminal(self, words: Sequence[str], setting: Mapping[str, str], size: tuple[int, int] = SIZE) -> Shown:
        """All three streams on one terminal of so many rows and columns."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        process = self._start(words, setting, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        output = b""
        while block := _read(ours):
            output += block
        os.close(ours)
        return Shown(code=process.wait(TOO_LONG), output=output)

    def in_pipes(self, words: Sequence[str], setting: Mapping[str, str], **streams: Any) -> Shown:
        """Both streams in pipes of their own, or where `streams` says."""
        usual = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = self._start(words, setting, **{**usual, **streams})
        output, errors = process.communicate(timeout=TOO_LONG)
        return Shown(code=process.returncode, output=output or b"", errors=errors or b"")

    def with_reader(self, words: Sequence[str], lines: int) -> Shown:
        """Standard output in a pipe whose reader goes away after so many lines."""
        reader, writer = os.pipe()
        process = self._start(words, {}, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        with open(reader, "rb") as file:
            read = b"".join(file.readline() for _ in range(lines))
        _, errors = process.communicate(timeout=TOO_LONG)
        return Shown(code=process.returncode, output=read, errors=errors)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the last writer has gone
        return b""


def check_terminal(output: bytes, setting: Mapping[str, str]) -> str:
    """What a terminal was sent, without what charlm itself may send; raises where there is anything else."""
    text = output.decode("utf-8")
    dull = setting.get("TERM", "xterm") in ("", "dumb", "unknown")
    assert not (dull and "\x1b" in text), f"a simple terminal was sent {ascii(text)[:200]}"
    if setting.get("NO_COLOR"):
        assert not COLOUR.search(text), f"a colour although there is NO_COLOR: {COLOUR.search(text)!a}"
    left = OURS.sub("", text)
    assert harmless(left), f"not ours: {ascii([one for one in left if not harmless(one)])[:200]}"
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor is gone"
    return left
