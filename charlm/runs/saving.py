"""The save protocol: at every moment the old checkpoint or the new one is whole, and nothing else is believed.

1. ``steps/step-N.tmp`` is made afresh; the data files are written into it and flushed to the disk, then
   the manifest with their sizes and hashes, then the folder itself.
2. It is renamed to ``step-N`` (what stood there becomes ``step-N.old``), and `steps` is flushed.
3. It is opened again and every byte is compared with the manifest.
4. ``pointers.json`` is replaced in one step: now the save may be announced.
5. Only now old checkpoints go.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charlm.errors import OutputError, RunError
from charlm.runs import records
from charlm.runs.files import FileFacts, Folder, in_words
from charlm.runs.manifest import (
    FORMAT,
    MANIFEST,
    PROGRESS,
    STEPS,
    TRAINING,
    WEIGHTS,
    Figures,
    Found,
    Manifest,
    best_of,
    check_format,
    find_checkpoints,
    is_count,
    read_if_there,
    read_manifest,
    step_name,
)
from charlm.runs.pruning import prune, remove_step

if TYPE_CHECKING:
    from charlm.runs.arrays import Arrays

POINTERS = "pointers.json"


@dataclass(frozen=True, kw_only=True)
class Content:
    """What one checkpoint is made of; see `Run.save`."""

    step: int
    weights: Arrays
    training: Arrays
    progress: Mapping[str, Any]
    best: bool
    figures: Figures
    vocabulary: str
    saved_at: float


def save(run: Folder, content: Content, keep: int) -> str:
    """Save, verify, point to it, prune; returns the name of the checkpoint's folder in `steps`.

    Raises:
        OutputError: it could not be done; the earlier checkpoints are untouched.
    """
    from charlm.runs import arrays  # NumPy, which a list of runs does without

    progress = records.plain(content.progress)
    broken = arrays.not_finite(content.weights) or arrays.not_finite(content.training)
    before: list[Found] = []
    try:
        before = find_checkpoints(run)
        if broken is not None:
            raise OutputError(f"checkpoint not saved: {broken!r} is not finite, {_last_good(before)}")
        with run.child(STEPS) as steps:
            manifest, replaced = _write_step(steps, content, progress, before, _next_number(run, before))
            _verify(steps, manifest, replaced)
        found = [_found(manifest), *(one for one in before if one.step != content.step)]
        _point(run, manifest, found)
    except OSError as error:
        size = arrays.size_of(content.weights) + arrays.size_of(content.training) + len(progress)
        room = f", about {-(-size // 10**6)} MB needed" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise OutputError(f"checkpoint not saved: {in_words(error)}{room}, {_last_good(before)}") from None
    except RunError as error:
        raise OutputError(f"checkpoint not saved: {error}, {_last_good(before)}") from None
    # what is saved is saved: a failure to remove old ones is met again, and tried again, at the next save
    with suppress(OSError, RunError):
        prune(run, keep, found)
    return step_name(content.step)


def _next_number(run: Folder, before: list[Found]) -> int:
    """One more than that of any save yet, even where the newest manifest cannot be read just now."""
    try:
        announced = read_pointers(run).get("save") or 0
    except RunError:
        announced = 0
    return 1 + max([announced, *(one.order[0] for one in before)])


def read_pointers(run: Folder) -> dict[str, Any]:
    """What `pointers.json` announces; nothing where it is not there.

    Raises:
        RunError: it is damaged.
    """
    content = read_if_there(run, POINTERS, records.LARGEST)
    if content is None:
        return {}
    record = records.load(content, POINTERS)
    check_format(record, POINTERS)
    if not all(value is None or is_count(value) for value in record.values()):
        raise RunError(f"{POINTERS} is damaged: not the numbers of checkpoints")
    return record


def _write_step(
    steps: Folder, content: Content, progress: bytes, before: list[Found], number: int
) -> tuple[Manifest, str | None]:
    """Parts 1 and 2 of the protocol; returns also under what name a replaced checkpoint of this step lies."""
    name = step_name(content.step)
    temporary = steps.make_temporary(name)
    try:
        with steps.child(temporary) as folder:
            manifest = _write_files(folder, content, progress, before, number)
            folder.sync()
        replaced = _put_in_place(steps, temporary, name)
    except OSError:
        remove_step(steps, temporary)
        raise
    return manifest, replaced


def _write_files(folder: Folder, content: Content, progress: bytes, before: list[Found], number: int) -> Manifest:
    from charlm.runs import arrays

    files = {
        WEIGHTS: folder.write(WEIGHTS, arrays.pieces(content.weights)),
        TRAINING: folder.write(TRAINING, arrays.pieces(content.training)),
        PROGRESS: folder.write(PROGRESS, [progress]),
    }
    manifest = Manifest(
        step=content.step,
        save=number,
        best=content.best or _was_best(before, content.step, files[WEIGHTS]),
        saved_at=content.saved_at,
        vocabulary=content.vocabulary,
        parameters=sum(array.size for array in content.weights.values()),
        figures=dict(content.figures),
        files=files,
    )
    folder.write(MANIFEST, [manifest.to_bytes()])
    return manifest


def _was_best(before: list[Found], step: int, weights: FileFacts) -> bool:
    """Whether the same weights, saved once more, are the best still: then they keep the mark."""
    best = best_of(before)
    return (
        best is not None and best.manifest is not None and best.step == step and best.manifest.files[WEIGHTS] == weights
    )


def _put_in_place(steps: Folder, temporary: str, name: str) -> str | None:
    old = None
    if steps.status(name) is None:
        steps.rename(temporary, name)
    else:
        remove_step(steps, f"{name}.old")
        old = steps.free_name(f"{name}.old")
        steps.rename(name, old)
        try:
            steps.rename(temporary, name)
        except OSError:
            steps.rename(old, name)
            raise
    steps.sync()
    return old


def _verify(steps: Folder, manifest: Manifest, replaced: str | None) -> None:
    """Part 3: read the checkpoint back from its final place; what cannot be read back gives the place up again."""
    name = step_name(manifest.step)
    try:
        with steps.child(name) as folder:
            if read_manifest(folder, manifest.step) != manifest:
                raise RunError(f"{MANIFEST} reads back changed")
            for member, facts in manifest.files.items():
                if folder.facts(member) != facts:
                    raise RunError(f"{member} reads back changed")
    except (OSError, RunError):
        remove_step(steps, name)
        with suppress(OSError):
            if steps.status(name) is None and replaced is not None:
                steps.rename(replaced, name)
        raise


def _found(manifest: Manifest) -> Found:
    return Found(step=manifest.step, name=step_name(manifest.step), manifest=manifest, problem=None)


def _point(run: Folder, manifest: Manifest, found: list[Found]) -> None:
    """Part 4: announce the checkpoint."""
    best = best_of(found)
    record = {"format": FORMAT, "latest": manifest.step, "best": best.step if best else None, "save": manifest.save}
    run.replace(POINTERS, records.dump(record))


def _last_good(before: list[Found]) -> str:
    steps = [one.step for one in before if one.manifest is not None]
    return f"last good step {steps[0]}" if steps else "there is no earlier one"
