"""``charlm score``: rank files or lines by bits per character."""

from __future__ import annotations

from typing import Any

import click

from charlm.cli import console
from charlm.cli.command import Command, Option
from charlm.cli.escape import escape_line
from charlm.cli.figures import figure
from charlm.cli.layers import machine_settings
from charlm.cli.options import given, json_option, run_option, setting_options
from charlm.cli.progress import note_compiling
from charlm.config import CorpusConfig, TokenizerConfig, TrainingConfig
from charlm.config.settings import LARGEST
from charlm.errors import ConfigError, CorpusError
from charlm.registry import lookup

LONGEST_SHOWN = 100
EXAMPLES = (
    ("charlm score a.txt b.txt c.txt --run mine", "which is most like what the run learnt?"),
    ("charlm score --lines notes.txt --sort unlikely --top 20", "the strangest lines"),
    ("cat log | charlm score --lines - --json", "for a program, a line of JSON for each"),
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@run_option("which model: a run, RUN@STEP, or a folder [the latest run]", group="common")
@click.option("--lines", cls=Option, group="common", is_flag=True, help="rank the lines of the files, not the files")
@click.option(
    "--sort",
    cls=Option,
    group="common",
    metavar="likely|unlikely|given",
    help="fewest bits first, most bits first, or as they were given [likely]",
)
@click.option("--top", cls=Option, group="common", type=int, metavar="N", help="show the first N alone (at least 1)")
@setting_options(CorpusConfig, without=("corpus", "split"))
@setting_options(TokenizerConfig, "unknown", usual={"unknown": "the run's own"})
@setting_options(TrainingConfig, "threads")
@json_option("one line of JSON for each text")
def score(
    files: tuple[str, ...],
    run: str | None,
    lines: bool,
    sort: str | None,
    top: int | None,
    unknown: str | None,
    threads: int | None,
    json: bool,
    **reading: Any,
) -> None:
    """Rank each FILE by the bits per character that a model needs for it; - is standard input.

    A named corpus or folder is one text. A file's first symbol is only read, as by charlm eval; a line is
    scored as after an empty line, all of its characters. Files that cannot be read are left out.
    """
    from charlm.api import load
    from charlm.evaluation.ranking import ORDERS, score_files, score_lines, sort_ranked
    from charlm.evaluation.scorers import open_scorer

    order = sort or "likely"
    lookup(ORDERS, order, "order")
    if top is not None and not 1 <= top <= LARGEST:
        raise ConfigError(f"--top must be a whole number >= 1, was {top}")
    if files.count("-") > 1:
        raise ConfigError("- is standard input, which can be read once: name it once")
    corpora = [CorpusConfig(corpus=(file,), **given(reading)) for file in files]
    machine = machine_settings(given({"threads": threads}))
    model = load(run)
    scorer = open_scorer(model.run, model.checkpoint, "cpu", machine.threads, "auto", "exact", note_compiling)
    for notice in (*model.checkpoint.notices, *scorer.notices):
        console.note(notice)
    with scorer.in_use():
        ranked = score_lines if lines else score_files
        scored = ranked(scorer.model, model.tokenizer, corpora, console.note, unknown)
        found = sort_ranked(scored, order, top)
    if not found:
        raise CorpusError("nothing was scored: give texts of two characters and more that the model's vocabulary has")
    by = {"run": model.run.name, "checkpoint": model.checkpoint.folder.name}
    if json:
        for one in found:
            console.print_json(_record(one, lines) | by)
        return
    console.note(f"by {', '.join(by.values())}")
    heading = ("bits/char", "characters", "line", "text") if lines else ("bits/char", "characters", "text")
    console.print_table([_row(one, len(files) > 1) for one in found], heading)


def _record(one: Any, lines: bool) -> dict[str, Any]:
    facts = {"name": one.name, **({"line": one.line, "text": one.text} if lines else {})}
    score = one.score
    return {
        **facts,
        "bits_per_character": score.bits_per_character,
        "bits_per_byte": score.bits_per_byte,
        "characters": score.characters,
        "tokens": score.tokens,
    }


def _row(one: Any, several: bool) -> list[str]:
    figures = [figure(one.bits_per_character), f"{one.score.characters:,}"]
    if one.line is None:
        return [*figures, escape_line(one.name)]
    shown = one.text if len(one.text) <= LONGEST_SHOWN else f"{one.text[: LONGEST_SHOWN - 1]}…"
    return [*figures, f"{escape_line(one.name)}:{one.line}" if several else str(one.line), escape_line(shown)]
