"""What ``charlm sweep`` does once its flags are read: watch, then print the table and what to type next."""

from __future__ import annotations

import shlex
from typing import Any

from charlm.cli import console
from charlm.cli.ending import ranked_baselines
from charlm.cli.figures import duration, figure
from charlm.cli.signals import stop_requests
from charlm.cli.sweep_view import choose_sweep_view, end_of
from charlm.cli.train_command import train_command
from charlm.config.ranges import parse_range, shown_value
from charlm.runs import run_argument
from charlm.sweeps import Outcome, Sweep
from charlm.sweeps.events import SweepEnded


def watch(sweep: Sweep, *, json: bool, quiet: bool) -> int:
    """Show the events as they come, then the ranking; returns the exit code."""
    view = choose_sweep_view(sweep, json=json, quiet=quiet)
    if json:
        for notice in sweep.notices:
            console.print_json({"kind": "notice", "text": notice})
    elif not quiet:
        _introduce(sweep)
    interrupted = False
    with stop_requests(sweep.request_stop) as received:
        view.open()
        try:
            for event in sweep.events():
                view.show(event)
                interrupted = isinstance(event, SweepEnded) and event.interrupted
        except SystemExit:  # told to end where there was no step to finish
            interrupted = True
        finally:
            view.close()
        if interrupted:
            console.note(f"stopped: charlm sweep --resume {shlex.quote(str(sweep.folder))} goes on")
            return received.exit_code
    if json:
        console.print_json(summary_record(sweep))
    else:
        _conclude(sweep)
    return 0


def _introduce(sweep: Sweep) -> None:
    search = sweep.search
    for notice in sweep.notices:
        console.note(notice)
    console.note(f"sweep {sweep.folder}: {len(search.trials)} trials")
    for name, text in search.ranges.items():
        console.note(f"  {name}  {parse_range(name, text).describe()}")


def _conclude(sweep: Sweep) -> None:
    names = list(sweep.search.ranges)
    heading = ("trial", "nats", "bits/char", *names, "rungs", "steps", "cost", "")
    console.print_table([_row(one, names) for one in sweep.ranking()], heading)
    run = sweep.best_run()
    end = end_of(sweep, sweep.search.plan.longest)
    console.print_line(f"\nbest: {run.folder}; trained anew with its settings, to {end}, by the first of")
    console.print_line(train_command(run.config))
    console.print_line(f"charlm eval --run {run_argument(run.folder)}")
    console.print_line(f"charlm generate --run {run_argument(run.folder)}")
    # the last thing: they take seconds, and nothing that can be typed is to wait for them
    if baselines := sweep.baselines():
        console.print_line(f"\nbaselines on the same text: {ranked_baselines(baselines)} (nats)")


def _row(one: Outcome, names: list[str]) -> tuple[str, ...]:
    return (
        one.run,
        figure(one.nats_per_character),
        figure(one.bits_per_character),
        *(shown_value(one.values[name]) for name in names),
        str(one.rung),
        f"{one.step:,}",
        duration(one.seconds),
        "" if one.status == "trained" else f"{one.status}: {one.reason}",
    )


def summary_record(sweep: Sweep) -> dict[str, Any]:
    """The end of a sweep for a program."""
    run, best = sweep.best_run(), sweep.ranking()[0]
    return {
        "kind": "summary",
        "sweep": str(sweep.folder),
        "run": str(run.folder),
        "values": dict(best.values),
        "split": "validation",
        "nats_per_character": best.nats_per_character,
        "bits_per_character": best.bits_per_character,
        "baselines": sweep.baselines(),
        "seconds": sum(one.seconds for one in sweep.ranking()),
        "ranking": [one.trial for one in sweep.ranking()],
        "command": train_command(run.config),
    }
