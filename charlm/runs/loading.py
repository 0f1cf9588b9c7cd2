"""Loading: every file is read once, hashed, and those very bytes are parsed. No file is believed without its hash.

A checkpoint that is damaged is passed over for the newest one that is not, and the notices say so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from charlm.errors import RunError
from charlm.runs import records
from charlm.runs.files import Folder, in_words, shown
from charlm.runs.manifest import (
    PROGRESS,
    STEPS,
    TRAINING,
    WEIGHTS,
    Found,
    Manifest,
    best_of,
    find_checkpoints,
    folder_of,
    read_file,
    read_manifest,
)
from charlm.runs.saving import read_pointers

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Which = int | Literal["best", "latest"] | None

# A writer may prune what a reader is about to open; the reader then looks again.
LOOKS = 5


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was read of a run at a step.

    Attributes:
        step: optimiser steps applied.
        folder: where it was read from.
        manifest: what it says of itself: whether it was the best, when it was saved, its figures.
        notices: lines for the user: what was passed over, and why.
    """

    step: int
    folder: Path
    manifest: Manifest
    notices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Loaded):
    """A run at a step, as generation and evaluation need it: `weights` are float32 by parameter name, writable."""

    weights: dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class TrainingCheckpoint(Checkpoint):
    """And as training needs it to go on: `training` and `progress` are what `Run.save` was given."""

    training: dict[str, npt.NDArray[Any]]
    progress: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ProgressAlone(Loaded):
    """Of a checkpoint only the `progress` that `Run.save` was given."""

    progress: dict[str, Any]


LoadedT = TypeVar("LoadedT", bound=Loaded)


def load(path: Path, which: Which, vocabulary: str) -> Checkpoint:
    """The checkpoint `which` of the run at `path`; None: the best, or the latest where none was marked best.

    Raises:
        RunError: there is no checkpoint, none that is sound, or not the step asked for.
    """
    return _first_sound(path, which, Checkpoint, vocabulary)


def load_training(path: Path, which: Which, vocabulary: str, notices: tuple[str, ...]) -> TrainingCheckpoint:
    """As `load`, with all that training needs, and with `notices` of earlier; None: the latest."""
    return _first_sound(path, "latest" if which is None else which, TrainingCheckpoint, vocabulary, notices)


def load_progress(path: Path, vocabulary: str) -> ProgressAlone:
    """Of the latest checkpoint, without its arrays, and without NumPy."""
    return _first_sound(path, "latest", ProgressAlone, vocabulary)


def _first_sound(
    path: Path, which: Which, kind: type[LoadedT], vocabulary: str, earlier: tuple[str, ...] = ()
) -> LoadedT:
    for look in range(1, LOOKS + 1):
        notices, passed_over = list(earlier), {}
        with _open_run(path) as run:
            announced = _announced(run, which, notices)
            found = find_checkpoints(run)
            wanted = which if isinstance(which, int) else announced
            if wanted is not None and wanted not in {one.step for one in found} and look < LOOKS:
                continue  # a writer may have pruned it, or be about to put another in its place
            passed_over = _not_whole(announced, found)
            for one in _in_order(found, which, announced, path):
                skipped = passed_over | ({} if isinstance(which, int) else _unreadable(found, announced, one.step))
                try:
                    return _read(run, path, one, kind, vocabulary, [*notices, *_in_place_of(skipped, one.step)])
                except RunError as error:
                    if look < LOOKS and _is_gone(run, one):
                        break
                    passed_over.setdefault(one.step, str(error))
            else:
                break
    raise RunError(_none_left(path, which, [*notices, *map(_passed_over, passed_over, passed_over.values())], found))


def _open_run(path: Path) -> Folder:
    try:
        return Folder.open(path)
    except OSError as error:
        raise RunError(f"run folder {shown(path)} cannot be read: {in_words(error)}") from None


def _in_order(found: list[Found], which: Which, announced: int | None, path: Path) -> list[Found]:
    """The checkpoints to try, the wanted one first. A step asked for by number has no substitute."""
    name = shown(path.name)
    if isinstance(which, int):
        wanted = [one for one in found if one.step == which]
        if not wanted:
            have = ", ".join(str(one.step) for one in found) or "none"
            raise RunError(f"run {name} has no checkpoint of step {which}: it has {have}")
        return wanted
    best = best_of(found)
    if which == "best" and best is None and announced is None and found:
        raise RunError(f"run {name} has no checkpoint marked best: try {name}@latest")
    if which == "latest" or best is None:
        return found
    return [best, *(one for one in found if one is not best)]


