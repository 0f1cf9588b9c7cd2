"""The program: `charlm`, or `python -m charlm`."""

from __future__ import annotations

import os
import sys

# all else is imported where it is used: until `main` runs nothing can answer Ctrl-C but Python, with a traceback
TYPE_CHECKING = False

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        sys.unraisablehook = hear_again
        _insist_on_utf8()
        _share_the_processor()
        from charlm.cli.entry import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was anything to report it
        code = 130
    finally:
        _end_at_once_on_signals()
    sys.exit(code)


def _insist_on_utf8() -> None:
    """Begin again in UTF-8 where the locale would have arguments, names and prompts read as something else."""
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _end_at_once_on_signals() -> None:
    """All is said and done: an exception in what the interpreter puts in order now could only be a traceback."""
    import signal

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # an ignored signal stays ignored: nohup means it
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def hear_again(ignored: UnraisableHookArgs) -> None:
    """Python ignores what is raised in `__del__` and the like; where a signal's handler raised it, send it again."""
    import signal
    from threading import Timer, main_thread

    what = ignored.exc_value
    if isinstance(what, KeyboardInterrupt):
        number = int(signal.SIGINT)
    elif isinstance(what, SystemExit) and isinstance(what.code, int) and what.code > 128:
        number = what.code - 128
    else:
        sys.__unraisablehook__(ignored)
        return
    # when this has returned; to the thread that handles it, so that it does not sleep on
    again = Timer(0.01, signal.pthread_kill, [main_thread().ident, number])
    again.daemon = True
    again.start()


def _share_the_processor() -> None:
    """Let threads that wait for one another go to sleep soon, where the user has not said otherwise.

    The threads of a training meet some thousand times a second. By OpenMP's default each spins while it waits
    for one that another program has pushed off its core: with one busy neighbour on two cores a training ran
    at a tenth of its speed or less. A short spin costs nothing on a quiet machine (docs/training.md).
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "10000"


if __name__ == "__main__":
    main()
