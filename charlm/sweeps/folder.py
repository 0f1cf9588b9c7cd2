"""A sweep's folder: ``sweep.json``, what is searched; ``results.jsonl``, what came out; and the run of each trial."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.config import Config, Layer, resolve
from charlm.errors import ConfigError, OutputError, RunError
from charlm.runs import metrics, records
from charlm.runs.facts import checked_facts
from charlm.runs.files import Folder, in_words, make_folders, shown, temporary_of
from charlm.runs.lock import LOCK, Held, hold
from charlm.runs.manifest import is_count, read_file
from charlm.runs.opening import SWEEP
from charlm.sweeps.plan import Plan

RESULTS = "results.jsonl"
FORMAT = 2
STATUSES = ("trained", "diverged", "failed")


def run_name(trial: int) -> str:
    """The name of a trial's run folder, below the sweep's: ``trial-007``."""
    return f"trial-{trial:03}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a sweep searches; all that `sweep.json` holds.

    Attributes:
        config: settings of every trial, but for its own values and its end.
        ranges: as they were given, by name of the setting.
        trials: the values of each trial, which are drawn once.
        plan: the rungs.
        corpus: `charlm.runs.Data.facts` of the text.
        free: settings that nobody asked for and no range has: each trial chooses them as a training of its own would.
    """

    config: Config
    ranges: Mapping[str, str]
    trials: tuple[Mapping[str, Any], ...]
    plan: Plan
    corpus: Mapping[str, Any]
    free: tuple[str, ...]

    def config_of(self, trial: int) -> Config:
        """The settings of trial number `trial`, from 1, with the end of the last rung. Raises `ConfigError`."""
        own = {name: value for section in self.config.to_json().values() for name, value in section.items()}
        layers = [Layer(origin="flag", values=own), Layer(origin="flag", values=self.trials[trial - 1])]
        config = resolve(layers).config
        return dataclasses.replace(config, training=self.plan.training(config.training, self.plan.longest))

    def to_record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "format": FORMAT,
            "config": self.config.to_json(),
            "ranges": dict(self.ranges),
            "trials": [dict(values) for values in self.trials],
            "plan": dataclasses.asdict(self.plan),
            "corpus": dict(self.corpus),
            "free": list(self.free),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> Search:
        """What `to_record` gave. Raises `RunError` where it is not that."""
        if record.get("format") != FORMAT:
            raise RunError(f"{where} is of format {record.get('format')!r}, this charlm reads {FORMAT}")
        try:
            search = cls(
                config=Config.from_json(record["config"], where),
                ranges={name: _text(text) for name, text in record["ranges"].items()},
                trials=tuple(dict(values) for values in record["trials"]),
                plan=Plan.from_record(record["plan"]),
                corpus=checked_facts({"corpus": record["corpus"]})["corpus"],
                free=tuple(map(_text, record["free"])),
            )
            for trial in range(1, len(search.trials) + 1):
                search.config_of(trial)
        except ConfigError as error:
            raise RunError(f"{where}: {str(error).removeprefix(where + ': ')}") from None
        except (LookupError, TypeError, ValueError, AttributeError):
            raise RunError(f"{where} is damaged: not the fields of a sweep") from None
        return search


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial stood at the end of a rung: a line of `results.jsonl`.

    Attributes:
        trial, rung: from 1.
        run: name of its run folder, in the sweep's.
        values: its settings that were searched.
        status: trained, diverged or failed (it could not be trained: `reason` says why).
        step: optimiser steps so far.
        seconds: what the trial has cost so far, scoring included.
        nats_per_character, bits_per_character: of its best checkpoint on the sweep's validation text; None where
            there is none.
    """

    trial: int
    rung: int
    run: str
    values: Mapping[str, Any]
    status: str
    reason: str | None
    step: int
    seconds: float
    nats_per_character: float | None
    bits_per_character: float | None

    @property
    def rank(self) -> tuple[float, int]:
        """Sorts best first, and what has no loss last."""
        return (math.inf if self.nats_per_character is None else self.nats_per_character, self.trial)

    def to_record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"kind": "trial", **dataclasses.asdict(self), "values": dict(self.values)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Outcome:
        """What `to_record` gave. Raises `LookupError`, `TypeError` or `ValueError` where it is not that."""
        one = cls(**{field.name: record[field.name] for field in dataclasses.fields(cls)})
        losses = [loss for loss in (one.nats_per_character, one.bits_per_character) if loss is not None]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in (one.seconds, *losses)):
            raise TypeError
        if not all(map(is_count, (one.trial, one.rung, one.step))) or not isinstance(one.values, dict):
            raise TypeError
        # what the run is called follows from the trial: no other folder is ever looked into
        if one.status not in STATUSES or one.run != run_name(one.trial) or not isinstance(one.reason, str | None):
            raise ValueError
        return one


def refuse_taken(folder: Path) -> None:
    """Raises `RunError` where there is something at `folder` already, but for what a killed process had begun there."""
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir() or not _is_unbegun(os.listdir(folder))):
        raise RunError(f"{shown(folder)} is there already: choose another name, or give it to --resume")


def _is_unbegun(names: list[str]) -> bool:
    return all(name == LOCK or temporary_of(name) == SWEEP for name in names)


def create(folder: Path, search: Search) -> None:
    """Make the folder of a new sweep.

    Raises:
        RunError: there is something already.
        RunInUseError: another process makes it at this moment.
        OutputError: it cannot be made.
    """
    refuse_taken(folder)
    try:
        make_folders(folder)
        with hold(folder, time.time), Folder.open(folder) as opened:
            refuse_taken(folder)
            opened.replace(SWEEP, records.dump(search.to_record()))
    except OSError as error:
        raise OutputError(f"sweep folder {shown(folder)} not made: {in_words(error)}") from None


def read(folder: Path) -> tuple[Search, list[Outcome], list[str]]:
    """What a sweep searches, what came out so far, oldest first, and notices of damaged lines.

    Raises:
        RunError: it is no sweep's folder, or is damaged.
    """
    where = f"{shown(folder.name)}/{SWEEP}"
    try:
        with Folder.open(folder) as opened:
            if opened.status(SWEEP) is None:
                raise RunError(f"{shown(folder)} is no sweep's folder: it has no {SWEEP}")
            search = Search.from_record(records.load(read_file(opened, SWEEP, records.LARGEST), where), where)
            log = metrics.read(opened, RESULTS)
    except OSError as error:
        raise RunError(f"sweep folder {shown(folder)} cannot be read: {in_words(error)}") from None
    try:
        outcomes = [Outcome.from_record(record) for record in log.records]
        if not all(1 <= one.trial <= len(search.trials) for one in outcomes):
            raise ValueError
    except (LookupError, TypeError, ValueError, OverflowError):
        raise RunError(f"{shown(folder.name)}/{RESULTS} is damaged: not the fields of a trial") from None
    return search, outcomes, log.notices


@contextmanager
def writing(folder: Path, held: Held) -> Iterator[Folder]:
    """The folder, opened.

    Raises:
        RunInUseError: it is not the one that is held any more.
        OutputError: it cannot be written.
    """
    try:
        with Folder.open(folder) as opened:
            held.check(opened)
            yield opened
    except OSError as error:
        raise OutputError(f"sweep folder {shown(folder)} cannot be written: {in_words(error)}") from None


def append(folder: Path, outcome: Outcome, held: Held) -> None:
    """Add a line to the results of a folder that is held. Raises as `writing`; the file is then as it was."""
    with writing(folder, held) as opened:
        metrics.append(opened, outcome.to_record(), RESULTS)
