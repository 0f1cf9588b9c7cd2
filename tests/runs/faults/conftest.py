"""A machine on which the k-th system call fails, the process dies, or the power goes."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from charlm.errors import CharlmError
from charlm.runs import files, lock, metrics, open_run, opening

WRITING = {"open", "write", "fsync", "close", "rename", "mkdir", "unlink", "rmdir"}
CALLS = WRITING | {"read", "stat", "listdir", "fstat"}


class KilledError(BaseException):
    """The process died: nothing that it would do from here on happens."""


class Machine:
    """Stands for `os` in the modules under test: counts calls, fails or dies at the k-th, knows what the disk has."""

    def __init__(self, fail_at=0, error=None):
        self.count, self.fail_at, self.error = 0, fail_at, error
        # a disk is full for those who write; it fails and people pull plugs at any time
        self.calls = WRITING if error == errno.ENOSPC else CALLS
        self.dead = self.full = False
        self.paths = {}  # descriptor -> path
        self.pending = []  # what a power cut would undo: (kind, path, other)

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments, **options):
            self.count += name in self.calls
            if self.dead:
                raise KilledError
            if self.full and name == "write":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.count == self.fail_at and name in self.calls:
                self.fail(name, real, arguments)
            return self.perform(name, real, arguments, options)

        return call

    def fail(self, name, real, arguments):
        if name == "write":  # half of it gets there
            real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
        if self.error is None:
            self.dead = True
            raise KilledError
        if name == "close":
            real(*arguments)
            self.paths.pop(arguments[0], None)
        raise OSError(self.error, os.strerror(self.error))

    def perform(self, name, real, arguments, options):
        path = self.located(arguments[0], options) if arguments else None
        if name == "rename":
            target = self.located(arguments[1], options)
            replaced = Path(target).read_bytes() if os.path.isfile(target) else None
        known = os.path.lexists(path) if isinstance(path, str) else True
        result = real(*arguments, **options)
        if name == "open":
            self.paths[result] = path
            if not known:
                self.pending.append(("made", path, None))
        elif name == "close":
            self.paths.pop(arguments[0], None)
        elif name == "mkdir":
            self.pending.append(("made", path, None))
        elif name == "write":
            self.pending.append(("written", self.paths[arguments[0]], None))
        elif name == "rename":
            moved = [(kind, p.replace(path, target, 1) if p.startswith(path) else p, o) for kind, p, o in self.pending]
            self.pending = [*moved, ("renamed", target, (path, replaced))]
        elif name == "fsync":
            self.flushed(self.paths[arguments[0]])
        return result

    def located(self, name, options):
        if isinstance(name, int):
            return self.paths.get(name)
        folder = next((options[key] for key in ("dir_fd", "src_dir_fd") if options.get(key) is not None), None)
        return os.path.join(self.paths[folder], os.fspath(name)) if folder is not None else os.fspath(name)

    def flushed(self, path):
        kinds = {"made", "renamed"} if os.path.isdir(path) else {"written"}
        self.pending = [
            (kind, place, other)
            for kind, place, other in self.pending
            if not (kind in kinds and (place if kind == "written" else os.path.dirname(place)) == path)
        ]

    def cut_power(self):
        """Undo what was not flushed: content is gone, names are as before. Removals stand."""
        for kind, path, _ in reversed(self.pending):
            if kind == "written" and os.path.exists(path):
                os.truncate(path, 0)
            elif kind == "made" and os.path.isdir(path):
                shutil.rmtree(path)
            elif kind == "made" and os.path.exists(path):
                os.unlink(path)
        for kind, path, other in reversed(self.pending):
            if kind == "renamed" and os.path.lexists(path):
                os.rename(path, other[0])
            if kind == "renamed" and other[1] is not None:
                Path(path).write_bytes(other[1])

    def release(self):
        """What the kernel does when a process ends: its descriptors, and with them its locks, go."""
        for descriptor in self.paths:
            os.close(descriptor)
        self.paths = {}


@pytest.fixture
def machine():
    return Machine


@pytest.fixture
def killed():
    return KilledError


@pytest.fixture
def on(monkeypatch):
    """Run `action` on a machine; returns (its result or None, its error or None)."""

    def run_on(machine, action):
        with monkeypatch.context() as patch:
            for module in (files, lock, metrics, opening):
                patch.setattr(module, "os", machine)
            try:
                return action(), None
            except (CharlmError, KilledError) as error:
                return None, error
            finally:
                machine.release()

    return run_on


@pytest.fixture
def every_call(on):
    """Yield (machine, result, error) with the k-th call failing, for k = 1, 2, ... until none is left to fail."""

    def each(prepare, action, error=None):
        for k in range(1, 1000):
            prepare()
            machine = Machine(fail_at=k, error=error)
            result, problem = on(machine, action)
            if machine.count < k:
                assert problem is None
                return
            yield machine, result, problem
        raise AssertionError("the calls do not end")

    return each


@pytest.fixture
def saving(tmp_path, new_run, content):
    """(path of the run, a function that puts it back as it was, a function that saves the next step)."""
    master = new_run("master", steps=(100, 200), best=100, keep=2).folder
    place = tmp_path / "runs" / "poem"
    run = None

    def prepare():
        nonlocal run
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(master, place)
        run = open_run(place)

    def save(step=300, keep=1):
        return run.save(step, **content(step), best=step == 300, keep=keep)

    return place, prepare, save
