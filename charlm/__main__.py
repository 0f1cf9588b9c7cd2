"""The program: `charlm`, or `python -m charlm`."""

import os
import signal
import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
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
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # an ignored signal stays ignored: nohup means it
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


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
