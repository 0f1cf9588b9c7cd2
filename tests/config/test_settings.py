"""One validator for flags, environment, file and checkpoint."""

import dataclasses
import math

import pytest

from charlm.config import SECTIONS, ModelConfig, SamplingConfig, TrainingConfig, settings_of
from charlm.errors import ConfigError
from charlm.models import CELLS
from charlm.training.optimizers import OPTIMIZERS
from charlm.training.schedules import SCHEDULES

ALL_SECTIONS = [*SECTIONS.values(), SamplingConfig]


@pytest.mark.parametrize("section", ALL_SECTIONS)
def test_every_field_has_a_help_line_and_a_valid_default(section):
    made = section()
    for name, known in settings_of(section).items():
        assert known.help
        assert known.check(getattr(made, name)) == known.default


@pytest.mark.parametrize("section", ALL_SECTIONS)
def test_sections_are_frozen_and_keyword_only(section):
    with pytest.raises(TypeError):
        section("something")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(section(), next(iter(settings_of(section))), None)


NUMBERS = [(s, known) for s in ALL_SECTIONS for known in settings_of(s).values() if known.type in (int, float)]


@pytest.mark.parametrize(("section", "known"), NUMBERS, ids=lambda value: getattr(value, "name", ""))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, True, "7", [1]])
def test_no_number_takes_what_is_no_finite_number(section, known, value):
    with pytest.raises(ConfigError, match=f"{known.name} must be"):
        section(**{known.name: value})


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        (ModelConfig, "dropout", 1.0, r"dropout must be a number in \[0, 1\), was 1.0"),
        (ModelConfig, "layers", 0, r"layers must be a whole number in \[1, 64\], was 0"),
        (ModelConfig, "hidden_size", 2.5, "hidden_size must be a whole number"),
        (ModelConfig, "tie_weights", 1, "tie_weights must be true or false, was 1"),
        (TrainingConfig, "seed", -1, r"seed must be a whole number in \[0, 9223372036854775807\]"),
        (TrainingConfig, "device", "gpu", "device must be one of auto, cpu, cuda, mps, was 'gpu'"),
        (TrainingConfig, "minutes", 0, "minutes must be a number in"),
        (ModelConfig, "cell", "lsmt", r"no cell 'lsmt': choose elman, .*lstm.* \(did you mean lstm\?\)"),
        (ModelConfig, "cell", 3, "cell must be one of elman, .*, was 3"),
        (SamplingConfig, "temperature", -0.1, "temperature must be a number >= 0, was -0.1"),
        (SamplingConfig, "top_p", 0.0, r"top_p must be a number in \(0, 1\], was 0.0"),
        (SamplingConfig, "top_k", 0, "top_k must be a whole number >= 1, was 0"),
        (SamplingConfig, "stop", "end", "stop must be a list of texts, was 'end'"),
    ],
)
def test_a_value_out_of_range_names_field_value_and_range(section, name, value, message):
    with pytest.raises(ConfigError, match=message):
        section(**{name: value})


@pytest.mark.parametrize(
    ("section", "name", "text", "value"),
    [
        (ModelConfig, "hidden_size", "512", 512),
        (ModelConfig, "tie_weights", "yes", True),
        (ModelConfig, "dropout", "0", 0.0),
        (TrainingConfig, "learning_rate", "3e-3", 0.003),
        (SECTIONS["corpus"], "corpus", "a.txt,b.txt", ("a.txt", "b.txt")),
    ],
)
def test_text_is_read_as_the_fields_type(section, name, text, value):
    parsed = settings_of(section)[name].parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["", "many", "1.5", "nan", "0x10"])
def test_text_that_is_no_number_is_refused(text):
    with pytest.raises(ConfigError, match="hidden_size must be a whole number"):
        settings_of(ModelConfig)["hidden_size"].parse(text)


def test_unknown_keys_are_named_with_a_suggestion():
    with pytest.raises(ConfigError, match=r"run.json: no setting 'hiden_size' \(did you mean hidden_size\?\)"):
        ModelConfig.from_mapping({"hiden_size": 3}, "run.json")


def test_dropout_stands_for_between_and_output_unless_they_are_given():
    assert (ModelConfig(dropout=0.3).between, ModelConfig(dropout=0.3).output) == (0.3, 0.3)
    config = ModelConfig(dropout=0.3, dropout_output=0.0)
    assert (config.between, config.output) == (0.3, 0.0)


def test_names_of_settings_are_those_of_the_tables():
    tables = {"cell": CELLS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}
    named = {known.name: known.names for s in ALL_SECTIONS for known in settings_of(s).values() if known.names}
    assert {name: sorted(names) for name, names in named.items()} == {name: sorted(t) for name, t in tables.items()}
