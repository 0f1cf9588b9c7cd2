"""What goes from a run folder: old checkpoints after a save, and what a killed process left."""

from __future__ import annotations

from contextlib import suppress

from charlm.errors import RunError
from charlm.runs.files import Folder, temporary_of
from charlm.runs.manifest import MANIFEST, STEP_FILES, STEP_NAME, STEPS, Found, best_of, find_checkpoints, step_name

# Files that are replaced in one step; a kill leaves NAME.tmp beside them.
REPLACED = ("pointers.json", "metrics.jsonl", "run.json")


def prune(run: Folder, keep: int, found: list[Found]) -> None:
    """Part 5 of a save: of `found`, the just saved one first, remove all but the `keep` newest and the best.

    What charlm did not make is never removed.
    """
    best = best_of(found)
    kept = {one.name for one in found[:keep]} | ({best.name} if best else set())
    with run.child(STEPS) as steps:
        for one in found:
            # one that cannot be read is left for the user to look at: the cause may be a passing one
            if one.name not in kept and one.manifest is not None:
                _retire(steps, one.name)
        for name in steps.names():
            if name.startswith(f"{step_name(found[0].step)}.old"):
                remove_step(steps, name)


def _retire(steps: Folder, name: str) -> None:
    """Remove a checkpoint in such a way that no part of it can pass for one."""
    with steps.child(name) as folder:
        if not set(folder.names()) <= set(STEP_FILES):
            return
    if ".old" not in name:
        old = steps.free_name(f"{name}.old")
        steps.rename(name, old)
        name = old
    remove_step(steps, name)


def clean(run: Folder) -> list[str]:
    """Remove what an interrupted save left behind; returns notices. Only the holder of the lock may call it."""
    notices = []
    try:
        found = find_checkpoints(run)
    except RunError:
        return []  # whoever loads or saves next finds that out as well, and says what came of it
    good = {one.step: one.name for one in found if one.manifest is not None}
    with run.child(STEPS) as steps:
        for name in steps.names():
            match = STEP_NAME.fullmatch(name)
            if match is None or match[2] is None:
                continue
            step = int(match[1])
            if match[2].startswith(".tmp"):
                remove_step(steps, name)
                notices.append(f"a later save (step {step}) was incomplete and is ignored")
            elif steps.status(step_name(step)) is None:
                # a replacement was cut short: what was there goes back, unless its own removal had begun
                steps.rename(name, step_name(step)) if good.get(step) == name else _remove_begun(steps, name)
            elif step in good:
                remove_step(steps, name)
    for name in run.names():
        if temporary_of(name) in REPLACED:
            run.discard(name)
    return notices


def _remove_begun(steps: Folder, name: str) -> None:
    if steps.is_folder(name):
        with steps.child(name) as folder:
            if folder.status(MANIFEST) is not None:
                return
    remove_step(steps, name)


def remove_step(steps: Folder, name: str) -> None:
    """Remove a step folder, or a link that stands in its place, if it is ours and can be removed."""
    with suppress(OSError):
        if steps.is_folder(name):
            # the manifest goes first: what is left of the folder can then never pass for a checkpoint
            steps.remove(name, STEP_FILES, first=MANIFEST)
        else:
            steps.discard(name)
