"""What holds for every test."""

import os
import signal

from hypothesis import HealthCheck, settings

from charlm.config.folders import cache_folder

# tests have caches of their own; machine code is made once for all of them, and for all commands they start
os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / "compiled"))

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
