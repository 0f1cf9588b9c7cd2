"""One writer to a run, however the writers come and go."""

import errno
import fcntl
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from charlm.errors import OutputError, RunError, RunInUseError
from charlm.runs import list_runs, open_run, remove_run
from charlm.runs.lock import LOCK, owner_of

HOLDER = """
import sys, time
from pathlib import Path
from charlm.runs import open_run
with open_run(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def rival():
    """Start a process that holds a run; all are killed at the end."""
    started = []

    def start(folder):
        process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_writer_is_told_who_holds_the_run(new_run, rival, content):
    run = new_run(steps=(100,))
    process = rival(run.folder)
    who = rf"run poem is in use by {process.pid} on {re.escape(os.uname().nodename)} since \d{{4}}-\d\d-\d\d "
    for action in (
        lambda: run.save(200, **content(200), best=False, keep=1),
        lambda: run.truncate_metrics(0),
        lambda: remove_run(run.folder),
    ):
        with pytest.raises(RunInUseError, match=who):
            action()
    assert run.load().step == 100  # readers need no lock
    assert list_runs(run.folder.parent)[0].owner.startswith(f"{process.pid} on ")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list_runs(run.folder.parent)[0].owner is None
    run.save(200, **content(200), best=False, keep=1)
    assert run.load().step == 200


def test_the_holder_may_ask_again(new_run, content):
    run = new_run()
    with run.lock(), run.lock():
        run.save(1, **content(1), best=False, keep=1)
        with pytest.raises(RunInUseError, match=f"in use by {os.getpid()} on "), open_run(run.folder).lock():
            pass
    assert owner_of(run.folder) is None
    with open_run(run.folder).lock():
        assert owner_of(run.folder).startswith(f"{os.getpid()} on ")


@pytest.mark.parametrize("how", ["made anew", "locked by another"])
def test_what_is_another_folder_now_is_not_written_to(new_run, content, how):
    """A run removed while it was trained, and another one begun under its name: each keeps what is its own."""
    first = new_run(steps=(100,))
    with first.lock(), ExitStack() as others:
        if how == "made anew":
            shutil.rmtree(first.folder)
            second = new_run(steps=(20,))
        else:
            (first.folder / LOCK).unlink()
            second = open_run(first.folder)
            others.enter_context(second.lock())
        before = sorted(path.relative_to(first.folder) for path in first.folder.rglob("*"))
        for action in (
            lambda: first.save(200, **content(200), best=False, keep=1),
            lambda: first.append_metrics({"kind": "step", "step": 200}),
            lambda: first.truncate_metrics(0),
            lambda: first.change_facts({"a": 1}),
        ):
            with pytest.raises(
                RunInUseError, match=r"poem is not the folder that was locked: .* nothing more is written"
            ):
                action()
        assert sorted(path.relative_to(first.folder) for path in first.folder.rglob("*")) == before
    second.save(300, **content(300), best=False, keep=2)
    assert second.load("latest").step == 300


def test_a_lock_that_somebody_removed_is_taken_again(new_run, content):
    """As if it were stale; the run is the same, and is not to be lost for that."""
    run = new_run(steps=(100,))
    with run.lock():
        (run.folder / LOCK).unlink()
        run.save(200, **content(200), best=False, keep=2)
        with pytest.raises(RunInUseError, match=f"in use by {os.getpid()} on "), open_run(run.folder).lock():
            pass
        run.append_metrics({"kind": "step", "step": 200})
    assert open_run(run.folder).load("latest").step == 200
    with open_run(run.folder).lock():
        pass


def test_where_there_are_no_locks_a_copied_one_names_nobody(new_run, monkeypatch):
    run = new_run()
    (run.folder / "lock").write_text('{"pid": 1, "host": "elsewhere", "since": "2026-01-01 00:00"}')

    def missing(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", missing)
    assert owner_of(run.folder) is None


def test_the_lock_goes_with_an_error(new_run):
    run = new_run()
    with pytest.raises(ZeroDivisionError), run.lock():
        _ = 1 / 0
    assert owner_of(run.folder) is None


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"pid": 1}', b'{"pid": "\\u001b[2J", "host": "h", "since": "s"}', b"\xff" * 2000]
)
def test_what_stands_in_the_lock_is_not_trusted(new_run, rival, text):
    run = new_run()
    rival(run.folder)
    (run.folder / "lock").write_bytes(text)
    with pytest.raises(RunInUseError, match="run poem is in use by another process"), run.lock():
        pass


def test_a_copy_made_of_hard_links_has_a_lock_of_its_own(new_run, tmp_path, content):
    run = new_run(steps=(100,))
    run.append_metrics({"kind": "save", "step": 100})
    copy = run.folder.with_name("copy")
    subprocess.run(["cp", "-al", str(run.folder), str(copy)], check=True)
    before = {path.name: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != "lock"}
    with run.lock():
        run.save(200, **content(200), best=False, keep=1)
        run.append_metrics({"kind": "save", "step": 200})
        with open_run(copy).lock():
            pass
    assert {p.name: p.read_bytes() for p in copy.rglob("*") if p.is_file() and p.name != "lock"} == before


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_lock_that_is_no_file_is_refused(new_run, tmp_path, kind):
    run = new_run()
    (run.folder / "lock").unlink(missing_ok=True)
    outside = tmp_path / "outside"
    (run.folder / "lock").mkdir() if kind == "folder" else (run.folder / "lock").symlink_to(outside)
    with pytest.raises(OutputError, match=r"run folder .* cannot be written"), run.lock():
        pass
    assert not outside.exists()


@pytest.mark.parametrize("same", [False, True])
def test_runs_made_at_the_same_moment_do_not_disturb_each_other(new_run, tmp_path, same):
    for attempt in range(5):
        root = tmp_path / str(attempt)
        with ThreadPoolExecutor(8) as pool:
            made = [pool.submit(new_run, "a" if same else f"a{n}", (), root=root) for n in range(8)]
        errors = [future.exception() for future in made if future.exception()]
        assert [type(error) for error in errors] == [RunError] * (7 if same else 0)
        assert sorted(path.name for path in root.iterdir()) == (["a"] if same else [f"a{n}" for n in range(8)])


def hammer(folder, number, barrier, results):
    barrier.wait()
    try:
        with open_run(folder).lock():
            results.put(("held", number, json.loads((folder / "lock").read_bytes())["pid"], os.getpid()))
            barrier.wait()
    except RunInUseError:
        results.put(("refused", number, 0, 0))
        barrier.wait()


def test_of_many_at_once_exactly_one_gets_it(new_run):
    run = new_run()
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(4), spawn.Queue()
    processes = [spawn.Process(target=hammer, args=(run.folder, n, barrier, results)) for n in range(4)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    held = [outcome for outcome in outcomes if outcome[0] == "held"]
    assert len(held) == 1
    assert held[0][2] == held[0][3]
