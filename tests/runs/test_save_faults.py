"""The k-th system call of a save fails, or the process dies there, or the power goes: for every k.

Afterwards the old checkpoint or the new one is there, whole; and what was announced as saved is saved.
"""

import errno
import os
import shutil
from pathlib import Path

import pytest

from charlm.errors import CharlmError, OutputError
from charlm.runs import create_run, files, list_runs, lock, open_run, opening

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
                if other[1] is not None:
                    Path(path).write_bytes(other[1])

    def release(self):
        """What the kernel does when a process ends: its descriptors, and with them its locks, go."""
        for descriptor in self.paths:
            os.close(descriptor)
        self.paths = {}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """The machine keeps the books of what is flushed; the real disk need not be waited for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def on(monkeypatch):
    """Run `action` on a machine; returns (its result or None, its error or None)."""

    def run_on(machine, action):
        with monkeypatch.context() as patch:
            for module in (files, lock, opening):
                patch.setattr(module, "os", machine)
            try:
                return action(), None
            except (CharlmError, KilledError) as error:
                return None, error
            finally:
                machine.release()

    return run_on


def every_call(on, prepare, action, error=None):
    """Yield (machine, result, error) with the k-th call failing, for k = 1, 2, ... until none is left to fail."""
    for k in range(1, 1000):
        prepare()
        machine = Machine(fail_at=k, error=error)
        result, problem = on(machine, action)
        if machine.count < k:
            assert problem is None
            return
        yield machine, result, problem
    raise AssertionError("the calls do not end")


@pytest.fixture
def saving(tmp_path, new_run, content):
    """(path of the run, a function that puts it back as it was, a function that saves the next step)."""
    master = new_run("master", steps=(100, 200), best=100, keep=2).folder
    place = tmp_path / "runs" / "poem"

    def prepare():
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(master, place)

    def save(step=300, keep=1):
        return open_run(place).save(step, **content(step), best=step == 300, keep=keep)

    return place, prepare, save


def check(place, assert_checkpoint, allowed):
    """The run is sound at one of the `allowed` steps, and the next start leaves nothing behind."""
    run = open_run(place)
    with run.lock():
        loaded = run.load_training()
    assert loaded.step in allowed
    assert_checkpoint(loaded, loaded.step)
    assert run.load("best").step in (100, 300)
    left = [path.name for path in place.rglob("*") if ".tmp" in path.name or ".old" in path.name]
    assert left == []
    return loaded


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_save_with_a_failing_call(saving, on, assert_checkpoint, error):
    place, prepare, save = saving
    cases = saved = 0
    for _, result, problem in every_call(on, prepare, save, error):
        cases += 1
        saved += result is not None
        if problem is not None:
            assert isinstance(problem, CharlmError)
            assert "\n" not in str(problem)
        check(place, assert_checkpoint, {300} if result is not None else {200, 300})
        if cases % 5 == 0:  # and at the next interval it works
            save(400)
            assert open_run(place).load_training().step == 400
    assert cases > 60
    assert 0 < saved < cases


def test_a_save_killed_at_every_call(saving, on, assert_checkpoint):
    place, prepare, save = saving
    seen, notices = [], set()
    for _, result, problem in every_call(on, prepare, save):
        assert result is None
        assert isinstance(problem, KilledError)
        loaded = check(place, assert_checkpoint, {200, 300})
        seen.append(loaded.step)
        notices |= {(loaded.step, notice) for notice in loaded.notices}
    assert seen == sorted(seen), "once the new one is there it stays"
    assert set(seen) == {200, 300}
    assert notices == {(200, "a later save (step 300) was incomplete and is ignored")}


def test_the_same_step_saved_again_and_killed_at_every_call(saving, on, assert_checkpoint):
    place, prepare, save = saving

    def prepare_alone():
        prepare()
        shutil.rmtree(place / "steps" / "step-00000100")  # no other checkpoint to fall back to

    cases = 0
    for _ in every_call(on, prepare_alone, lambda: save(200)):
        run = open_run(place)
        assert_checkpoint(run.load_training(), 200)  # a reader, before anything is cleared up
        with run.lock():
            assert_checkpoint(run.load_training(), 200)
        cases += 1
    assert cases > 60


def test_the_power_cut_at_every_call(saving, on, assert_checkpoint):
    place, prepare, save = saving
    for machine, _, _ in every_call(on, prepare, save):
        machine.cut_power()
        check(place, assert_checkpoint, {200, 300})


def test_what_was_announced_outlives_a_power_cut(saving, on, assert_checkpoint):
    place, prepare, save = saving
    prepare()
    machine = Machine()
    result, problem = on(machine, save)
    assert (result, problem) == (place / "steps" / "step-00000300", None)
    machine.cut_power()
    assert check(place, assert_checkpoint, {300}).notices == ()


def test_a_full_disk_is_said_in_words(saving, on):
    place, prepare, save = saving
    prepare()
    machine = Machine(error=errno.ENOSPC)
    machine.full = True
    _, problem = on(machine, save)
    assert str(problem) == "checkpoint not saved: disk full, about 1 MB needed, last good step 200"
    assert isinstance(problem, OutputError)
    assert not list((place / "steps").glob("*.tmp*"))


@pytest.mark.parametrize("error", [None, errno.ENOSPC, errno.EIO])
def test_making_a_run_with_a_failing_call(tmp_path, on, tokenizer, error):
    from charlm.config import Config

    root = tmp_path / "runs"
    made = 0

    def make():
        return create_run(root / "a", config=Config(), facts={}, tokenizer=tokenizer)

    for _, result, _ in every_call(on, lambda: shutil.rmtree(root, ignore_errors=True), make, error):
        summaries = list_runs(root)
        assert [one.problem for one in summaries] in ([], [None])
        assert result is None or summaries
        made += len(summaries)
        create_run(root / "b", config=Config(), facts={}, tokenizer=tokenizer)
        assert {path.name for path in root.iterdir()} <= {"a", "b"}
    assert made


def test_removing_a_run_killed_at_every_call(tmp_path, on, new_run, tokenizer, saving):
    place, prepare, _ = saving
    for _, result, _ in every_call(on, prepare, lambda: opening.remove_run(place)):
        assert result is None
        if place.exists():
            assert open_run(place).load_training().step == 200
        else:
            new_run("next")
            assert {path.name for path in place.parent.iterdir()} == {"master", "next"}
            shutil.rmtree(place.parent / "next")