def _read(run: Folder, path: Path, one: Found, kind: type[LoadedT], vocabulary: str, notices: list[str]) -> LoadedT:
    if one.manifest is None:
        raise RunError(one.problem or "it cannot be read")
    try:
        with run.child(STEPS) as steps, steps.child(one.name) as folder:
            manifest = read_manifest(folder, one.step)
            if manifest.vocabulary != vocabulary:
                raise RunError("its vocabulary does not match the run's tokenizer: it is of another run")
            parts: dict[str, Any] = {}
            if issubclass(kind, Checkpoint):
                parts["weights"] = _arrays(folder, WEIGHTS, manifest)
            if issubclass(kind, TrainingCheckpoint):
                parts["training"] = _arrays(folder, TRAINING, manifest)
            if issubclass(kind, TrainingCheckpoint | ProgressAlone):
                parts["progress"] = records.parse(_sound(folder, PROGRESS, manifest), PROGRESS)
    except OSError as error:
        raise RunError(f"its folder cannot be read: {in_words(error)}") from None
    return kind(step=one.step, folder=folder_of(path, one), manifest=manifest, notices=tuple(notices), **parts)


def _sound(folder: Folder, name: str, manifest: Manifest) -> bytes:
    """The content of a data file, proven to be what was saved."""
    facts = manifest.files[name]
    content = read_file(folder, name, facts.size)
    if len(content) != facts.size:
        raise RunError(f"{name} is damaged: {len(content):,} bytes, not {facts.size:,}")
    if hashlib.sha256(content).hexdigest() != facts.sha256:
        raise RunError(f"{name} is damaged: its SHA-256 is not the manifest's")
    return content


def _arrays(folder: Folder, name: str, manifest: Manifest) -> dict[str, npt.NDArray[Any]]:
    from charlm.runs import arrays  # NumPy, which a list of runs does without

    loaded = arrays.load(_sound(folder, name, manifest), name)
    if name == WEIGHTS:
        for key, array in loaded.items():
            if array.dtype != "float32":
                raise RunError(f"{name}: {key!r} must be float32, was {array.dtype}")
    return loaded


def _is_gone(run: Folder, one: Found) -> bool:
    try:
        with run.child(STEPS) as steps:
            return steps.status(one.name) is None
    except OSError:
        return False


def _announced(run: Folder, which: Which, notices: list[str]) -> int | None:
    """The step that `pointers.json` gives for `which`; a damaged file is noted, for the checkpoints tell it as well."""
    if isinstance(which, int):
        return None
    try:
        record = read_pointers(run)
    except RunError as error:
        notices.append(f"{error} (ignored)")
        return None
    step: int | None = record.get("latest" if which == "latest" else "best")
    return step


def _not_whole(announced: int | None, found: list[Found]) -> dict[int, str]:
    """The announced checkpoint and why it cannot be, where it is not among the readable ones."""
    one = next((one for one in found if one.step == announced), None)
    if announced is None or (one is not None and one.manifest is not None):
        return {}
    return {announced: one.problem or "it cannot be read" if one else "its folder is gone"}


def _unreadable(found: list[Found], announced: int | None, step: int) -> dict[int, str]:
    """Later checkpoints than that of `step` whose manifest cannot be read, and why, unless `step` was announced."""
    later = [one for one in found if one.manifest is None and one.step > step != announced]
    return {one.step: one.problem or "it cannot be read" for one in later}


def _in_place_of(passed_over: Mapping[int, str], step: int) -> list[str]:
    """Notices of what was passed over, the last of which says what is used instead."""
    notices = [_passed_over(*one) for one in passed_over.items()]
    return [*notices[:-1], f"{notices[-1]}; step {step} is used instead"] if notices else []


def _passed_over(step: int, cause: str) -> str:
    return f"checkpoint of step {step} passed over: {cause}"


def _none_left(path: Path, which: Which, notices: list[str], found: list[Found]) -> str:
    name = shown(path.name)
    if not found and not notices:
        return f"run {name} has no checkpoint yet"
    what = f"checkpoint {which} of run {name}" if isinstance(which, int) else f"run {name} has no sound checkpoint"
    return f"{what}: " + "; ".join(dict.fromkeys(notices))
