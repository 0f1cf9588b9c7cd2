"""``charlm sweep``: search for settings."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import Command, Option
from charlm.cli.completion import complete_texts
from charlm.cli.layers import config_options, refuse_missing, resolve_layers
from charlm.cli.options import given, help_line, json_option, setting_options
from charlm.config import flag_of
from charlm.config.ranges import SweepConfig, parse_ranges
from charlm.config.resolve import all_settings
from charlm.errors import ConfigError

if TYPE_CHECKING:
    from charlm.config import Resolved
    from charlm.sweeps import Sweep

EXAMPLES = (
    ("charlm sweep notes.txt --range learning_rate=1e-3..1e-2 --range dropout=0..0.5 --minutes 30", "half an hour"),
    ("charlm sweep c --trials 20 --range hidden_size=128,256,512 --range cell=gru,lstm", "20 trials"),
    ("charlm sweep notes.txt --steps 2000 --range weight_decay=log:0.001..0.1", "by steps: repeatable"),
    ("charlm sweep --resume checkpoints/notes-sweep-20261121-1432", "go on with one"),
)
# What the options of a training mean for a sweep.
HELP = {
    "minutes": "of all trials together [7, or 3 for the longest of --trials]",
    "steps": "of the longest trial, in place of minutes",
    "epochs": "of the longest trial, in place of minutes",
    "seed": "seed of the trials' values, and of weights, masks and samples in each [1]",
}


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("text", nargs=-1, shell_complete=complete_texts)
@click.option(
    "--range",
    "ranges",
    cls=Option,
    group="common",
    multiple=True,
    metavar="NAME=RANGE",
    help="a setting to search: LOW..HIGH or A,B,C; log: or uniform: before LOW says how to draw; once for each setting",
)
@click.option(
    "--resume",
    cls=Option,
    group="common",
    metavar="FOLDER",
    help="go on with the sweep in this folder, or of this name",
)
@setting_options(SweepConfig)
@click.option(
    "--folder", cls=Option, group="run", metavar="NAME|FOLDER", help="where to keep the new sweep [by text and time]"
)
@config_options
@json_option("one line of JSON for each trial and rung, and a summary")
@click.option("--quiet", cls=Option, is_flag=True, help="no progress, only the table at the end")
def sweep(
    text: tuple[str, ...],
    ranges: tuple[str, ...],
    resume: str | None,
    trials: int | None,
    halving: int | None,
    folder: str | None,
    config_file: str | None,
    preset: str | None,
    json: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """Search for settings: short trainings on TEXT, of which the best go on.

    Random search with successive halving. Every trial is a run, kept in the sweep's folder. The first
    Ctrl-C finishes the step and saves, the second stops at once; --resume goes on.
    """
    flags = given({"corpus": text, **settings})
    kept = given({"trials": trials, "halving": halving})
    if "sample_every" in flags:
        raise ConfigError("--sample-every is for charlm train: the trials of a sweep write no samples")
    if resume is None:
        resolved = _resolved(flags, ranges, config_file, preset)
        refuse_missing(resolved.config.corpus)
    elif unwanted := given(
        {"range": ranges, "folder": folder, "config": config_file, "preset": preset, **kept, **flags}
    ):
        name = next(iter(unwanted))
        name = "TEXT" if name == "corpus" else flag_of(name)
        raise ConfigError(f"{name} cannot be used with --resume: the sweep has its text, ranges and settings already")
    # torch comes with these, and takes a second: behind what can be refused without it
    from charlm.cli import sweep_run
    from charlm.cli.progress import choose_progress
    from charlm.runs import checkpoints_folder
    from charlm.sweeps import resume_sweep, start_sweep

    root, progress = checkpoints_folder(), choose_progress(quiet=json or quiet)
    found: Sweep
    if resume is not None:
        found = resume_sweep(resume, root=root, progress=progress)
    else:
        found = start_sweep(
            resolved.config, ranges, SweepConfig(**kept), folder=folder, root=root, now=datetime.now(),
            free=resolved.free, progress=progress,
        )  # fmt: skip
    return sweep_run.watch(found, json=json, quiet=quiet)


def _resolved(flags: dict[str, Any], ranges: tuple[str, ...], config_file: str | None, preset: str | None) -> Resolved:
    """The settings of every trial. Raises `ConfigError` for one that is searched as well."""
    resolved = resolve_layers(flags, config_file, preset)
    for name in parse_ranges(ranges):
        if resolved.origins[name] == "flag":
            raise ConfigError(f"{flag_of(name)} is given beside --range {name}: give one of them")
    return resolved


# a training chooses it, a trial does not
SIZE = all_settings()["hidden_size"][1]
HELP["hidden_size"] = help_line(dataclasses.replace(SIZE, help=SIZE.help.partition(" [")[0]))
for parameter in sweep.params:
    if isinstance(parameter, Option) and parameter.name in HELP:
        parameter.help = HELP[parameter.name]
    if isinstance(parameter, Option) and parameter.name == "sample_every":
        parameter.hidden = True
