"""Every command on terminals, in pipes and elsewhere, in every locale, with text that drives terminals.

Each command is a process of its own, as a user starts it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from counting import Asked, Count, main
from inside import PREFIX, harmless, leaves
from screens import HOSTILE, SIZE, Shown, Stage, check_terminal

MODEL = ["--hidden-size", "8", "--layers", "1", "--batch-size", "2", "--window-length", "16", "--threads", "1"]
MODEL += ["--kernels", "torch", "--evaluate-every", "2"]
RUN = ["--run", "hostile"]
NUMPY = [*RUN, "--engine", "numpy"]
TORCH = [*RUN, "--engine", "torch"]
PIECE = HOSTILE.replace("\0", "")  # no argument can hold a NUL

# A line or more for every command, and the exit code.
LINES: dict[str, list[tuple[list[str], int]]] = {
    "train": [
        (["hostile.txt", *MODEL, "--steps", "4", "--sample-every", "2", "--run", "new"], 0),
        (["hostile.txt", *MODEL, "--plan"], 0),
        ([f"{PIECE}.txt"], 3),
        (["hostile.txt", "--run", "@" + PIECE.replace("/", "-")], 2),
        (["--config", PIECE], 2),
    ],
    "sweep": [
        (["hostile.txt", *MODEL, "--trials", "2", "--steps", "4", "--range", "dropout=0,0.1", "--folder", "new"], 0),
        (["hostile.txt", "--range", PIECE], 2),
    ],
    "eval": [
        (["hostile.txt", *TORCH], 0),
        (["hostile.txt", *TORCH, "--surprisal", "-"], 0),
        (["hostile.txt", *TORCH, "--json"], 0),
        (["hostile.txt", "--protocol", PIECE], 2),
    ],
    "generate": [
        ([*NUMPY, "--length", "400", "--seed", "3", "--temperature", "1"], 0),
        ([*NUMPY, "--length", "400", "--seed", "3", "--samples", "2"], 0),
        ([*NUMPY, "--length", "200", "--seed", "3", "--json"], 0),
        ([*NUMPY, "--length", "30", "--beam", "2"], 0),
        ([*NUMPY, "--length", "30", "--seed", "3", "--prompt", "\x1b]52;c;aG8=\x07[/x]\u202e"], 0),
        ([*NUMPY, "--prompt", "\x1b[2J\x01"], 3),
        (["--run", PIECE], 4),
    ],
    "score": [(["hostile.txt", *RUN], 0), (["--lines", "hostile.txt", *RUN], 0), ([PIECE, *RUN], 3)],
    "compare": [(["hostile", "hostile", "hostile.txt"], 0), (["hostile", PIECE], 4)],
    "compress": [
        (["hostile.txt", *NUMPY, "--output", "new", "--quiet"], 0),
        (["hostile.txt", *NUMPY, "--output", PIECE[:40].replace("/", "-")], 0),
        ([PIECE, *NUMPY], 3),
    ],
    "decompress": [(["packed", *NUMPY, "--output", "-"], 0), (["hostile.txt", *NUMPY, "--output", "new"], 3)],
    "corpora list": [([], 0)],
    "corpora get": [([PIECE], 3)],
    "corpora show": [(["shakespeare"], 0), ([PIECE], 3)],
    "corpora check": [(["hostile.txt"], 0), (["hostile.txt", "--json"], 0), (["hostile.txt", "--encoding", PIECE], 2)],
    "tokenize": [
        (["\x1b]52;c;x\x07[/x]\u202e", *RUN], 0),
        (["--file", "hostile.txt", *RUN, "--json"], 0),
        ([PIECE], 0),
    ],
    "runs list": [([], 0), (["--json"], 0)],
    "runs show": [(["hostile"], 0), ([PIECE], 4)],
    "runs rm": [([PIECE, "--yes"], 4)],
    "runs export-config": [(["hostile"], 0), ([PIECE], 4)],
    "config show": [(["--boundary", PIECE], 0), (["--boundary", PIECE, "--json"], 0), (["--cell", PIECE], 2)],
    "completion": [(["bash"], 0), ([PIECE], 2)],
}
# Figures of time and speed are in it.
VARYING = ("sweep", "train")
SETTINGS: dict[str, dict[str, str]] = {
    "as usual": {},
    "C": {"LC_ALL": "C"},
    "C, PYTHONUTF8=0": {"LC_ALL": "C", "PYTHONUTF8": "0"},
    "Latin-1": {"LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0"},
    "PYTHONIOENCODING=ascii": {"PYTHONIOENCODING": "ascii"},
    "PYTHONIOENCODING=utf-16": {"PYTHONIOENCODING": "utf-16"},
    "TERM=dumb": {"TERM": "dumb"},
    "no TERM": {"TERM": ""},
    "NO_COLOR": {"NO_COLOR": "1"},
    "FORCE_COLOR": {"FORCE_COLOR": "1"},
    "COLUMNS=nonsense": {"COLUMNS": "-1", "LINES": "x"},
}
SIZES = {"20 columns": (24, 20), "1 column": (24, 1), "no size": (0, 0), "2 rows": (2, 80)}

Line = tuple[list[str], int]


def lines() -> list[Line]:
    """All of them, each with its exit code."""
    return [([*name.split(), *words], code) for name, several in LINES.items() for words, code in several]


def quick_lines() -> list[Line]:
    """One that writes what the model says, and one that is refused."""
    return [(["generate", *LINES["generate"][0][0]], 0), (["generate", "--run", PIECE], 4)]


def screens(asked: Asked) -> Count:
    """On a terminal."""
    count = Count(
        what="every command on a terminal, in every locale and size",
        promise="no byte drives the terminal but charlm's own colours and cursor",
    )
    with count.attempt("every command is tried"):
        assert LINES.keys() == dict(leaves()).keys()
    stage = Stage(asked.folder)
    cases = [(name, setting, SIZE) for name, setting in SETTINGS.items()]
    cases += [(name, {}, size) for name, size in SIZES.items()]
    for words, code in quick_lines() if asked.quick else lines():
        for name, setting, size in cases[:1] if asked.quick else cases:
            with _attempt(count, stage, words, f"on a terminal, {name}"):
                shown = stage.on_terminal(words, setting, size)
                left = check_terminal(shown.output, setting)
                _ended(shown.code, code, left)
    return count


def pipes(asked: Asked) -> Count:
    """In pipes and files."""
    count = Count(
        what="every command in pipes and files, in every locale",
        promise="the same UTF-8 bytes, exact; progress and bars never; errors one line",
    )
    stage = Stage(asked.folder)
    _exact(count, stage)
    for words, code in quick_lines()[1:] if asked.quick else lines():
        usual: list[Shown] = []
        for name, setting in [*SETTINGS.items()][2:3] if asked.quick else SETTINGS.items():
            with _attempt(count, stage, words, f"in pipes, {name}"):
                shown = stage.in_pipes(words, setting)
                _ended(shown.code, code, shown.errors.decode("utf-8"))
                assert shown.output.isascii() or "packed" in words or shown.output.decode("utf-8")
                assert "\u2501" not in shown.errors.decode("utf-8"), "a bar in a pipe"
                if words[0] not in VARYING:
                    usual.append(shown)
                    assert shown.output == usual[0].output, "other bytes than in the usual locale"
                    assert shown.errors == usual[0].errors, "other words than in the usual locale"
        if usual and words[0] not in VARYING and not asked.quick:
            with _attempt(count, stage, words, "into a file"), (asked.folder / "kept").open("w+b") as file:
                stage.in_pipes(words, {}, stdout=file)
                file.seek(0)
                assert file.read() == usual[0].output
    return count


def _exact(count: Count, stage: Stage) -> None:
    """What a pipe gets is what the model said."""
    from charlm.api import load

    settings = {"length": 400, "seed": 3, "temperature": 1.0, "engine": "numpy"}
    text = load(stage.folder / "checkpoints" / "hostile").generate(**settings)
    words = ["generate", *LINES["generate"][0][0]]
    with _attempt(count, stage, words, "exact"):
        assert "\x1b" in text
        assert stage.in_pipes(words, {}).output == text.encode("utf-8")


def ends(asked: Asked) -> Count:
    """Streams that are closed, full, or read by nobody."""
    count = Count(
        what="every command with a stream closed, on /dev/full, or with a reader that goes away",
        promise="silence and 141, or 5 and one line; nothing lost",
    )
    stage = Stage(asked.folder)
    for words, code in quick_lines()[:1] if asked.quick else lines():
        usual = stage.in_pipes(words, {})
        stage.kept.tidied()
        for name, (streams, closed) in [*WAYS.items()][:1] if asked.quick else WAYS.items():
            with _attempt(count, stage, words, name), open("/dev/full", "wb") as full:
                given = dict.fromkeys(streams, full)
                shut = [("stdin", "stdout", "stderr").index(stream) for stream in closed]
                shown = stage.in_pipes(words, {}, **given, preexec_fn=lambda shut=shut: [os.close(one) for one in shut])
                _end_of(shown, usual, code, name)
        for many in () if asked.quick else (0, 1):
            with _attempt(count, stage, words, f"into head -{many}"):
                shown = stage.with_reader(words, many)
                # what is short has been written before anybody can go away
                assert shown.code in (code, 141)
                assert shown.code == 141 or many or not usual.output
                assert PREFIX.encode() not in shown.errors or code, shown.errors
    return count


# Streams on /dev/full, and streams that are closed before the command starts.
WAYS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "standard output full": (["stdout"], []),
    "standard error full": (["stderr"], []),
    "both full": (["stdout", "stderr"], []),
    "standard input closed": ([], ["stdin"]),
    "standard output closed": ([], ["stdout"]),
    "standard error closed": ([], ["stderr"]),
    "all closed": ([], ["stdin", "stdout", "stderr"]),
}


def _end_of(shown: Shown, usual: Shown, code: int, name: str) -> None:
    """What a command must end with whose streams are as `name` says."""
    speaks = bool(usual.output)
    if name in ("standard output full", "both full"):
        assert shown.code == (code or 5 * speaks), shown
    elif name in ("standard output closed", "all closed"):
        assert shown.code == (code or 141 * speaks), shown
        assert code or PREFIX.encode() not in shown.errors, shown.errors
    else:
        assert shown.code == code, shown
    if name == "standard output full" and speaks:
        assert shown.errors.count(PREFIX.encode()) == 1, shown.errors
    assert b"Traceback" not in shown.errors
    assert harmless(shown.errors.decode("utf-8"))


def _ended(found: int, code: int, text: str) -> None:
    assert found == code, f"exit {found}, not {code}: {text[-300:]}"
    assert "Traceback" not in text, text
    assert text.count(PREFIX) == (code != 0), text[-300:]
    assert harmless(text), ascii(text)[-300:]


@contextlib.contextmanager
def _attempt(count: Count, stage: Stage, words: Sequence[str], where: str) -> Iterator[None]:
    """An attempt after which all is there that was there before."""
    with count.attempt(f"charlm {' '.join(ascii(word)[1:40] for word in words)}, {where}"):
        try:
            yield
        finally:
            stage.kept.tidied()


PARTS = {"screens": screens, "pipes": pipes, "ends": ends}

if __name__ == "__main__":
    sys.exit(main("terminals", PARTS, __doc__))
