"""What holds for every test."""

import os
import signal
import sys
import threading

import pytest
from hypothesis import HealthCheck, settings

from charlm.config.folders import cache_folder

# tests have caches of their own; machine code is made once for all of them, and for all commands they start
os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / "compiled"))
# two processes of tests share the processor: what waits in the one must not keep the other from its work
os.environ.setdefault("GOMP_SPINCOUNT", "0")

# no folder of examples in the working directory; the same examples in every run
settings.register_profile("charlm", database=None, derandomize=True, deadline=None)
# the same properties elsewhere: tests/soak/properties.py
settings.register_profile("few", database=None, derandomize=True, deadline=None, max_examples=5)
settings.register_profile(
    "many", database=None, deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("charlm")

# a suite started in the background may have been told to ignore these, and so would the commands it starts
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


class KilledError(BaseException):
    """The process died: nothing that it would do from here on happens."""


class FileCalls:
    """What Python asks the system for in this thread; the k-th request fails, or is the last one."""

    REQUESTS = frozenset(
        ("open", "os.fsync", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.listdir", "os.scandir")
    )

    def __init__(self):
        self.thread = self.k = self.error = None
        self.count, self.dead = 0, False
        sys.addaudithook(self.hear)

    def begin(self, k, error):
        self.thread, self.k, self.error = threading.get_ident(), k, error
        self.count, self.dead = 0, False

    def hear(self, event, arguments):
        if event not in self.REQUESTS or self.thread != threading.get_ident():
            return
        self.count += 1
        if self.count == self.k and self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        self.dead = self.dead or self.count == self.k
        if self.dead:
            raise KilledError


@pytest.fixture(scope="session")
def file_calls():
    return FileCalls()


@pytest.fixture
def every_file_call(file_calls, monkeypatch):
    """Yield (result, error), either of them None, of `action` with the k-th request failing, for all k = 1, 2, ..."""
    # Python tells nobody of a flush; whether the disk is really asked to is tested elsewhere
    monkeypatch.setattr(os, "fsync", lambda descriptor: sys.audit("os.fsync", descriptor))

    def each(prepare, action, error):
        prepare()
        action()  # what it imports is imported now
        for k in range(1, 1000):
            prepare()
            result = problem = None
            file_calls.begin(k, error)
            try:
                result = action()
            except (Exception, KilledError) as raised:
                problem = raised
            file_calls.thread = None
            if file_calls.count < k:
                assert problem is None
                return
            assert error is None or not isinstance(problem, KilledError)
            yield result, problem
        raise AssertionError("the requests do not end")

    return each
