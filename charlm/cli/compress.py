"""``charlm compress``: a file under a model's probabilities."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from charlm.cli import console
from charlm.cli.command import Command, Option
from charlm.cli.facts import fact_lines, print_facts, width_for
from charlm.cli.figures import figure
from charlm.cli.layers import machine_settings
from charlm.cli.options import given, json_option, run_option, setting_options
from charlm.cli.progress import choose_progress, note_compiling
from charlm.config import SamplingConfig, TrainingConfig
from charlm.config.parts import CODING_ENGINES
from charlm.errors import ConfigError
from charlm.plurals import counted

if TYPE_CHECKING:
    from charlm.coding.compress import Sizes
    from charlm.coding.figures import Figures

SUFFIX = ".charlm"
EXAMPLES = (
    ("charlm compress play.txt --run mine", "to play.txt.charlm, with the figures"),
    ("charlm compress play.txt --run mine@1200 --output small --force", "a checkpoint, a name, over what is there"),
    ("cat play.txt | charlm compress - --run mine --quiet > small", "through a pipe, and no word"),
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("file")
@run_option("which model: a run, RUN@STEP, or a folder [the latest run]", group="common")
@click.option(
    "--output",
    "-o",
    cls=Option,
    group="common",
    metavar="OUT",
    help="file to write; - for standard output [FILE.charlm]",
)
@click.option("--force", cls=Option, group="common", is_flag=True, help="replace a file that is there")
@click.option("--quiet", cls=Option, is_flag=True, help="no figures: they take as long as the compressing")
@setting_options(TrainingConfig, "threads")
@setting_options(SamplingConfig, "engine", choices={"engine": CODING_ENGINES})
@json_option("the figures in JSON")
def compress(
    file: str,
    run: str | None,
    output: str | None,
    force: bool,
    quiet: bool,
    threads: int | None,
    engine: str | None,
    json: bool,
) -> None:
    """Compress FILE, or - for standard input, under a model.

    Any bytes come back exactly from charlm decompress with the same model, on any machine. The figures say
    what charlm eval reports for the text, which is what it should take, and what xz makes of it.
    """
    from charlm.api import load
    from charlm.cli.whole_file import STANDARD, opened, written
    from charlm.coding.figures import figures_of

    usual = STANDARD if file == STANDARD else file + SUFFIX
    target = usual if output is None else output
    if json and target == STANDARD:
        raise ConfigError("--json and the compressed text cannot both go to standard output: name a file with --output")
    if json and quiet:
        raise ConfigError("--quiet leaves out the figures that --json prints: give one of the two")
    threads = machine_settings(given({"threads": threads})).threads
    model = load(run)
    progress = choose_progress(quiet=json or quiet)
    with opened(file) as source:
        with written(target, force=force, text=False) as out:
            coder = model.coder(engine or "auto", threads, on_compile=note_compiling)
            progress.start("compressing", None)
            sizes = coder.compress(source, out, progress.advance)
            progress.finish()
        # the compressed text is there by now, whatever becomes of its figures
        if not quiet:
            source.seek(0)
            found = figures_of(
                source,
                model.config.model,
                model.checkpoint.weights,
                model.tokenizer,
                threads=threads,
                on_compile=note_compiling,
            )
    for notice in model.checkpoint.notices:
        console.note(notice)
    if quiet:
        return
    step = model.checkpoint.folder.name
    console.note(f"to get it back keep {step} of {model.run.name}: going on with that training may remove it")
    _show({"run": model.run.name, "checkpoint": step, "output": target, **_figures(sizes, found)}, json)


def _show(record: dict[str, Any], json: bool) -> None:
    """The record, beside the compressed text where that goes to standard output."""
    from charlm.cli.whole_file import STANDARD

    if json:
        console.print_json(record)
    elif record["output"] == STANDARD:
        for line in fact_lines(_facts(record), width_for(sys.stderr)):
            console.note(line)
    else:
        print_facts(_facts(record))


def _figures(sizes: Sizes, found: Figures) -> dict[str, Any]:
    """The record's numbers."""
    return {
        "bytes": sizes.before,
        "compressed_bytes": sizes.after,
        "characters": found.characters,
        "bits_per_character": _each(8 * sizes.after, found.characters),
        "dropped_characters": found.dropped,
        "evaluated_bits_per_character": _each(found.evaluated_bits, found.evaluated_characters),
        "evaluated_bytes": None if found.evaluated_bits is None else found.evaluated_bits / 8,
        "xz_bytes": found.xz_bytes,
    }


def _facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    """The record for a person."""
    before, after, characters = record["bytes"], record["compressed_bytes"], record["characters"]
    bits, evaluated = record["bits_per_character"], record["evaluated_bits_per_character"]
    share = f", {100 * after / before:.1f} %" if before else ""
    dropped = record["dropped_characters"]
    others = f", without what is kept beside ({dropped:,} of the characters)" if dropped else ""
    facts = {
        "run": f"{record['run']}, {record['checkpoint']}",
        "text": f"{counted(before, 'byte')}, {counted(characters, 'character')}",
        "compressed": f"{after:,} bytes{share}",
        "bits": f"{figure(bits)} per character",
        "evaluated": ""
        if evaluated is None
        else f"{figure(evaluated)} per character: {record['evaluated_bytes']:,.0f} bytes{others}",
        "xz": f"{record['xz_bytes']:,} bytes",
        "written to": record["output"],
    }
    return [(name, text) for name, text in facts.items() if text]


def _each(bits: float | None, characters: int) -> float | None:
    return bits / characters if bits is not None and characters else None
