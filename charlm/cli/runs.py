"""``charlm runs``: look after trainings."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli import console
from charlm.cli.command import Command, Group, Option
from charlm.cli.completion import complete_runs
from charlm.cli.escape import escape_line
from charlm.cli.facts import print_facts
from charlm.cli.figures import figure, size
from charlm.cli.options import json_option, run_option
from charlm.errors import ConfigError

if TYPE_CHECKING:
    from charlm.runs import RunSummary

LONGEST_TEXT = 30  # characters of a text's name in the list

COMMANDS = {
    "list": ("charlm.cli.runs:list_", "List the runs, with size and loss."),
    "show": ("charlm.cli.runs:show", "Show one run: text, model, checkpoints, figures."),
    "rm": ("charlm.cli.runs:rm", "Remove runs and their checkpoints."),
    "export-config": ("charlm.cli.runs:export_config", "Print the settings of a run as TOML."),
}
EXAMPLES = (
    ("charlm runs list", "what is there"),
    ("charlm runs show shakespeare-20261121-1432", "one of them"),
    ("charlm runs export-config mine > mine.toml", "to train again with --config mine.toml"),
)

runs = Group(name="runs", table=COMMANDS, help="Look after trainings.", examples=EXAMPLES)
run_argument = click.argument("named", metavar="[RUN]", required=False, shell_complete=complete_runs)
run_flag = run_option("the same as RUN", group="common")


@click.command(name="list", cls=Command, examples=[("charlm runs list --json", "for a program")])
@json_option("one line of JSON for each run")
def list_(json: bool) -> None:
    """List the runs in $CHARLM_CHECKPOINTS or ./checkpoints, by name."""
    from charlm.runs import checkpoints_folder, list_runs

    found = list_runs(checkpoints_folder())
    if json:
        for one in found:
            console.print_json(_record(one))
    elif found:
        heading = ("run", "text", "model", "step", "nats/char", "bits/char", "size", "saved")
        console.print_table([_row(one) for one in found], heading, spare=("bits/char", "size", "text", "saved"))
    else:
        console.note(f"no runs yet in {checkpoints_folder()}; charlm train makes one")


@click.command(cls=Command, examples=[("charlm runs show mine", ""), ("charlm runs show --json", "the latest run")])
@run_argument
@run_flag
@json_option("the same in JSON")
def show(named: str | None, run: str | None, json: bool) -> None:
    """Show RUN, a name or folder; the latest when it is left out."""
    from charlm.runs import summarise

    found = summarise(_whole_run(one_name(named, run)))
    if json:
        console.print_json(_record(found))
        return
    facts = {
        "run": found.name,
        "folder": str(found.folder),
        "text": ", ".join(found.corpus),
        "tokenizer": found.tokenizer,
        "model": _model(found),
        "parameters": None if found.parameters is None else f"{found.parameters:,}",
        "checkpoints": ", ".join(f"{step}{' (best)' if step == found.best_step else ''}" for step in found.steps),
        "read": None if found.characters is None else f"{found.characters:,} characters",
        "validation": _validation(found),
        "precision": _precision(found),
        "size": size(found.size),
        "saved": _when(found),
        "in use by": found.owner,
        "problem": found.problem,
    }
    print_facts((name, value) for name, value in facts.items() if value)


@click.command(cls=Command, examples=[("charlm runs rm old-run", ""), ("charlm runs rm a b c --yes", "without asking")])
@click.argument("named", metavar="RUN...", nargs=-1, shell_complete=complete_runs)
@run_flag
@click.option("--yes", cls=Option, is_flag=True, help="do not ask")
def rm(named: tuple[str, ...], run: str | None, yes: bool) -> None:
    """Remove each RUN, a name or folder, with all its checkpoints."""
    from charlm.runs import checkpoints_folder, find_folder, remove_run

    names_given = named if run is None else (*named, run)
    if not names_given:
        raise ConfigError("which run? runs rm takes no run but those that are named; charlm runs list shows them")
    found = [find_folder(name, checkpoints_folder()) for name in names_given]
    folders = list({os.path.realpath(folder): folder for folder in found}.values())
    if not yes:
        names = ", ".join(escape_line(folder.name) for folder in folders)
        if not console.is_terminal(sys.stdin):
            raise ConfigError(f"to remove {names} without asking, add --yes")
        if not click.confirm(f"remove {names} and all checkpoints?", err=True):
            console.note("nothing is removed")
            return
    for folder in folders:
        remove_run(folder)
        console.note(f"removed {escape_line(str(folder))}")


@click.command(
    name="export-config", cls=Command, examples=[("charlm runs export-config mine > mine.toml", "and train again")]
)
@run_argument
@run_flag
def export_config(named: str | None, run: str | None) -> None:
    """Print the settings that RUN (the latest when it is left out) had last, as TOML for charlm train --config."""
    from charlm.config import to_toml
    from charlm.runs import open_run

    config, notices = open_run(_whole_run(one_name(named, run))).last_config()
    for notice in notices:
        console.note(notice)
    console.print_line(to_toml(config).rstrip("\n"))


def one_name(named: str | None, run: str | None) -> str | None:
    """The run that is meant, by RUN or by --run; None for the latest.

    Raises:
        ConfigError: both are given.
    """
    if named is not None and run is not None:
        raise ConfigError(f"give RUN or --run, not both, was {named!r} and {run!r}")
    return run if named is None else named


def _whole_run(name: str | None) -> Path:
    """The folder of a run, damaged or not; of the latest for None."""
    from charlm.runs import checkpoints_folder, find_folder, find_run

    root = checkpoints_folder()
    return find_run(None, root).run.folder if name is None else find_folder(name, root)


def _record(found: RunSummary) -> dict[str, object]:
    return {**dataclasses.asdict(found), "folder": str(found.folder)}


def _row(found: RunSummary) -> list[str]:
    best = "" if found.best_step in (None, found.step) else f" (best {found.best_step:,})"
    step = "-" if found.step is None else f"{found.step:,}{best}"
    saved = "in use" if found.owner else "damaged" if found.problem else _when(found) or "-"
    figures = [figure(_nats(found)), figure(found.bits_per_character), size(found.size)]
    return [escape_line(found.name), escape_line(_texts(found)), _model(found) or "-", step, *figures, saved]


def _texts(found: RunSummary) -> str:
    """What it was trained on, as short as the others' in a column."""
    first, *others = found.corpus or ("-",)
    shown = first if len(first) <= LONGEST_TEXT else f"...{first[3 - LONGEST_TEXT :]}"
    return f"{shown} +{len(others)}" if others else shown


