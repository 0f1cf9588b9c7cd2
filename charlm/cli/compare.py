"""``charlm compare``: two runs on one text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from charlm.cli import console
from charlm.cli.command import Command, Option
from charlm.cli.completion import complete_runs
from charlm.cli.escape import escape_line
from charlm.cli.eval import corpus_asked
from charlm.cli.facts import print_facts
from charlm.cli.figures import figure
from charlm.cli.layers import machine_settings
from charlm.cli.options import given, json_option, setting_options
from charlm.cli.progress import choose_progress, note_compiling
from charlm.config import CorpusConfig, TrainingConfig
from charlm.config.parts import SPLITS
from charlm.plurals import counted

if TYPE_CHECKING:
    from charlm.evaluation.compare import RunComparison

EXAMPLES = (
    ("charlm compare small large", "on the test text that both have"),
    ("charlm compare mine@1200 mine@best other.txt", "two checkpoints, on another text"),
    ("charlm compare chars bytes --split validation --json", "different tokenizers, for a program"),
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("one", metavar="RUN", shell_complete=complete_runs)
@click.argument("other", metavar="RUN", shell_complete=complete_runs)
@click.argument("file", required=False)
@click.option(
    "--split",
    cls=Option,
    group="common",
    metavar="|".join(SPLITS),
    help="which part of the text [test, or validation where there is no test; all of a FILE]",
)
@setting_options(CorpusConfig, without=("corpus", "split"))
@setting_options(TrainingConfig, "device", "threads")
@json_option("the figures in JSON")
def compare(
    one: str,
    other: str,
    file: str | None,
    split: str | None,
    device: str | None,
    threads: int | None,
    json: bool,
    **reading: Any,
) -> None:
    """Score the same text with two runs: FILE, or the test text where both were made with the same.

    Figures are bits per character, so runs of different tokenizers can be compared. The interval is of the
    difference, of blocks of the text drawn with replacement.
    """
    from charlm.api import load

    corpus = corpus_asked(() if file is None else (file,), given(reading), None)
    machine = machine_settings(given({"device": device, "threads": threads}))
    models = load(one), load(other)
    found = models[0].compare(
        models[1],
        corpus,
        split=split,
        device=machine.device,
        threads=machine.threads,
        progress=choose_progress(quiet=json),
        on_compile=note_compiling,
    )
    for notice in (*models[0].checkpoint.notices, *models[1].checkpoint.notices, *found.notices):
        console.note(notice)
    if json:
        console.print_json(found.to_json())
    else:
        _show(found)


def _show(found: RunComparison) -> None:
    names = [f"{run}, {checkpoint}" for run, checkpoint in zip(found.runs, found.checkpoints, strict=True)]
    interval = ""
    if found.interval is not None:
        interval = f" (95 % interval {_signed(found.interval[0])} to {_signed(found.interval[1])})"
    part = f"all of {found.text}" if found.split == "all" else f"{found.split} split of {found.text}"
    print_facts(
        [
            ("text", f"{part}, {counted(found.characters, 'character')} predicted by both"),
            ("first", f"{figure(found.bits[0])} bits per character: {names[0]}"),
            ("second", f"{figure(found.bits[1])} bits per character: {names[1]}"),
            ("difference", f"{_signed(found.difference)}{interval}: {_verdict(found)}"),
        ]
    )
    console.print_line()
    rows = [
        [kind.name, f"{kind.characters:,}", *map(figure, kind.bits), _signed(kind.bits[1] - kind.bits[0])]
        for kind in found.classes
    ]
    console.print_table(rows, ("characters", "count", "first", "second", "difference"))
    for which, passages in zip(("first", "second"), found.gains, strict=True):
        if passages:
            console.print_line(f"\nwhere the {which} gains most:")
        for passage in passages:
            console.print_line(
                f"  {passage.bits_gained:6.1f} bits at {passage.position:,}: {escape_line(passage.text)}"
            )


def _verdict(found: RunComparison) -> str:
    if found.interval is None:
        return "the text is too short to say how sure that is"
    if found.interval[0] <= 0 <= found.interval[1]:
        return "no more than chance would give"
    return f"the {'second' if found.difference < 0 else 'first'} is better on this text"


def _signed(value: float) -> str:
    return f"{value:+.3f}"
