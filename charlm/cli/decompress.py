"""``charlm decompress``: what ``charlm compress`` was given."""

from __future__ import annotations

import click

from charlm.cli import console
from charlm.cli.command import Command, Option
from charlm.cli.compress import SUFFIX
from charlm.cli.layers import machine_settings
from charlm.cli.options import given, run_option, setting_options
from charlm.cli.progress import choose_progress, note_compiling
from charlm.config import SamplingConfig, TrainingConfig
from charlm.config.parts import CODING_ENGINES
from charlm.errors import ConfigError

EXAMPLES = (
    ("charlm decompress play.txt.charlm --run mine", "to play.txt"),
    ("charlm decompress small --run mine@1200 --output play.txt", "a checkpoint, a name"),
    ("charlm decompress play.txt.charlm --run mine --output - | less", "to look at"),
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("file")
@run_option("the model that it was compressed with [the latest run]", group="common")
@click.option(
    "--output",
    "-o",
    cls=Option,
    group="common",
    metavar="OUT",
    help="file to write; - for standard output [FILE without .charlm]",
)
@click.option("--force", cls=Option, group="common", is_flag=True, help="replace a file that is there")
@setting_options(TrainingConfig, "threads")
@setting_options(SamplingConfig, "engine", choices={"engine": CODING_ENGINES})
def decompress(
    file: str, run: str | None, output: str | None, force: bool, threads: int | None, engine: str | None
) -> None:
    """Decompress FILE, or - for standard input, with the model that it was compressed with.

    Nothing is written unless all of it is what was compressed.
    """
    from charlm.api import load
    from charlm.cli.whole_file import STANDARD, opened, written

    target = _without_suffix(file) if output is None else output
    threads = machine_settings(given({"threads": threads})).threads
    model = load(run)
    for notice in model.checkpoint.notices:
        console.note(notice)
    progress = choose_progress(quiet=target == STANDARD)
    with opened(file) as source, written(target, force=force, text=True) as out:
        coder = model.coder(engine or "auto", threads, on_compile=note_compiling)
        progress.start("decompressing", None)
        coder.decompress(source, out, file, progress.advance)
        progress.finish()


def _without_suffix(file: str) -> str:
    """What FILE was called before it was compressed.

    Raises:
        ConfigError: its name does not say.
    """
    if file == "-":
        return file
    if not file.endswith(SUFFIX) or file == SUFFIX:
        raise ConfigError(f"the name {file!r} does not end in {SUFFIX}: say what to write with --output")
    return file.removesuffix(SUFFIX)
