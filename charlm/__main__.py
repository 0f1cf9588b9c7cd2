"""The program: `charlm`, or `python -m charlm`."""

import os
import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        _insist_on_utf8()
        from charlm.cli.entry import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was anything to report it
        code = 130
    sys.exit(code)


def _insist_on_utf8() -> None:
    """Begin again in UTF-8 where the locale would have arguments, names and prompts read as something else."""
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
