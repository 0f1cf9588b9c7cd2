"""A run folder: one training, its settings, vocabulary, metrics and checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlm.config import Config
from charlm.errors import ConfigError, OutputError, RunError
from charlm.runs import loading, lock, pruning, records, saving
from charlm.runs import metrics as log
from charlm.runs.files import FileFacts, Folder, in_words, shown
from charlm.runs.loading import Checkpoint, TrainingCheckpoint, Which
from charlm.runs.lock import Clock
from charlm.runs.manifest import STEPS, Figures, Found, find_checkpoints, read_file

if TYPE_CHECKING:
    from charlm.runs.arrays import Arrays
    from charlm.tokenizers import Tokenizer

RUN = "run.json"
# What a tokenizer may be saved as.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")


class Run:
    """One run folder, opened.

    Attributes:
        folder: where it is.
        name: the folder's name.
        config: the settings it was made with.
        facts: what else `create_run` was given (corpus facts, vocab_size, versions, ...).
        fingerprint: of its tokenizer.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: Config,
        facts: dict[str, Any],
        fingerprint: str,
        files: Mapping[str, FileFacts],
        clock: Clock,
    ) -> None:
        self.folder = folder
        self.name = folder.name
        self.config = config
        self.facts = facts
        self.fingerprint = fingerprint
        self._files = files
        self._clock = clock
        self._held: lock.Held | None = None
        self._leftovers: list[str] = []

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The run's own tokenizer.

        Raises:
            RunError: it is missing, damaged, or not the one the run was made with.
        """
        from charlm.tokenizers import load_tokenizer

        with self._open() as folder:
            for name, facts in self._files.items():
                if hashlib.sha256(read_file(folder, name, facts.size)).hexdigest() != facts.sha256:
                    raise RunError(
                        f"{name} is damaged, or the vocabulary does not match: run {self._shown} had another"
                    )
        return load_tokenizer(self.folder, self.fingerprint)

    @contextmanager
    def lock(self) -> Iterator[Run]:
        """Hold the run for writing, and clear up what a killed process left in it.

        Raises:
            RunInUseError: another live process holds it.
            OutputError: the folder cannot be written to.
        """
        if self._held is not None:
            yield self
            return
        with lock.hold(self.folder, self._clock) as self._held:
            try:
                with self._writing() as folder:
                    self._leftovers = pruning.clean(folder)
                yield self
            finally:
                self._held = None

    def change_facts(self, changes: Mapping[str, Any]) -> None:
        """Put `changes` over `facts`, here and in run.json, which is replaced in one step.

        Raises:
            OutputError: it cannot be written; everything is as it was.
            RunError: run.json is damaged.
        """
        facts = {**self.facts, **changes}
        with self.lock(), self._writing() as folder:
            content = read_file(folder, RUN, records.LARGEST)
            record = records.verify(records.parse(content, RUN), content, RUN)
            folder.replace(RUN, records.dump({**record, "facts": facts}))
        self.facts = facts

    def save(
        self,
        step: int,
        *,
        weights: Arrays,
        training: Arrays,
        progress: Mapping[str, Any],
        best: bool,
        keep: int,
        figures: Figures | None = None,
    ) -> Path:
        """Write a checkpoint; when this returns it is on the disk and verified.

        Args:
            step: optimiser steps applied.
            weights: float32 arrays that generation and evaluation load.
            training: arrays that only training needs: moments, carried state, raw weights beside averaged ones.
                Any whole-number, bool, float32 or float64 dtype, any shape; floats must be finite.
            progress: JSON values that only training needs. Keys are text, numbers finite; a tuple comes back as
                a list.
            best: it has the best validation loss so far.
            keep: this many newest checkpoints stay, and the best.
            figures: small numbers for `list_runs`: characters, validation_nats, bits_per_character, ...

        Returns:
            The checkpoint's folder.

        Raises:
            OutputError: it could not be saved; the earlier checkpoints are as they were.
            ValueError: progress or an array that cannot be stored exactly.
        """
        content = saving.Content(
            step=step,
            weights=weights,
            training=training,
            progress=progress,
            best=best,
            figures=figures or {},
            vocabulary=self.fingerprint,
            saved_at=self._clock(),
        )
        with self.lock(), self._writing() as folder:
            return self.folder / STEPS / saving.save(folder, content, keep)

    def load(self, which: Which = None) -> Checkpoint:
        """The weights at a step, at the ``best`` or the ``latest``; None: the best if any, else the latest.

        A damaged one is passed over for the newest that is sound, but for a step asked for by number.

        Raises:
            RunError: there is none.
        """
        return loading.load(self.folder, which, self.fingerprint)

    def load_training(self, which: Which = "latest") -> TrainingCheckpoint:
        """As `load`, with `training` and `progress`; the notices include what an interrupted save left."""
        return loading.load_training(self.folder, which, self.fingerprint, tuple(self._leftovers))

    def last_config(self) -> tuple[Config, tuple[str, ...]]:
        """`config` with the settings of training that the last sitting had, an end given anew or another rate; notices.

        Where no checkpoint can be read it is `config`, and a notice says so.

        Raises:
            RunError: a checkpoint's settings are none.
        """
        try:
            if not self.was_saved():
                return self.config, ()
            found = loading.load_progress(self.folder, self.fingerprint)
        except RunError as error:
            return self.config, (f"{error}; these are the settings that the run began with",)
        settings = found.progress.get("training", {})
        where = f"run {self._shown}, {found.folder.name} [training]"
        if not isinstance(settings, dict):
            raise RunError(f"{where} is damaged: it is no table")
        try:
            return self.config.with_training(settings, where), found.notices
        except ConfigError as error:
            raise RunError(f"{where} is damaged: {error}") from None

    def checkpoints(self) -> list[Found]:
        """The checkpoints, newest first, from their manifests alone."""
        with self._open() as folder:
            return find_checkpoints(folder)

    def was_saved(self) -> bool:
        """Whether a checkpoint is here, sound or not, or was announced and is gone.

        Raises:
            RunError: what was announced cannot be read.
        """
        with self._open() as folder:
            return bool(find_checkpoints(folder) or saving.read_pointers(folder))

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add a record to metrics.jsonl. Raises `OutputError`; the file is then as it was."""
        with self._writing() as folder:
            log.append(folder, record)

    def metrics(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl that are sound, oldest first."""
        return self.read_metrics().records

    def read_metrics(self) -> log.Metrics:
        """The records, and notices of damaged lines."""
        with self._open() as folder:
            return log.read(folder)

    def truncate_metrics(self, step: int) -> int:
        """Cut off what was recorded after the checkpoint of `step`; returns how many lines that were."""
        with self.lock(), self._writing() as folder:
            return log.truncate(folder, step)

    @property
    def _shown(self) -> str:
        return shown(self.name)

    def _open(self) -> Folder:
        try:
            return Folder.open(self.folder)
        except OSError as error:
            raise RunError(f"run folder {shown(self.folder)} cannot be read: {in_words(error)}") from None

    @contextmanager
    def _writing(self) -> Iterator[Folder]:
        try:
            with Folder.open(self.folder) as folder:
                if self._held is not None:
                    self._held.check(folder)
                yield folder
        except OSError as error:
            raise OutputError(f"run folder {shown(self.folder)} cannot be written: {in_words(error)}") from None
