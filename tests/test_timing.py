"""The clock of time budgets: it stands in pauses, nested ones and those of several threads too."""

import threading
from types import SimpleNamespace

import pytest

from charlm import timing


@pytest.fixture
def pass_seconds(monkeypatch):
    """Let so many seconds go by on a clock of the test's own."""
    now = [1000.0]
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def go(seconds):
        now[0] += seconds

    return go


def test_time_is_counted_but_in_pauses(pass_seconds):
    begun, stood = timing.counted_time(), timing.paused_seconds()
    pass_seconds(1)
    with timing.paused():
        pass_seconds(2)
        with timing.paused():
            pass_seconds(4)
        assert timing.counted_time() - begun == 1  # also while it stands
        pass_seconds(8)
    pass_seconds(16)
    assert timing.counted_time() - begun == 17
    assert timing.paused_seconds() - stood == 14


def interrupted(pass_seconds):
    with timing.paused():
        pass_seconds(1)
        raise KeyboardInterrupt


def test_the_clock_goes_on_after_what_fails(pass_seconds):
    begun = timing.counted_time()
    with pytest.raises(KeyboardInterrupt):
        interrupted(pass_seconds)
    pass_seconds(2)
    assert timing.counted_time() - begun == 2


def test_pauses_of_two_threads_are_counted_once(pass_seconds):
    begun, within, leave = timing.counted_time(), threading.Event(), threading.Event()

    def other():
        with timing.paused():
            within.set()
            assert leave.wait(60)

    thread = threading.Thread(target=other)
    with timing.paused():
        thread.start()
        assert within.wait(60)
        pass_seconds(1)
    pass_seconds(2)  # the other one goes on
    leave.set()
    thread.join(60)
    pass_seconds(4)
    assert timing.counted_time() - begun == 4