def _model(found: RunSummary) -> str | None:
    return None if found.cell is None else f"{found.cell} {found.layers} x {found.hidden_size}"


def _validation(found: RunSummary) -> str | None:
    if found.bits_per_character is None:
        return None
    return f"{figure(_nats(found))} nats, {figure(found.bits_per_character)} bits per character"


def _nats(found: RunSummary) -> float | None:
    """Per character; what a run keeps is per token."""
    return None if found.bits_per_character is None else found.bits_per_character * math.log(2)


def _precision(found: RunSummary) -> str | None:
    """The number format that generate takes on this machine, and what each one costs."""
    from charlm.runtime.precision import fastest

    nats = found.precision_nats
    if not nats or "exact" not in nats:
        return None
    try:
        from charlm.simd.processor import HAS_INT8
    except ImportError:  # of llvmlite: texts are then written in float32
        return None
    # + 0.0: a zero that was rounded from below has no minus
    added = {name: round(value - nats["exact"], 4) + 0.0 for name, value in nats.items() if name != "exact"}
    costs = [f"{name} {value:+.4f} nats" for name, value in added.items()]
    return f"{fastest(nats, bytes_are_fast=HAS_INT8)} ({', '.join(costs)})"


def _when(found: RunSummary) -> str | None:
    if found.saved_at is None:
        return None
    return datetime.fromtimestamp(found.saved_at).strftime("%Y-%m-%d %H:%M")
