"""``charlm generate``: write text with a model."""

from __future__ import annotations

from typing import Any

import click

from charlm.cli.command import Command
from charlm.cli.options import given, json_option, run_option, setting_options
from charlm.config import SamplingConfig

EXAMPLES = (
    ("charlm generate", "a thousand characters of the latest run"),
    ('charlm generate --prompt "ROMEO:" --temperature 0.5 --length 300', "calmer, and going on from a prompt"),
    ("head -c 200 play.txt | charlm generate --prompt - --run mine > more.txt", "exact bytes, in and out"),
    ("charlm generate --samples 3 --seed 7 --top-p 0.9 --json", "three texts, the same every time"),
    ("charlm generate --max-copy 40", "no more than 40 characters in a row out of the training text"),
    ("charlm generate --greedy --stop $'\\n\\n'", "the likeliest text, to the first empty line"),
)


@click.command(cls=Command, examples=EXAMPLES)
@run_option("which model: a run, RUN@STEP, or a folder [the latest run]", group="common")
@setting_options(SamplingConfig)
@json_option("one line of JSON for each text")
def generate(run: str | None, json: bool, **settings: Any) -> None:
    """Write text with a model, going on from a prompt.

    The prompt is part of the text. On a terminal, control characters are shown as escapes; a pipe gets
    the exact bytes.
    """
    from charlm.cli import writing

    writing.write(SamplingConfig(**given(settings)), run=run, json=json)
