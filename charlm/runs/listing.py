"""The list of runs: fast, for no weights are read, and complete, for damaged runs are in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.errors import RunError
from charlm.runs.files import in_words, shown
from charlm.runs.lock import owner_of
from charlm.runs.manifest import STEPS, Found, best_of
from charlm.runs.opening import open_run
from charlm.runs.precision import measured_precisions
from charlm.runs.run import RUN


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A line of `charlm runs list`. Of a damaged run, what could be read, and the problem.

    Attributes:
        corpus: the texts that were named.
        parameters: numbers in the weights; None before the first checkpoint.
        step, characters: at the latest checkpoint.
        validation_nats, bits_per_character: of the best checkpoint, or the latest where none is marked.
        precision_nats: of the best checkpoint, or the latest, by number format, where it was measured.
        size: bytes on disk.
        saved_at: seconds since 1970 of the last save.
        steps: of all sound checkpoints, newest first.
        owner: who writes to it now, in words; None when nobody does.
        problem: what is wrong with it, in words.
    """

    name: str
    folder: Path
    corpus: tuple[str, ...] = ()
    tokenizer: str | None = None
    cell: str | None = None
    layers: int | None = None
    hidden_size: int | None = None
    parameters: int | None = None
    step: int | None = None
    characters: int | None = None
    validation_nats: float | None = None
    bits_per_character: float | None = None
    precision_nats: dict[str, float] | None = None
    best_step: int | None = None
    steps: tuple[int, ...] = ()
    size: int = 0
    saved_at: float | None = None
    owner: str | None = None
    problem: str | None = None


def run_names(root: Path) -> list[str]:
    """Names of the run folders in `root`, sorted."""
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"runs in {shown(root)} cannot be listed: {in_words(error)}") from None
    return sorted(name for name in names if holds_run(root / name))


def holds_run(folder: Path) -> bool:
    """Whether there is a run in `folder`, damaged or not."""
    # os.path's: pathlib's raise where we may not look
    return os.path.exists(folder / RUN) or os.path.isdir(folder / STEPS)


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
        corpus=run.config.corpus.corpus,
        tokenizer=run.config.tokenizer.tokenizer,
        cell=model.cell,
        layers=model.layers,
        hidden_size=model.hidden_size,
        steps=tuple(one.step for one in sound),
        size=size,
        owner=owner,
        problem="; ".join(damaged) or None,
        **_of_checkpoints(sound, run.facts),
    )


def _of_checkpoints(sound: list[Found], facts: dict[str, Any]) -> dict[str, Any]:
    if not sound or sound[0].manifest is None:
        return {}
    latest, best = sound[0].manifest, best_of(sound)
    taken = best.manifest if best and best.manifest else latest
    figures = taken.figures
    return {
        "parameters": latest.parameters,
        "step": latest.step,
        "characters": latest.figures.get("characters"),
        "saved_at": latest.saved_at,
        "best_step": best.step if best else None,
        "validation_nats": figures.get("validation_nats"),
        "bits_per_character": figures.get("bits_per_character"),
        "precision_nats": measured_precisions(facts, taken.step) or None,
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
