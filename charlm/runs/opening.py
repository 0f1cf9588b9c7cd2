"""Make a run folder, open one, remove one. A folder appears whole under its name, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlm.config import Config
from charlm.errors import ConfigError, OutputError, RunError
from charlm.runs import lock, records
from charlm.runs.facts import checked_facts
from charlm.runs.files import FileFacts, Folder, in_words, make_folders, shown, temporary_of
from charlm.runs.lock import LOCK, Clock
from charlm.runs.manifest import FORMAT, MANIFEST, STEP_FILES, STEP_NAME, STEPS, check_format, is_count, read_file
from charlm.runs.metrics import METRICS
from charlm.runs.run import RUN, TOKENIZER_FILES, Run
from charlm.runs.saving import POINTERS

if TYPE_CHECKING:
    from charlm.tokenizers import Tokenizer

# All that a run folder of ours holds, beside the steps.
RUN_FILES = (RUN, *TOKENIZER_FILES, METRICS, LOCK, POINTERS)
# What a sweep's folder has in the place of `RUN`; `charlm.sweeps` writes it.
SWEEP = "sweep.json"
# A run folder that is being made or removed lies beside its place under this name.
STEM = ".charlm"
LONGEST_REASON = 300


def create_run(
    folder: Path, *, config: Config, facts: Mapping[str, Any], tokenizer: Tokenizer, clock: Clock = time.time
) -> Run:
    """Make the run folder `folder`; its parents are made as well.

    Args:
        config: the settings, stored in full.
        facts: JSON values: corpus facts under ``corpus``, ``vocab_size``, versions.
        tokenizer: saved with the run.
        clock: seconds since 1970; the times of saves are taken from it.

    Raises:
        RunError: there is something at `folder` already.
        OutputError: it cannot be written.
    """
    refuse_taken(folder)
    try:
        make_folders(folder.parent)
        with Folder.open(folder.parent) as parent, _alone(parent):
            _clean(parent)
            _create(parent, folder.name, config, facts, tokenizer)
    except OSError as error:
        # another process was faster; which of the two a file system says is its own choice
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise RunError(f"{shown(folder)} is there already: choose another name, or resume it") from None
        raise OutputError(f"run folder {shown(folder)} not made: {in_words(error)}") from None
    return open_run(folder, clock=clock)


def refuse_unkept(config: Config) -> None:
    """Let only settings pass that a run folder can keep: to be asked before any work is done for it.

    Raises:
        ConfigError: they name more texts than fit into a record.
    """
    try:
        size = len(records.plain(config.to_json()))
    except ValueError:
        size = records.LARGEST
    if size > records.LARGEST // 2:
        count = len(config.corpus.corpus)
        raise ConfigError(f"{count:,} texts are more than a run can keep the names of: name the folder they are in")


def refuse_taken(folder: Path) -> None:
    """Let only a place pass where a run folder can be made: to be asked before any work is done for it.

    Raises:
        RunError: there is something at `folder` already.
        OutputError: such a folder cannot be.
    """
    try:
        os.lstat(folder)
        # subtle: an empty folder may be taken over, since renaming a folder onto it is atomic as well
        taken = folder.is_symlink() or not folder.is_dir() or any(folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"run folder {shown(folder)} not made: {in_words(error)}") from None
    if taken:
        raise RunError(f"{shown(folder)} is there already: choose another name, or resume it")


def _create(parent: Folder, name: str, config: Config, facts: Mapping[str, Any], tokenizer: Tokenizer) -> None:
    temporary = parent.make_temporary(STEM)
    try:
        with parent.child(temporary) as run:
            _fill(run, config, facts, tokenizer)
        parent.rename(temporary, name)
        parent.sync()
    except BaseException:
        _remove_run(parent, temporary)
        raise


def _fill(run: Folder, config: Config, facts: Mapping[str, Any], tokenizer: Tokenizer) -> None:
    run.make(STEPS)
    files = {name: run.write(name, [content]) for name, content in tokenizer.to_files().items()}
    record = {
        "format": FORMAT,
        "config": config.to_json(),
        "facts": dict(facts),
        "vocabulary": tokenizer.fingerprint,
        "files": {name: {"size": one.size, "sha256": one.sha256} for name, one in files.items()},
    }
    run.write(RUN, [records.dump(record)])
    run.sync()


def open_run(folder: Path, *, clock: Clock = time.time) -> Run:
    """Open the run folder `folder`; its settings are checked, its weights are not touched.

    Raises:
        RunError: it is no run folder, or run.json is damaged, of a newer format, or has settings out of range;
            the message names the setting.
    """
    where = f"{shown(folder.name)}/{RUN}"
    try:
        with Folder.open(folder) as run:
            if run.status(RUN) is None:
                raise no_run(folder)
            content = read_file(run, RUN, records.LARGEST)
    except OSError as error:
        raise RunError(f"run folder {shown(folder)} cannot be read: {in_words(error)}") from None
    record = records.parse(content, where)
    check_format(record, where)
    try:
        config = Config.from_json(record.get("config", {}), where)
    except ConfigError as error:
        raise RunError(f"{where}: {str(error).removeprefix(where + ': ')}"[:LONGEST_REASON]) from None
    record = records.verify(record, content, where)
    try:
        files = {name: FileFacts(size=one["size"], sha256=one["sha256"]) for name, one in record["files"].items()}
        if not set(files) <= set(TOKENIZER_FILES) or not all(is_count(one.size) for one in files.values()):
            raise ValueError
        return Run(
            folder,
            config=config,
            facts=checked_facts(record["facts"]),
            fingerprint=str(record["vocabulary"]),
            files=files,
            clock=clock,
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        raise RunError(f"{where} is damaged: not the fields of a run") from None


def no_run(folder: Path) -> RunError:
    """The error for a folder that has nothing of a run in it."""
    if (folder / SWEEP).is_file():
        # what cannot be printed cannot be typed either
        remedy = f"; rm -r {shlex.quote(str(folder))} removes it with all of them" if str(folder).isprintable() else ""
        return RunError(f"{shown(folder)} is a sweep, not a run: name one of the runs in it{remedy}")
    return RunError(f"{shown(folder)} is no run folder: it has no {RUN}")


def remove_run(folder: Path) -> None:
    """Remove a run folder and all its checkpoints.

    Raises:
        RunError: it is no run folder, or holds files that are not charlm's; nothing is removed.
        RunInUseError: a live process writes to it.
        OutputError: it cannot be removed.
    """
    if folder.is_symlink():
        raise RunError(f"{shown(folder)} is a link: remove the folder that it points to, or the link, by hand")
    try:
        with Folder.open(folder.parent) as parent, _alone(parent):
            _refuse_strangers(parent, folder.name)
            _clean(parent)
            with lock.hold(folder, time.time):
                _refuse_strangers(parent, folder.name)
                _remove_whole(parent, folder.name)
    except OSError as error:
        raise OutputError(f"{shown(folder)} not removed: {in_words(error)}") from None


def _remove_whole(parent: Folder, name: str) -> None:
    temporary = parent.make_temporary(STEM)
    # renaming onto an empty folder is atomic: from here on the run is gone for everyone
    parent.rename(name, temporary)
    parent.sync()
    _remove_run(parent, temporary)


def _refuse_strangers(parent: Folder, name: str) -> None:
    if not parent.is_folder(name):
        raise RunError(f"{shown(name)} is no run folder")
    with parent.child(name) as run:
        names = run.names()
        if RUN not in names and STEPS not in names:
            raise no_run(parent.path / name)
        strangers = [member for member in names if not _is_ours(run, member)]
        if run.is_folder(STEPS):
            with run.child(STEPS) as steps:
                strangers += [f"{STEPS}/{member}" for member in steps.names() if not _is_step(steps, member)]
    if strangers:
        raise RunError(f"{shown(name)} holds what charlm did not make ({shown(strangers[0])}): move that away first")


def _is_ours(run: Folder, name: str) -> bool:
    return name == STEPS or name in RUN_FILES or temporary_of(name) in RUN_FILES


def _is_step(steps: Folder, name: str) -> bool:
    if STEP_NAME.fullmatch(name) is None:
        return False
    if not steps.is_folder(name):
        return True
    with steps.child(name) as step:
        return set(step.names()) <= set(STEP_FILES)


def _remove_run(parent: Folder, name: str) -> None:
    """Remove what is ours in the folder `name`, and the folder if nothing else is in it."""
    with suppress(OSError):
        with parent.child(name) as run:
            if run.is_folder(STEPS):
                with run.child(STEPS) as steps:
                    for step in steps.names():
                        if STEP_NAME.fullmatch(step) and steps.is_folder(step):
                            steps.remove(step, STEP_FILES, first=MANIFEST)
                        elif STEP_NAME.fullmatch(step):
                            steps.discard(step)
                run.remove(STEPS, ())
            for member in run.names():
                if _is_ours(run, member):
                    run.discard(member)
        parent.remove(name, ())


def _clean(parent: Folder) -> None:
    """Remove run folders that a killed process was making or removing; only while `_alone`."""
    for name in parent.names():
        if temporary_of(name) == STEM and parent.is_folder(name):
            with suppress(OSError):
                _remove_run(parent, name)


@contextmanager
def _alone(parent: Folder) -> Iterator[None]:
    """One process at a time makes or removes runs in `parent`, for the moment that takes.

    So what lies there under a temporary name is a leftover, never another's work. The lock is on the folder
    itself, and the kernel drops it with the process.
    """
    fcntl.flock(parent.descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(parent.descriptor, fcntl.LOCK_UN)
