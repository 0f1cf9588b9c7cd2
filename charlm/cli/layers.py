"""The layers of a configuration as the command line finds them: preset < file < environment < flags."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from charlm.cli.command import Option
from charlm.cli.options import setting_options
from charlm.config import (
    PRESETS,
    CorpusConfig,
    Layer,
    ModelConfig,
    Resolved,
    TokenizerConfig,
    TrainingConfig,
    environment_layer,
    file_layer,
    resolve,
)
from charlm.registry import lookup


def config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that gives a command every flag of a training's configuration, and --config and --preset."""
    for decorate in (
        setting_options(TrainingConfig),
        setting_options(ModelConfig),
        setting_options(TokenizerConfig),
        setting_options(CorpusConfig, without=("corpus",)),
        click.option(
            "--preset",
            cls=Option,
            group="run",
            metavar="|".join(PRESETS),
            help="start from a named set of settings",
        ),
        click.option(
            "--config",
            "config_file",
            cls=Option,
            group="run",
            type=click.Path(),
            metavar="FILE",
            help="take settings from a TOML file; charlm config show prints one",
        ),
    ):
        function = decorate(function)
    return function


def resolve_layers(
    flags: Mapping[str, Any], config_file: str | None, preset: str | None, environment: Mapping[str, str] = os.environ
) -> Resolved:
    """The complete configuration and where each value came from.

    Args:
        flags: the settings whose flags were given.

    Raises:
        ConfigError: a file, variable, preset or value that cannot be used.
    """
    layers = []
    if preset is not None:
        layers.append(Layer(origin=f"preset {preset}", values=lookup(PRESETS, preset, "preset")))
    if config_file is not None:
        layers.append(file_layer(Path(config_file)))
    layers += [environment_layer(environment), Layer(origin="flag", values=flags)]
    return resolve(layers)


def refuse_missing(corpus: CorpusConfig) -> None:
    """Find out before anything heavy is imported whether all texts are there. Raises `CorpusError`."""
    from charlm.corpora.sources import named_paths

    named_paths(corpus, [])


def machine_settings(flags: Mapping[str, Any]) -> TrainingConfig:
    """Device, number format and threads for a command that does not train: environment < flags."""
    return resolve([environment_layer(os.environ), Layer(origin="flag", values=flags)]).config.training
