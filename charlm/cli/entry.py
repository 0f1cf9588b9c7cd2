"""Run the command line once: parse, call the command, end with an exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import click
from click.shell_completion import shell_complete

from charlm import __version__
from charlm.cli import COMMANDS, MEANT, console, failure
from charlm.cli.command import DEBUG, Group
from charlm.cli.signals import postponed
from charlm.errors import ConfigError

COMPLETION_VARIABLE = "_CHARLM_COMPLETE"

HELP = """Train, measure and sample character-level recurrent language models.

Texts are named corpora (charlm corpora list), files, folders, or - for standard input. --run names a
training or its folder; the latest is taken when it is left out."""

EXAMPLES = (
    ("charlm train", "three minutes of Shakespeare"),
    ("charlm eval --perplexity", "how good is it?"),
    ('charlm generate --prompt "ROMEO:"', "let it write"),
    ("charlm train notes.txt --minutes 10", "a text of your own"),
)


def charlm() -> Group:
    """The whole command line as one click group."""
    version = click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version, help="print the version"
    )
    return Group(name="charlm", table=COMMANDS, meant=MEANT, help=HELP, examples=EXAMPLES, params=[version])


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error becomes one line on standard error."""
    console.prepare_streams()
    received = _end_on_signals()
    group = charlm()
    if COMPLETION_VARIABLE in os.environ:
        return shell_complete(group, {}, "charlm", COMPLETION_VARIABLE, os.environ[COMPLETION_VARIABLE])
    context: click.Context | None = None
    try:
        # not group.main(): it turns a broken pipe into exit code 1 and lets other errors of output through
        with group.make_context("charlm", _whole(arguments)) as context:
            _refuse_lost_folder()
            code = group.invoke(context)
        console.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return _flushed(stop.exit_code)
    except SystemExit as stop:
        return _flushed(stop.code if isinstance(stop.code, int) else 1)
    except BaseException as error:
        if received and failure.explain(error)[0] == 1:
            # a library took the request to end for a failure of its own, such as that of an import, and failed by that
            return _flushed(128 + received[0])
        return _report(error, debug=context is not None and bool(context.meta.get(DEBUG)))


def _whole(arguments: Sequence[str]) -> list[str]:
    """The arguments, of which none may hold what is no character: no file can have it in its name, no text in it.

    A shell on POSIX cannot say such a thing; what calls this from Python, and Windows, can.
    """
    for argument in arguments:
        # bytes that are not UTF-8 are U+DC80 to U+DCFF in arguments, and are themselves again in names of files
        half = re.search("[\ud800-\udc7f\udd00-\udfff]", argument)
        if half:
            raise click.UsageError(
                f"{argument!r} holds half of a surrogate pair at character {half.start()}: leave it out"
            )
    return list(arguments)


def _refuse_lost_folder() -> None:
    """Raises `ConfigError` where the current folder was removed: libraries would end the process when they load."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError("the current folder is not there any more: change to another one") from None


def _report(error: BaseException, *, debug: bool) -> int:
    code, message = failure.explain(error)
    if debug and message:
        console.note_as_it_is(failure.trace(error))
    if message:
        console.note_as_it_is(failure.line(message))
    return _flushed(code)


def _flushed(code: int) -> int:
    """What was written before the end still goes out, if it can."""
    try:
        console.flush()
    except Exception as error:
        console.discard_output()
        second, message = failure.explain(error)
        if code in (0, failure.BROKEN_PIPE):
            if message:
                console.note_as_it_is(failure.line(message))
            return second
    return code


def _end_on_signals() -> list[int]:
    """A polite request to end becomes an exception, so that terminals and temporary files are put in order.

    Ctrl-C is Python's own `KeyboardInterrupt`, the others `SystemExit`. While a module is imported they wait.

    Returns a list to which those that have come are added.
    """
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if postponed(number, frame):
            return
        received.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # an ignored signal stays ignored: nohup means it
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)
    return received


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        console.print_line(f"charlm {__version__}")
        context.exit()
