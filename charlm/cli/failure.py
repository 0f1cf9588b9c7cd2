"""What went wrong, in one line and an exit code. The only place where errors become either."""

from __future__ import annotations

import traceback

import click

from charlm.cli.escape import escape_line
from charlm.errors import CharlmError, is_out_of_memory
from charlm.registry import suggestion

BROKEN_PIPE = 141
_LONGEST = 1500


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code of `error` and its line; an empty line is silence."""
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE, ""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 130, ""
    if isinstance(error, CharlmError):
        return error.exit_code, str(error)
    if isinstance(error, click.ClickException):
        return 2, _usage(error)
    if is_out_of_memory(error):
        return 5, "out of memory: free some, or take a smaller text or model (charlm train --batch-size, --hidden-size)"
    if isinstance(error, OSError):
        return 5, _system(error)
    return 1, f"{type(error).__name__}: {error} (this is a fault of charlm; run again with --debug for where)"


def line(text: str) -> str:
    """`text` as the one line that goes to standard error."""
    shown = escape_line(" ".join(text.split("\n")))
    if len(shown) > _LONGEST:
        shown = f"{shown[: _LONGEST // 2]} ... {shown[-_LONGEST // 2 :]}"
    return f"charlm: error: {shown}"


def trace(error: BaseException) -> str:
    """The traceback of `error`."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()


def _usage(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        near = suggestion(error.option_name, error.possibilities or _flags(error))
        message = f"no option {error.option_name}{near}"
    else:
        message = error.format_message().rstrip(".")
        message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    return message + (f"; see {context.command_path} --help" if context else "")


def _flags(error: click.NoSuchOption) -> list[str]:
    if error.ctx is None:
        return []
    return [name for parameter in error.ctx.command.params for name in (*parameter.opts, *parameter.secondary_opts)]


def _system(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename is not None else reason
