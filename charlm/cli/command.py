"""How commands and groups look: commands imported when called, options in titled groups, examples in every help."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from charlm.cli import console
from charlm.errors import UnknownNameError
from charlm.registry import lookup

Examples = Sequence[tuple[str, str]]
DEBUG = "charlm.debug"

# Titles of the groups of options, in the order of the help. Settings name their group in the configuration.
TITLES: dict[str, str] = {
    "common": "Most used",
    "additions": "Put on the model",
    "text": "Text",
    "model": "Model",
    "dropout": "Dropout and penalties",
    "length": "When to end",
    "batch": "Batches",
    "optimisation": "Optimisation",
    "saving": "Evaluating and saving",
    "sampling": "Text to write",
    "filters": "Filters",
    "machine": "Machine",
    "run": "Run and settings",
    "output": "Output",
}


class Option(click.Option):
    """An option that knows under which title of the help it stands."""

    def __init__(self, *arguments: Any, group: str = "output", **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.group = group


class Command(click.Command):
    """A command with examples; every one takes -h and --debug."""

    def __init__(self, *arguments: Any, examples: Examples = (), **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.examples = tuple(examples)
        self.params.append(_debug_option())

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """As click's, but written like all data: its own write dies of a full disk."""
        return _help_option(self.get_help_option_names(ctx))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their titles, and the examples after them."""
        titled: dict[str, list[tuple[str, str]]] = {group: [] for group in TITLES}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                titled[getattr(parameter, "group", "output")].append(record)
        for group, records in titled.items():
            if records:
                with formatter.section(TITLES[group]):
                    formatter.write_dl(records, col_max=34)
        write_examples(formatter, self.examples)


class Group(click.Group):
    """A group whose commands stand in a table of ``name -> (module:function, help)`` and are imported when called.

    Args:
        meant: what to type for a name that is in no table but that people try.
    """

    def __init__(
        self,
        *arguments: Any,
        table: Mapping[str, tuple[str, str]],
        meant: Mapping[str, str] | None = None,
        examples: Examples = (),
        **keywords: Any,
    ) -> None:
        keywords.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        keywords |= {"no_args_is_help": False, "invoke_without_command": True, "callback": _help_without_command}
        super().__init__(*arguments, **keywords)
        self.table, self.meant = table, meant or {}
        self.examples = tuple(examples)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """As click's, but written like all data: its own write dies of a full disk."""
        return _help_option(self.get_help_option_names(ctx))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None for a name that is not in the table."""
        if cmd_name not in self.table:
            return None
        module, function = self.table[cmd_name][0].split(":")
        found: click.Command = getattr(importlib.import_module(module), function)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with our words for a name that is not there.

        Raises:
            UnknownNameError: it lists the commands and suggests the nearest.
        """
        if not ctx.resilient_parsing and not args[0].startswith("-"):
            if args[0] in self.meant:
                raise UnknownNameError(f"no command {args[0]!r}: use {self.meant[args[0]]}")
            try:
                lookup(self.table, args[0], "command")
            except UnknownNameError as error:
                raise UnknownNameError(f"{error}; see {ctx.command_path} --help") from None
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table; no command is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in self.table.items()])
        write_examples(formatter, self.examples)


def write_examples(formatter: click.HelpFormatter, examples: Examples) -> None:
    """The examples, one a line, with what each is for."""
    if examples:
        with formatter.section("Examples"):
            for command, purpose in examples:
                formatter.write(f"{'':>{formatter.current_indent}}{command}\n")
                formatter.write(f"{'':>{formatter.current_indent}}    {purpose}\n")


@click.pass_context
def _help_without_command(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        console.print_line(context.get_help())


def _help_option(names: Iterable[str]) -> Option:
    def show(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            console.print_line(context.get_help())
            context.exit()

    return Option(
        sorted(names), is_flag=True, is_eager=True, expose_value=False, callback=show, help="show this message"
    )


def _debug_option() -> Option:
    def remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.find_root().meta[DEBUG] = True

    return Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="on an error, show where it came from",
    )
