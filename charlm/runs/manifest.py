"""What a checkpoint says of itself, and which checkpoints a run has.

``steps/step-00001200`` is a complete checkpoint; ``.tmp`` one being written; ``.old`` what stood there
before, on its way out (both with a number where that name was taken). The manifest is written last, so
a folder without one was never complete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from charlm.errors import RunError
from charlm.runs import records
from charlm.runs.files import FileFacts, Folder, in_words

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
TRAINING = "training.safetensors"
PROGRESS = "training.json"
DATA_FILES = (WEIGHTS, TRAINING, PROGRESS)
STEP_FILES = (*DATA_FILES, MANIFEST)
STEPS = "steps"
STEP_NAME = re.compile(r"step-(\d{8,15})((?:\.old|\.tmp)(?:-\d+)?)?", re.ASCII)

LAST_TIME = 253402300800.0  # the year 10000
# A run has as many manifests as checkpoints, and a list of runs reads them all.
LARGEST = 1 << 16
LARGEST_NUMBER = 2**63 - 1

Figures = Mapping[str, float | int | None]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A checkpoint's own record.

    Attributes:
        step: optimiser steps applied.
        save: this was the run's save number `save`; orders checkpoints whatever clock and steps say.
        best: it had the best validation loss so far.
        saved_at: seconds since 1970, by the clock that the run was given.
        vocabulary: the tokenizer's fingerprint.
        parameters: numbers in the weights.
        figures: what `runs list` shows (characters, validation_nats, bits_per_character, ...).
        files: size and hash of each data file.
    """

    step: int
    save: int
    best: bool
    saved_at: float
    vocabulary: str
    parameters: int
    figures: dict[str, float | int | None]
    files: dict[str, FileFacts]

    def to_bytes(self) -> bytes:
        """The content of manifest.json. Raises `ValueError` where it would be too large to be read back."""
        content = records.dump({"format": FORMAT, **asdict(self)})
        if len(content) > LARGEST:
            raise ValueError(f"a manifest of {len(content):,} bytes is larger than the {LARGEST:,} that are read back")
        return content

    @property
    def size(self) -> int:
        """Bytes of the data files."""
        return sum(facts.size for facts in self.files.values())


@dataclass(frozen=True, kw_only=True)
class Found:
    """A checkpoint as found on disk: its folder's name in `steps`, its manifest or what is wrong with it."""

    step: int
    name: str
    manifest: Manifest | None
    problem: str | None

    @property
    def order(self) -> tuple[int, int]:
        """Sorts from the oldest to the newest; one that cannot be read counts as the oldest."""
        return (self.manifest.save if self.manifest else 0, self.step)


def step_name(step: int) -> str:
    """``step-00001200``."""
    return f"step-{step:08d}"


def read_manifest(folder: Folder, step: int) -> Manifest:
    """The manifest of the checkpoint in `folder`, every field checked.

    Raises:
        RunError: it is missing, damaged, of another format, or of another step.
    """
    content = read_file(folder, MANIFEST, LARGEST)
    record = records.parse(content, MANIFEST)
    check_format(record, MANIFEST)
    record = records.verify(record, content, MANIFEST)
    try:
        manifest = _from_record(record)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise RunError(f"{MANIFEST} is damaged: not the fields of a checkpoint") from None
    if manifest.step != step:
        raise RunError(f"{MANIFEST} is of step {manifest.step}, not {step}")
    return manifest


def check_format(record: Mapping[str, Any], where: str) -> None:
    """Refuse a file of a newer charlm, or of none."""
    version = record.get("format")
    if not is_count(version) or version < 1:
        raise RunError(f"{where} is damaged: format must be {FORMAT}, was {version!r:.40}")
    if version > FORMAT:
        raise RunError(f"{where} has format {version}, this charlm reads up to {FORMAT}: update charlm")


def _from_record(record: Mapping[str, Any]) -> Manifest:
    files = {name: FileFacts(size=facts["size"], sha256=facts["sha256"]) for name, facts in record["files"].items()}
    manifest = Manifest(
        **{key: value for key, value in record.items() if key not in ("format", "files", "figures")},
        figures=dict(record["figures"]),
        files=files,
    )
    whole = (manifest.step, manifest.save, manifest.parameters, *(facts.size for facts in files.values()))
    if set(files) != set(DATA_FILES) or not all(is_count(number) for number in whole):
        raise ValueError
    if not isinstance(manifest.best, bool) or not isinstance(manifest.saved_at, float | int):
        raise TypeError
    if not 0 <= manifest.saved_at < LAST_TIME or not all(_is_figure(value) for value in manifest.figures.values()):
        raise ValueError
    return manifest


def is_count(value: Any) -> TypeGuard[int]:
    """Whether `value` is a whole number that counts something."""
    return type(value) is int and 0 <= value <= LARGEST_NUMBER


def _is_figure(value: Any) -> bool:
    return value is None or isinstance(value, float) or (type(value) is int and abs(value) <= LARGEST_NUMBER)


def read_file(folder: Folder, name: str, limit: int) -> bytes:
    """`folder.read`, its failures as a `RunError` that names the file."""
    content = read_if_there(folder, name, limit)
    if content is None:
        raise RunError(f"{name} is missing")
    return content


def read_if_there(folder: Folder, name: str, limit: int) -> bytes | None:
    """As `read_file`; None where there is no such file."""
    try:
        return folder.read(name, limit)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{name} cannot be read: {in_words(error)}") from None


def find_checkpoints(run: Folder) -> list[Found]:
    """The run's complete checkpoints, newest first, read from their manifests alone.

    A ``.old`` counts only where its step has no other folder: then a replacement was cut short.
    """
    found = {}
    try:
        with run.child(STEPS) as steps:
            for name in steps.names():  # sorted: step-N comes before step-N.old
                match = STEP_NAME.fullmatch(name)
                if match is None or (match[2] or "").startswith(".tmp") or int(match[1]) in found:
                    continue
                candidate = _examine(steps, name, int(match[1]))
                if candidate.manifest is None and steps.status(name) is None:
                    continue  # a writer has pruned it meanwhile
                if match[2] is None or candidate.manifest is not None:
                    found[candidate.step] = candidate
    except OSError as error:
        raise RunError(f"{STEPS} cannot be read: {in_words(error)}") from None
    return sorted(found.values(), key=lambda one: one.order, reverse=True)


def _examine(steps: Folder, name: str, step: int) -> Found:
    try:
        with steps.child(name) as folder:
            return Found(step=step, name=name, manifest=read_manifest(folder, step), problem=None)
    except RunError as error:
        return Found(step=step, name=name, manifest=None, problem=str(error))
    except OSError as error:
        return Found(step=step, name=name, manifest=None, problem=in_words(error))


def best_of(found: list[Found]) -> Found | None:
    """The checkpoint that was last marked as the best, or None."""
    return next((one for one in found if one.manifest is not None and one.manifest.best), None)


def folder_of(run: Path, one: Found) -> Path:
    """The path of a checkpoint's folder."""
    return run / STEPS / one.name
