"""``charlm tokenize``: a text as a model sees it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from charlm.cli import console
from charlm.cli.command import Command, Option
from charlm.cli.escape import escape_line
from charlm.cli.options import given, json_option, run_option, setting_options
from charlm.config import CorpusConfig, TokenizerConfig, flag_of, settings_of
from charlm.errors import ConfigError
from charlm.plurals import counted

if TYPE_CHECKING:
    from charlm.tokenizers import Tokenizer

# How the text of --file is read.
READING = tuple(name for name in settings_of(CorpusConfig) if name not in ("corpus", "split"))
EXAMPLES = (
    ('charlm tokenize "To be, or not to be"', "with the latest run's tokenizer"),
    ('charlm tokenize --ids --run mine "café"', "as ids"),
    ("charlm tokenize --tokenizer byte 'naïve'", "without a run"),
    ("charlm tokenize --tokenizer bpe:500 --file notes.txt --json", "learn one from a text, and show it"),
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("text", required=False)
@click.option(
    "--file",
    "path",
    cls=Option,
    group="common",
    metavar="FILE",
    help="take the text from a file or folder, as charlm train reads it; - for standard input",
)
@run_option("whose tokenizer to use [the latest run]", group="common")
@click.option("--ids", cls=Option, group="common", is_flag=True, help="print ids, not pieces")
@setting_options(
    TokenizerConfig,
    "tokenizer",
    "unknown",
    "min_count",
    usual={"tokenizer": "a run's", "unknown": "the tokenizer's own"},
)
@setting_options(CorpusConfig, *READING)
@json_option("{tokenizer, vocab_size, ids, pieces} in JSON")
def tokenize(text: str | None, path: str | None, run: str | None, ids: bool, json: bool, **settings: Any) -> None:
    """Show TEXT as the pieces or ids that a model sees; without TEXT, standard input."""
    from charlm.runs.data import refuse_bytes
    from charlm.tokenizers import train_tokenizer

    flags = given(settings)
    reading = {name: flags.pop(name) for name in READING if name in flags}
    if path is not None and text is not None:
        raise ConfigError("give a TEXT or --file, not both")
    if path is None and reading:
        raise ConfigError(f"{flag_of(min(reading))} goes with --file: how it is read")
    chosen = _chosen(run, flags)
    refuse_bytes(CorpusConfig(**reading), chosen)
    content = _content(text, path, reading)
    tokenizer = train_tokenizer(chosen, [content]) if isinstance(chosen, TokenizerConfig) else chosen
    found = tokenizer.encode(content, flags.get("unknown"))
    if json:
        pieces = tokenizer.pieces(found)
        facts = {"tokenizer": tokenizer.name, "vocab_size": tokenizer.vocab_size}
        console.print_json({**facts, "ids": found.tolist(), "pieces": pieces})
    elif ids:
        console.print_line(" ".join(map(str, found.tolist())))
    else:
        console.print_line(" ".join(_shown(piece) for piece in tokenizer.pieces(found)))
    if not json:
        rarest = tokenizer.min_count
        rare = f", characters that occur fewer than {rarest:,} times as bytes" if rarest > 1 else ""
        count = f"{counted(len(content), 'character')}, {counted(len(found), 'id')}"
        console.note(f"{count}, {tokenizer.name} of {tokenizer.vocab_size:,}{rare}")


def _content(text: str | None, path: str | None, reading: dict[str, Any]) -> str:
    from charlm.corpora import open_corpus

    if path is not None:
        # a file goes before a named corpus of that name
        is_file = path != "-" and os.sep not in path and os.path.exists(path)
        named = os.path.join(os.curdir, path) if is_file else path
        corpus = open_corpus(CorpusConfig(corpus=(named,), **reading))
        for notice in corpus.notices:
            console.note(notice)
        return "".join(corpus.chunks("all"))
    return console.read_standard_input() if text in (None, "-") else str(text)


def _chosen(run: str | None, flags: dict[str, Any]) -> TokenizerConfig | Tokenizer:
    """Which tokenizer to learn from the text, or that of a run."""
    from charlm.runs import checkpoints_folder, find_run

    if "tokenizer" in flags:
        if run is not None:
            raise ConfigError("give --run or --tokenizer, not both")
        return TokenizerConfig(**flags)
    if "min_count" in flags:
        raise ConfigError("--min-count goes with --tokenizer: the vocabulary of a run is learnt already")
    return find_run(run, checkpoints_folder()).run.tokenizer


def _shown(piece: str) -> str:
    """A piece between spaces: its own spaces and line ends made visible."""
    return escape_line(piece).replace(" ", "␣")
