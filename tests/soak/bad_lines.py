"""Command lines with one thing wrong: a line that works for every command, and values that no one means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import click
from inside import leaves

from charlm.cli.options import SettingType

COMMANDS: dict[str, click.Command] = dict(leaves())

# A model that trains in no time; the run is the specimen's.
TINY = {
    "hidden_size": "8",
    "layers": "1",
    "batch_size": "2",
    "window_length": "8",
    "dropout": "0",
    "threads": "1",
    "kernels": "torch",
}
NUMPY = {"run": "poem", "engine": "numpy"}

# A line that works for each command, by parameter. A new command needs a row: a test says so.
GOOD: dict[str, dict[str, str]] = {
    "train": {"text": "tale.txt", "run": "new", "steps": "1", **TINY},
    "sweep": {"text": "tale.txt", "folder": "new", "ranges": "learning_rate=1e-3,1e-2", "trials": "2", "steps": "4"}
    | TINY,
    "eval": {"text": "tale.txt", "run": "poem", "engine": "torch"},
    "generate": {"length": "20", "seed": "1", **NUMPY},
    "score": {"files": "tale.txt", "run": "poem"},
    "compare": {"one": "poem", "other": "poem", "file": "tale.txt"},
    "compress": {"file": "word.txt", "output": "new", **NUMPY},
    "decompress": {"file": "word.txt.charlm", "output": "new", **NUMPY},
    "corpora list": {},
    "corpora get": {"name": "absent"},
    "corpora show": {"name": "shakespeare"},
    "corpora check": {"text": "tale.txt"},
    "tokenize": {"text": "a cat", "run": "poem"},
    "runs list": {},
    "runs show": {"named": "poem"},
    "runs rm": {"named": "absent", "yes": ""},
    "runs export-config": {"named": "poem"},
    "config show": {},
    "completion": {"shell": "bash"},
}
# What says the same in another way goes with a parameter, or the line would be refused for that alone.
INSTEAD: dict[tuple[str, str], Iterable[str]] = {
    ("tokenize", "path"): ("text",),
    ("tokenize", "tokenizer"): ("run",),
    ("sweep", "resume"): GOOD["sweep"],
    **{(f"runs {name}", "run"): ("named",) for name in ("show", "rm", "export-config")},
}

NEVER_A_NUMBER = (
    "",
    " ",
    "x",
    "nan",
    "inf",
    "-inf",
    "-1",
    "1e400",
    "--",
    "1,5",
    "9" * 5000,
    "[/x]",
    "\x1b[2J",
    "\udcff",
)
NEVER_WHOLE = (*NEVER_A_NUMBER, str(2**70), "0.5", "1e3", "0x10")

# Paths that are no files of a user's.
PLACES = ("/dev/null", "/dev/stdin", "/dev/full", "/dev/zero", "/proc/self/mem", "/", ".", "..", "folder", "loop", "-")
# Anything that can be typed where a name, a text or a pattern is expected.
WORDS = (
    *(
        "",
        " ",
        "x",
        "a b",
        "é☃😀",
        "a\nb",
        "-rf",
        "--",
        "[/x]",
        "[bold]",
        ":smile:",
        "\x1b]52;c;eA==\x07",
        "\x9b6n",
        "\u202e",
    ),
    *(
        "n" * 255,
        "n" * 256,
        "long " * 20_000,
        "\udcff\udcfe",
        "\ud800",
        "~",
        "*",
        "%s{}",
        "'\"",
        "{",
        "[",
        "\\",
        "=",
        ",",
    ),
    *("@", "@1", "poem@", "poem@x", "poem@-1", "poem@" + "9" * 30, "poem/../poem", "learning_rate", "learning_rate="),
    *("layers=1..2..3", "layers=..", "layers=" + "9" * 5000, "a" * 50 + "=" * 50, "bpe:", "bpe:0", "bpe:-1", "bpe:1e9"),
    *("unigram:" + "9" * 5000, "90/5", "90/5/5/5", "100/-1", "0/0/0", "1e400/1", "nan/1", "windows:", "windows:0"),
    *("windows:" + "9" * 30, "utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf-8-sig", "hex"),
    *("shakespeare", "https://localhost/x", "tale.txt", "word.txt.charlm", "poem"),
)
VALUES = tuple(dict.fromkeys((*NEVER_WHOLE, "0", "1", *PLACES, *WORDS)))


def options(command: click.Command) -> list[click.Parameter]:
    """The parameters that take a value."""
    return [one for one in command.params if not (isinstance(one, click.Option) and one.is_flag)]


def flags(command: click.Command) -> list[str]:
    """Names of the options that take none."""
    return [one.name for one in command.params if isinstance(one, click.Option) and one.is_flag and one.name]


def kind_of_number(parameter: click.Parameter) -> type | None:
    """int or float where the parameter is one; None for all others."""
    if isinstance(parameter.type, SettingType):
        found = parameter.type.setting.type
        return found if found in (int, float) else None
    kinds = {click.types.IntParamType: int, click.types.FloatParamType: float}
    return next((kind for known, kind in kinds.items() if isinstance(parameter.type, known)), None)


def word_of(parameter: click.Parameter) -> str:
    """How it is called on a command line."""
    return max(parameter.opts, key=len) if isinstance(parameter, click.Option) else parameter.name or ""


def line(name: str, changes: Mapping[str, str | None]) -> list[str]:
    """The words of command `name`: what works for it, with `changes` in it; None leaves a parameter out."""
    values: dict[str, str | None] = {**GOOD[name]}
    for changed in changes:
        values |= dict.fromkeys(INSTEAD.get((name, changed), ()), None)
    values |= changes
    words, arguments = name.split(), []
    for parameter in COMMANDS[name].params:
        value = values.get(parameter.name or "")
        if value is None:
            continue
        if not isinstance(parameter, click.Option):
            arguments.append(value)
        elif parameter.is_flag:
            words.append(word_of(parameter))
        else:
            words.append(f"{word_of(parameter)}={value}")
    return [*words, "--", *arguments] if arguments else words
