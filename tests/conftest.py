"""What holds for every test."""

import signal

from hypothesis import settings

# no folder of examples in the working directory; the same examples in every run
settings.register_profile("charlm", database=None, derandomize=True, deadline=None)
settings.load_profile("charlm")

# a suite started in the background may have been told to ignore these, and so would the commands it starts
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
