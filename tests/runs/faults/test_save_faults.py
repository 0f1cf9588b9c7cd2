"""The k-th system call of a save fails, or the process dies there, or the power goes: for every k.

Afterwards the old checkpoint or the new one is there, whole; and what was announced as saved is saved.
"""

import errno
import os
import re
import shutil

import pytest

from charlm.errors import OutputError
from charlm.runs import files, open_run


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
def test_a_save_with_a_failing_call(saving, every_call, assert_checkpoint, error):
    place, prepare, save = saving
    cases = saved = 0
    for _, result, problem in every_call(prepare, save, error):
        cases += 1
        saved += result is not None
        if problem is not None:
            assert isinstance(problem, OutputError)
            assert "\n" not in str(problem)
        check(place, assert_checkpoint, {300} if result is not None else {200, 300})
        if cases % 5 == 0:  # and at the next interval it works
            save(400)
            assert open_run(place).load_training().step == 400
    assert cases > 60
    assert 0 < saved < cases


def test_a_save_killed_at_every_call(saving, every_call, killed, assert_checkpoint):
    place, prepare, save = saving
    seen, notices = [], set()
    for _, result, problem in every_call(prepare, save):
        assert result is None
        assert isinstance(problem, killed)
        loaded = check(place, assert_checkpoint, {200, 300})
        seen.append(loaded.step)
        notices |= {(loaded.step, notice) for notice in loaded.notices}
    assert seen == sorted(seen), "once the new one is there it stays"
    assert set(seen) == {200, 300}
    assert notices == {(200, "a later save (step 300) was incomplete and is ignored")}


def test_the_same_step_saved_again_and_killed_at_every_call(saving, every_call, assert_checkpoint):
    place, prepare, save = saving

    def prepare_alone():
        prepare()
        shutil.rmtree(place / "steps" / "step-00000100")  # no other checkpoint to fall back to

    cases = 0
    for _ in every_call(prepare_alone, lambda: save(200)):
        run = open_run(place)
        assert_checkpoint(run.load_training(), 200)  # a reader, before anything is cleared up
        with run.lock():
            assert_checkpoint(run.load_training(), 200)
        cases += 1
    assert cases > 60


def test_the_power_cut_at_every_call(saving, every_call, assert_checkpoint):
    place, prepare, save = saving
    cases = 0
    for disk, _, _ in every_call(prepare, save):
        disk.cut_power()
        check(place, assert_checkpoint, {200, 300})
        cases += 1
    assert cases > 60


def test_what_was_announced_outlives_a_power_cut(saving, on, machine, assert_checkpoint):
    place, prepare, save = saving
    prepare()
    disk = machine()
    result, problem = on(disk, save)
    assert (result, problem) == (place / "steps" / "step-00000300", None)
    disk.cut_power()
    assert check(place, assert_checkpoint, {300}).notices == ()


def test_a_full_disk_is_said_in_words(saving, on, machine):
    place, prepare, save = saving
    prepare()
    disk = machine(error=errno.ENOSPC)
    disk.full = True
    _, problem = on(disk, save)
    assert str(problem) == "checkpoint not saved: disk full, about 1 MB needed, last good step 200"
    assert isinstance(problem, OutputError)
    assert not list((place / "steps").glob("*.tmp*"))


class LyingDisk:
    """Stands for `os`: of all that is written the k-th piece arrives changed, and nobody says so."""

    def __init__(self, k):
        self.count, self.k = 0, k

    def __getattr__(self, name):
        return getattr(os, name)

    def write(self, descriptor, content):
        self.count += 1
        if self.count == self.k:
            content = bytes([content[0] ^ 1]) + bytes(content[1:])
        return os.write(descriptor, content)


def attempt(action):
    """What `action` says when it fails; None when it works."""
    try:
        action()
    except OutputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("step", [200, 300])
def test_what_does_not_read_back_is_not_announced(saving, assert_checkpoint, monkeypatch, step):
    place, prepare, save = saving
    refused = 0
    for k in range(1, 100):
        prepare()
        shutil.rmtree(place / "steps" / "step-00000100")
        disk = LyingDisk(k)
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", disk)
            said = attempt(lambda: save(step))
        assert said is None or re.match("checkpoint not saved: .* last good step 200", said)
        refused += said is not None
        assert_checkpoint(open_run(place).load_training(), 200 if said else step)
        if disk.count < k:
            break
    assert refused >= 8
