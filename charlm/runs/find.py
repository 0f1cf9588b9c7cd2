"""Which run is meant, which runs there are, and what a new one is called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from charlm.errors import OutputError, RunError
from charlm.registry import suggestion
from charlm.runs.files import in_words, shown
from charlm.runs.loading import Checkpoint, Which
from charlm.runs.lock import owner_of
from charlm.runs.manifest import STEP_NAME, STEPS, Found, best_of
from charlm.runs.opening import open_run
from charlm.runs.run import RUN, Run

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


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A line of `charlm runs list`. Of a damaged run, what could be read, and the problem.

    Attributes:
        parameters: numbers in the weights; None before the first checkpoint.
        step, characters: at the latest checkpoint.
        validation_nats, bits_per_character: of the best checkpoint, or the latest where none is marked.
        size: bytes on disk.
        saved_at: seconds since 1970 of the last save.
        steps: of all sound checkpoints, newest first.
        owner: who writes to it now, in words; None when nobody does.
        problem: what is wrong with it, in words.
    """

    name: str
    folder: Path
    corpus: str | None = None
    tokenizer: str | None = None
    cell: str | None = None
    layers: int | None = None
    hidden_size: int | None = None
    parameters: int | None = None
    step: int | None = None
    characters: int | None = None
    validation_nats: float | None = None
    bits_per_character: float | None = None
    best_step: int | None = None
    steps: tuple[int, ...] = ()
    size: int = 0
    saved_at: float | None = None
    owner: str | None = None
    problem: str | None = None


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
        return RunAt(run=open_run(folder.parent.parent), which=int(step[1]))
    return RunAt(run=open_run(folder), which=which)


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
    except OSError:  # a name too long, a folder we may not look into
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


def run_names(root: Path) -> list[str]:
    """Names of the run folders in `root`, sorted."""
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"runs in {shown(root)} cannot be listed: {in_words(error)}") from None
    return sorted(name for name in names if (root / name / RUN).exists() or (root / name / STEPS).is_dir())


def _last_saved(root: Path) -> Run:
    names = run_names(root)
    if not names:
        raise RunError(f"no runs yet in {shown(root)}; charlm train makes one")
    summaries = [summary for summary in list_runs(root) if summary.problem is None or summary.steps]
    if not summaries:
        raise RunError(f"no sound run in {shown(root)}; charlm runs list says what is wrong")
    # a run without a checkpoint counts as the oldest; equal times: the later name, so the choice is always the same
    return open_run(max(summaries, key=lambda one: (one.saved_at or 0.0, one.name)).folder)


def list_runs(root: Path) -> list[RunSummary]:
    """A summary of each run in `root`, by name; no weights are read."""
    return [summarise(root / name) for name in run_names(root)]


def summarise(folder: Path) -> RunSummary:
    """The summary of one run folder, damaged or not."""
    name = folder.name
    size, owner = _size(folder), owner_of(folder)
    try:
        run = open_run(folder)
    except RunError as error:
        return RunSummary(name=name, folder=folder, size=size, owner=owner, problem=str(error))
    model = run.config.model
    try:
        found = run.checkpoints()
        damaged = [f"checkpoint of step {one.step}: {one.problem}" for one in found if one.problem]
    except RunError as error:
        found, damaged = [], [str(error)]
    sound = [one for one in found if one.manifest is not None]
    return RunSummary(
        name=name,
        folder=folder,
        corpus=" ".join(run.config.corpus.corpus),
        tokenizer=run.config.tokenizer.tokenizer,
        cell=model.cell,
        layers=model.layers,
        hidden_size=model.hidden_size,
        steps=tuple(one.step for one in sound),
        size=size,
        owner=owner,
        problem="; ".join(damaged) or None,
        **_of_checkpoints(sound),
    )


def _of_checkpoints(sound: list[Found]) -> dict[str, Any]:
    if not sound or sound[0].manifest is None:
        return {}
    latest, best = sound[0].manifest, best_of(sound)
    figures = (best.manifest if best and best.manifest else latest).figures
    return {
        "parameters": latest.parameters,
        "step": latest.step,
        "characters": latest.figures.get("characters"),
        "saved_at": latest.saved_at,
        "best_step": best.step if best else None,
        "validation_nats": figures.get("validation_nats"),
        "bits_per_character": figures.get("bits_per_character"),
    }


def _size(folder: Path) -> int:
    """Bytes of all files below `folder`; what cannot be looked at counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total


def new_run_name(corpus_name: str, now: datetime, root: Path) -> str:
    """A name that is free in `root`: ``shakespeare-20261121-1432``, with ``-2``, ``-3``, ... where that is taken."""
    stem = f"{corpus_name}-{now:%Y%m%d-%H%M}"
    for number in range(1, MOST_NAMES):
        name = stem if number == 1 else f"{stem}-{number}"
        if not os.path.lexists(root / name):
            return name
    raise OutputError(f"{shown(root)} has {MOST_NAMES:,} runs called {shown(stem)}: name this one with --run")
