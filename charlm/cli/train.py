"""``charlm train``: train a model on a text."""

from __future__ import annotations

from typing import Any

import click

from charlm.cli.command import Command, Option
from charlm.cli.completion import complete_texts
from charlm.cli.layers import config_options, refuse_missing, resolve_layers
from charlm.cli.options import given, json_option, run_option
from charlm.errors import ConfigError
from charlm.timing import counted_time

EXAMPLES = (
    ("charlm train", "Shakespeare, three minutes"),
    ("charlm train notes.txt more/ --include '*.txt' --minutes 10", "a file and a folder of your own"),
    ("charlm train c --preset medium --dropout 0.3 --epochs 8 --run c-medium", "a larger model, by passes"),
    ("charlm train --resume --run c-medium --epochs 12", "go on with it"),
    ("charlm train shakespeare --plan", "what would it cost?"),
    ("zcat book.gz | charlm train - --quiet", "from a pipe"),
)


@click.command(cls=Command, examples=EXAMPLES, no_args_is_help=False)
@click.argument("text", nargs=-1, shell_complete=complete_texts)
@run_option("name of the new run, or of the one to resume [corpus and time; the latest]", group="common")
@click.option("--resume", cls=Option, group="common", is_flag=True, help="go on with a run from its last checkpoint")
@click.option(
    "--accept-change", cls=Option, group="run", is_flag=True, help="with --resume: take a text that was changed since"
)
@click.option("--plan", cls=Option, group="run", is_flag=True, help="print size, memory, speed and time; do not train")
@config_options
@json_option("one line of JSON for each event")
@click.option("--quiet", cls=Option, is_flag=True, help="print nothing but errors")
def train(
    text: tuple[str, ...],
    run: str | None,
    resume: bool,
    accept_change: bool,
    plan: bool,
    config_file: str | None,
    preset: str | None,
    json: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """Train a model on TEXT: named corpora, files, folders, or - for standard input.

    Without TEXT it trains on Shakespeare, which is fetched first. The first Ctrl-C finishes the step and
    saves, the second stops at once.
    """
    started = counted_time()
    flags = given({"corpus": text, **settings})
    if not resume:
        if accept_change:
            raise ConfigError("--accept-change goes with --resume: a new run takes its text as it is")
        resolved = resolve_layers(flags, config_file, preset)
        refuse_missing(resolved.config.corpus)
    # torch comes with this, and takes seconds of the minutes asked for: behind what can be refused without it
    from charlm.cli import training_run

    if resume:
        return training_run.resume(
            flags,
            config_file,
            preset,
            run=run,
            accept_change=accept_change,
            plan=plan,
            started=started,
            json=json,
            quiet=quiet,
        )
    if plan:
        return training_run.plan(resolved, run=run, started=started, json=json, quiet=quiet)
    return training_run.start(resolved, run=run, started=started, json=json, quiet=quiet)
