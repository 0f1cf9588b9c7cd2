"""Which run is meant, which runs there are, and what a new one is called."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from charlm.errors import ConfigError, OutputError, RunError
from charlm.registry import suggestion
from charlm.runs.files import in_words, shown
from charlm.runs.listing import holds_run, list_runs, run_names
from charlm.runs.loading import Checkpoint, Which
from charlm.runs.manifest import STEP_NAME, STEPS
from charlm.runs.opening import no_run, open_run
from charlm.runs.run import Run

VARIABLE = "CHARLM_CHECKPOINTS"
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")
MOST_NAMES = 1000


@dataclass(frozen=True, kw_only=True)
class RunAt:
    """A run at a checkpoint: `which` is a step, ``best``, ``latest``, or None for the best if any, else the latest."""

    run: Run
    which: Which

    def load(self) -> Checkpoint:
        """The checkpoint's weights; see `Run.load`."""
        return self.run.load(self.which)


def checkpoints_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where runs are kept: $CHARLM_CHECKPOINTS, else ./checkpoints."""
    return Path(environment.get(VARIABLE) or "checkpoints")


def find_run(name: str | None, root: Path) -> RunAt:
    """The run that `name` means.

    Args:
        name: a run in `root`, the path of a run folder or of one of its step folders, any of them followed by
            ``@STEP``, ``@best`` or ``@latest``; None: the run in `root` that was saved last.
        root: the folder of runs.

    Raises:
        RunError: there is none; the message says which there are.
    """
    if name is None:
        return RunAt(run=_last_saved(root), which=None)
    folder, which = _place(name, root)
    return RunAt(run=open_run(folder), which=which)


def run_argument(folder: Path) -> str:
    """What ``--run`` takes for the run in `folder`, quoted for a shell: its name, or a path where it lies elsewhere."""
    if folder.parent == checkpoints_folder():
        return shlex.quote(folder.name)
    # a name alone would be looked up among the runs
    return shlex.quote(str(folder) if os.sep in str(folder) else os.path.join(os.curdir, folder))


def find_folder(name: str, root: Path) -> Path:
    """The folder of the run that `name` means, as in `find_run`, but damaged or not: to list or remove it.

    Raises:
        ConfigError: it means a checkpoint, not the whole run.
        RunError: there is none, or nothing of a run in that folder.
    """
    folder, which = _place(name, root)
    if which is not None:
        raise ConfigError(f"{shown(name)} is one checkpoint, but this is about whole runs: name {run_argument(folder)}")
    # before anybody adds up the sizes of all that is in it
    if not holds_run(folder):
        raise no_run(folder)
    return folder


def _place(name: str, root: Path) -> tuple[Path, Which]:
    folder = _folder(name, root)
    which: Which = None
    if folder is None and "@" in name:
        stem, _, place = name.rpartition("@")
        folder, which = _folder(stem, root), _which(place, name)
        name = stem
    if folder is None:
        raise RunError(_unknown(name, root))
    step = STEP_NAME.fullmatch(folder.name)
    if step is not None and folder.parent.name == STEPS:
        return folder.parent.parent, int(step[1])
    return folder, which


def _folder(name: str, root: Path) -> Path | None:
    """The folder called `name`, in `root` or as a path of its own."""
    if not name or "\0" in name:
        return None
    choices = [Path(name)] if os.sep in name or name in (".", "..") else [root / name, Path(name)]
    try:
        for path in choices:
            if path.is_dir():
                return path if path.name not in ("", "..") else path.resolve()
            if path.is_file():
                raise RunError(_refusal(path))
    except OSError as error:  # a name too long
        if error.errno == errno.EACCES:
            raise RunError(f"run {shown(name)} cannot be read: {in_words(error)}") from None
        return None
    if name.endswith(PICKLES):
        raise RunError(f"{shown(name)} is refused: it may run code; charlm reads its own run folders only")
    return None


def _refusal(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix in PICKLES or start in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return f"{shown(path)} is refused: it may run code; charlm reads its own run folders only"
    return f"{shown(path)} is a file: name the run folder that it is in"


def _which(place: str, name: str) -> Which:
    if place == "best":
        return "best"
    if place == "latest":
        return "latest"
    if place.isascii() and place.isdigit() and len(place) < 16:
        return int(place)
    raise RunError(f"{shown(name)}: after @ comes a step, best or latest, was {place!r}")


def _unknown(name: str, root: Path) -> str:
    names = run_names(root)
    if not names:
        return f"no run {shown(name)}: there are no runs yet in {shown(root)}; charlm train makes one"
    return f"no run {name!r} in {shown(root)}{suggestion(name, names)}; charlm runs list shows them"


def _last_saved(root: Path) -> Run:
    names = run_names(root)
    if not names:
        raise RunError(f"no runs yet in {shown(root)}; charlm train makes one")
    summaries = [summary for summary in list_runs(root) if summary.problem is None or summary.steps]
    if not summaries:
        raise RunError(f"no sound run in {shown(root)}; charlm runs list says what is wrong")
    # a run without a checkpoint counts as the oldest; equal times: the later name, so the choice is always the same
    return open_run(max(summaries, key=lambda one: (one.saved_at or 0.0, one.name)).folder)


def new_run_name(corpus_name: str, now: datetime, root: Path) -> str:
    """A name that is free in `root`: ``shakespeare-20261121-1432``, with ``-2``, ``-3``, ... where that is taken."""
    stem = f"{corpus_name}-{now:%Y%m%d-%H%M}"
    for number in range(1, MOST_NAMES):
        name = stem if number == 1 else f"{stem}-{number}"
        if not os.path.lexists(root / name):
            return name
    raise OutputError(f"{shown(root)} has {MOST_NAMES:,} runs called {shown(stem)}: name this one with --run")
