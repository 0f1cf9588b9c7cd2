"""Signals while a library must not be left: they wait, and none is lost."""

import signal
import threading

import pytest

from charlm.simd.undisturbed import undisturbed


def test_ctrl_c_waits_until_the_end():
    done = []

    def act():
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest")

    with pytest.raises(KeyboardInterrupt):
        act()
    assert done == ["the rest"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_every_signal_comes_to_its_own_handler_as_often_as_it_came():
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with undisturbed():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            assert came == []
        assert came == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_error_leaves_the_handlers_as_they_were():
    with pytest.raises(ValueError, match="its own"), undisturbed():
        raise ValueError("its own")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ignored_signals_stay_ignored_and_other_threads_have_nothing_to_hold():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    handlers = []

    def elsewhere():
        with undisturbed():
            handlers.append(signal.getsignal(signal.SIGINT))

    try:
        with undisturbed():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert handlers == [signal.default_int_handler]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_each_signal_that_waits_is_handled_whatever_another_raises():
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))

    def act():
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)

    try:
        with pytest.raises(KeyboardInterrupt):
            act()
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_that_comes_while_handlers_are_put_back_leaves_all_of_them_working(monkeypatch):
    came, put = [], signal.signal
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))

    def put_back(number, handler):
        put(number, handler)
        if handler is signal.default_int_handler:  # back in its place, and at once disturbed
            signal.raise_signal(signal.SIGINT)

    def act():
        with undisturbed():
            monkeypatch.setattr(signal, "signal", put_back)

    try:
        with pytest.raises(KeyboardInterrupt):
            act()
        signal.raise_signal(signal.SIGTERM)
        assert came == [signal.SIGTERM]
    finally:
        put(signal.SIGTERM, before)
