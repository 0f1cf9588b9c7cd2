"""Settings: frozen, complete, checked once. The same names in flags, TOML, environment and code."""

from charlm.config.presets import PRESETS
from charlm.config.resolve import Layer, Resolved, call_layer, environment_layer, file_layer, resolve, to_toml
from charlm.config.sections import (
    CHOSEN,
    SECTIONS,
    Config,
    CorpusConfig,
    ModelConfig,
    SamplingConfig,
    TokenizerConfig,
    TrainingConfig,
)
from charlm.config.settings import Setting, flag_of, setting, settings_of

__all__ = [
    "CHOSEN",
    "PRESETS",
    "SECTIONS",
    "Config",
    "CorpusConfig",
    "Layer",
    "ModelConfig",
    "Resolved",
    "SamplingConfig",
    "Setting",
    "TokenizerConfig",
    "TrainingConfig",
    "call_layer",
    "environment_layer",
    "file_layer",
    "flag_of",
    "resolve",
    "setting",
    "settings_of",
    "to_toml",
]
