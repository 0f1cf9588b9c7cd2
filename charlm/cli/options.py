"""Options made from settings: one flag a setting, its help and range from where it is declared.

Values are read and checked by the setting itself. A flag that is not given stays unset, so that the
layers below it (environment, file, preset, default) can speak.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from charlm.cli.command import Option
from charlm.cli.completion import complete_runs
from charlm.config import Setting, flag_of, settings_of
from charlm.config.settings import Section
from charlm.errors import ConfigError, UnknownNameError

DecoratedT = TypeVar("DecoratedT", bound=Callable[..., Any])

# What a switch is called when it is off, where "no-" before its name would not say it.
OFF_NAMES = {"locked_dropout": "plain-dropout"}
HIGHEST_SHOWN = 100_000
METAVARS = {int: "N", float: "X", str: "TEXT", tuple: "TEXT"}


class SettingType(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.4 on
    """The type of an option that stands for a setting: the setting reads and checks the text."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.name = setting.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The setting's value.

        Raises:
            ConfigError: naming the flag, the value and what is allowed.
        """
        if not isinstance(value, str):
            return value
        try:
            if self.setting.type is tuple:  # one flag gives one item, commas and all
                return self.setting.check((value,))[0]
            return self.setting.parse(value)
        except UnknownNameError:
            raise
        except ConfigError as error:
            raise ConfigError(str(error).replace(self.setting.name, flag_of(self.setting.name), 1)) from None

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The choices that begin like `incomplete`."""
        choices = self.setting.choices or self.setting.names or ()
        return [CompletionItem(choice) for choice in choices if choice.startswith(incomplete)]


def setting_options(
    section: type[Section],
    *names: str,
    without: tuple[str, ...] = (),
    usual: Mapping[str, str] | None = None,
    choices: Mapping[str, tuple[str, ...]] | None = None,
) -> Callable[[Any], Any]:
    """A decorator that gives a command the flags of a section: those of `names` (all when none), not `without`.

    Args:
        usual: by setting, what this command takes without its flag, in words, where that is not the default.
        choices: by setting, which of its choices this command takes, where that is not all.
    """
    known, usual = dict(settings_of(section)), usual or {}
    for name, some in (choices or {}).items():
        known[name] = dataclasses.replace(known[name], choices=some)

    def decorate(function: DecoratedT) -> DecoratedT:
        # subtle: click's decorators put later ones first
        for name in reversed(names or tuple(known)):
            if name not in without:
                click.option(*_flags(known[name]), cls=Option, **_attributes(known[name], usual.get(name)))(function)
        return function

    return decorate


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings whose flags were given."""
    return {name: value for name, value in values.items() if value is not None and value != ()}


def off_name(setting: Setting) -> str:
    """``tie_weights`` -> ``--no-tie-weights``: the flag of a switch that is off."""
    return flag_of(OFF_NAMES.get(setting.name, f"no_{setting.name}"))


def _flags(setting: Setting) -> tuple[str, ...]:
    if setting.type is not bool:
        return (flag_of(setting.name), setting.name)
    return (f"{flag_of(setting.name)}/{off_name(setting)}", setting.name)


def _attributes(setting: Setting, usual: str | None) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "group": "common" if setting.common else setting.group,
        "help": help_line(setting, usual),
        "default": None,
    }
    if setting.type is bool:
        return attributes
    metavar = "|".join(setting.choices) if setting.choices else "NAME" if setting.names else METAVARS[setting.type]
    return attributes | {"type": SettingType(setting), "metavar": metavar, "multiple": setting.type is tuple}


def help_line(setting: Setting, usual: str | None = None) -> str:
    """Help, default and range: ``units in each layer [256] (1 to 65536)``; `usual` in place of the default."""
    text = setting.help
    if setting.names:
        text += f": {', '.join(setting.names[:-1])} or {setting.names[-1]}"
    if setting.type is bool:
        return f"{text} [{'on' if setting.default else 'off'}]"
    if usual is not None:
        text += f" [{usual}]"
    elif setting.default not in (None, (), ""):
        text += f" [{setting.default:g}]" if setting.type is float else f" [{setting.default}]"
    if setting.type is tuple:
        text += "; may be given several times"
    words = range_in_words(setting)
    return f"{text} ({words})" if words else text


def range_in_words(setting: Setting) -> str:
    """``1 to 65536``, ``0 to below 1``, ``above 0``, or nothing when any value will do.

    A limit so high that nobody meets it is left out; the error of a value beyond it names it.
    """
    low = "" if setting.minimum is None else f"{setting.minimum}"
    low = low if setting.above is None else f"above {setting.above}"
    high = "" if setting.maximum is None or setting.maximum > HIGHEST_SHOWN else f"{setting.maximum}"
    high = high if setting.below is None else f"below {setting.below}"
    if low and high:
        return f"{low} to {high}"
    return low if not low or setting.minimum is None else f"at least {low}"


def run_option(help: str, group: str = "run") -> Callable[[DecoratedT], DecoratedT]:
    """``--run NAME|FOLDER``, with the names of runs to complete to."""
    return click.option(
        "--run", cls=Option, group=group, metavar="NAME|FOLDER", help=help, shell_complete=complete_runs
    )


def json_option(help: str) -> Callable[[DecoratedT], DecoratedT]:
    """``--json``."""
    return click.option("--json", cls=Option, is_flag=True, help=help)
