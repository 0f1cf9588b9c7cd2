"""The folder of a new run: found out to be possible, made, and taken away where nothing came of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from charlm.errors import CharlmError, ConfigError, OutputError, RunError
from charlm.runs import Run, new_run_name, refuse_taken, remove_run
from charlm.runs.files import make_folders

# How often another name is tried when several trainings start at once.
ATTEMPTS = 20


def check_place(run: str | None, root: Path) -> None:
    """Find out before any work whether a run can be kept in `root`, or where `run` says. Raises `CharlmError`."""
    place = None if run is None else _named(run, root)
    if place is not None and place.parent != root:
        check_folder(place.parent, "run", "--run")
    else:
        _make_root(root)
    if place is not None:
        refuse_taken(place)


def _make_root(root: Path) -> None:
    try:
        make_folders(root)
    except OSError as error:
        raise OutputError(f"folder for runs {root} cannot be made: {error.strerror}; set CHARLM_CHECKPOINTS") from None
    if not os.access(root, os.W_OK | os.X_OK):
        raise OutputError(f"folder for runs {root} cannot be written to; set CHARLM_CHECKPOINTS to another")


def check_folder(folder: Path, what: str, flag: str) -> None:
    """Find out before any work whether something can be made in `folder`, which is made with it if it is not there.

    Args:
        what, flag: what it is, and by which flag it is named.

    Raises:
        OutputError: it cannot.
    """
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        why = "cannot be written to" if os.path.isdir(there) else "is no folder"
        raise OutputError(f"a {what} in {folder} cannot be made: {there} {why}; give another {flag}")


def check_name(run: str | None, root: Path) -> None:
    """Find out whether a new run in `root` can be called `run`; nothing is made. Raises `CharlmError`."""
    if run is not None:
        refuse_taken(_named(run, root))


def make_folder(run: str | None, root: Path, now: datetime, corpus: str, make: Callable[[Path], Run]) -> Run:
    """The run that `make` makes in a new folder: a path or a name below `root`, None for a name of corpus and time.

    A name of our own that another training takes first is exchanged for the next one.
    """
    if run is not None:
        return make(_named(run, root))
    for _ in range(ATTEMPTS):
        with suppress(RunError):
            return make(root / new_run_name(corpus, now, root))
    raise OutputError(
        f"no run folder could be made in {root}: other trainings take every name first; give one with --run"
    )


def _named(run: str, root: Path) -> Path:
    name = Path(run).name
    if not name or name.startswith(".") or "@" in name or "\0" in run:
        raise ConfigError(
            f"run {run!r} is no name for a new run: it must not be empty, start with a dot or have an @ or NUL in it"
        )
    return Path(run) if os.sep in run else root / run


def remove_empty(run: Run) -> None:
    """Take the folder of a run away that has no checkpoint. One that cannot be removed stays."""
    with suppress(CharlmError):
        if not run.checkpoints():
            remove_run(run.folder)
