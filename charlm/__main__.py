"""The program: `charlm`, or `python -m charlm`."""

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        from charlm.cli.entry import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was anything to report it
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
