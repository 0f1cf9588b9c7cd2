"""Threads that share lanes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

import numpy as np
import pytest
import torch

from charlm.kernels import team
from charlm.kernels.team import Work, shares, team_size, together, torch_alone


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("count", [1, 2, 5, 16, 33])
def test_shares_hold_everything_once_and_are_about_equal(count: int, threads: int) -> None:
    parts = shares(count, threads)
    assert [index for first, last in parts for index in range(first, last)] == list(range(count))
    sizes = {last - first for first, last in parts}
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == min(threads, count)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_all_tasks_run_at_the_same_time(count: int) -> None:
    meeting = threading.Barrier(count, timeout=30)  # broken, and so raised, if one of them has to wait its turn
    done = []

    def task() -> None:
        meeting.wait()
        done.append(threading.get_ident())

    together([task] * count)
    assert len(set(done)) == count


def test_an_exception_reaches_the_caller_and_the_next_tasks_run() -> None:
    done: list[int] = []

    def fail() -> None:
        raise FloatingPointError("of the second")

    tasks: list[Callable[[], None]] = [lambda: done.append(1), fail]
    with pytest.raises(FloatingPointError, match="of the second"):
        together(tasks)
    together([lambda: done.append(2), lambda: done.append(2)])
    assert sorted(done) == [1, 2, 2]


def test_denormals_are_zero_in_the_other_threads_and_in_the_caller_where_it_says_so() -> None:
    products = {}

    def task(name: str) -> None:
        products[name] = float((np.full(4, 1e-20, np.float32) * np.float32(1e-20))[0])

    for flushed in (False, True):
        torch.set_flush_denormal(flushed)
        together([partial(task, "other"), partial(task, "caller")])
        assert products["other"] == 0
        assert (products["caller"] == 0) == flushed
    torch.set_flush_denormal(False)


def test_an_interruption_waits_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they compute in would be used for something else by then."""
    goes_on, ended, waits = threading.Event(), [], []

    def other() -> None:
        goes_on.wait(10)
        ended.append(True)

    def interrupted(running: list[Future[None]]) -> None:
        waits.append(True)
        if len(waits) == 1:
            raise KeyboardInterrupt
        goes_on.set()
        wait(running)

    monkeypatch.setattr(team, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        together([other, lambda: None])
    assert ended == [True]


def test_torch_alone_leaves_the_lanes_their_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert team_size() == 3
        with torch_alone(), torch_alone():
            assert (torch.get_num_threads(), team_size()) == (1, 3)
        assert (torch.get_num_threads(), team_size()) == (3, 3)
        with pytest.raises(KeyError), torch_alone():
            raise KeyError
        assert (torch.get_num_threads(), team_size()) == (3, 3)
    finally:
        torch.set_num_threads(before)


def ended(run: Callable[[], None]) -> BaseException | None:
    """What it raised. What hangs fails here, not the whole suite."""
    raised = list[BaseException]()

    def call() -> None:
        try:
            run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return raised[0] if raised else None


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_job_begins_when_all_that_it_needs_was_given(threads: int) -> None:
    work, said = Work(), list[str]()

    def first(name: str, thread: int) -> None:
        time.sleep(0.01)
        said.append(name)
        work.given("halves")
        time.sleep(0.01)
        said.append(f"end of {name}")
        work.given("ends")

    def second(needed: list[str], name: str, thread: int) -> None:
        assert set(needed) <= set(said)
        assert 0 <= thread < threads
        said.append(name)

    names = ["one", "two"]
    for name in names:
        work.add(partial(first, name), gives=["halves", "ends"])
    work.add(partial(second, names, "three"), needs=["halves"])
    work.add(partial(second, ["end of one", "end of two"], "four"), needs=["ends", "halves"])
    assert ended(lambda: work.run(threads)) is None
    assert sorted(said) == sorted([*names, "end of one", "end of two", "three", "four"])


@pytest.mark.parametrize("slow", [True, False])
@pytest.mark.parametrize("of_caller", [True, False])
@pytest.mark.parametrize("kind", [FloatingPointError, KeyboardInterrupt])
def test_a_job_that_fails_ends_the_waiting_for_it(kind: type[BaseException], of_caller: bool, slow: bool) -> None:
    """The caller's or another thread's. It is raised when nobody works any more, and what was not begun is not done."""
    work, done, both, caller = Work(), list[str](), threading.Barrier(2, timeout=30), list[int]()

    def one_of_two(thread: int) -> None:
        both.wait()
        if (threading.get_ident() == caller[0]) == of_caller:
            time.sleep(0.05)
            raise kind("of a job")
        time.sleep(0.2 if slow else 0)
        done.append("the other")
        work.given("it")

    def run() -> None:
        caller.append(threading.get_ident())
        work.run(2)

    for _ in range(2):
        work.add(one_of_two, gives=["it"])
    work.add(lambda thread: done.append("later"), needs=["it"])
    error = ended(run)
    assert isinstance(error, kind)
    assert str(error) == "of a job"
    assert done == ["the other"]


def test_a_job_needs_what_jobs_before_it_give() -> None:
    work = Work()
    with pytest.raises(ValueError, match="what jobs before it give"):
        work.add(lambda thread: None, needs=["it"])
    work.add(lambda thread: work.given("it"), gives=["it"])
    work.add(lambda thread: None, needs=["it"])
    assert ended(lambda: work.run(1)) is None


def test_many_callers_at_a_time_wait_only_for_what_somebody_does() -> None:
    """More of them than the threads they share: none may hold a thread that waits for one that nobody has."""

    def call() -> int:
        work, done = Work(), list[int]()

        def lanes(thread: int) -> None:
            time.sleep(0.001)
            work.given("lanes")

        for _ in range(3):
            work.add(lanes, gives=["lanes"])
        work.add(done.append, needs=["lanes"])
        assert ended(lambda: work.run(3)) is None
        return len(done)

    with ThreadPoolExecutor(8) as callers:
        calls = [callers.submit(call) for _ in range(40)]
        assert [each.result(timeout=60) for each in calls] == [1] * 40
