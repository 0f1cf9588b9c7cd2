import click
import pytest

from charlm.cli.command import Option
from charlm.cli.entry import charlm
from charlm.cli.options import SettingType, given
from charlm.config import SECTIONS, SamplingConfig, settings_of
from charlm.config.cells import GATES

TRAINING = [(section, name) for section, cls in SECTIONS.items() for name in settings_of(cls)]


def command(*names):
    found = charlm()
    for name in names:
        found = found.get_command(click.Context(found), name)
    return found


def flags_of(found, setting):
    return [
        one.opts + one.secondary_opts for one in found.params if isinstance(one, click.Option) and one.name == setting
    ]


@pytest.mark.parametrize("path", [("train",), ("config", "show")], ids=" ".join)
@pytest.mark.parametrize(("section", "name"), [pair for pair in TRAINING if pair[1] != "corpus"])
def test_every_setting_has_exactly_one_flag_of_its_name(path, section, name):
    (flags,) = flags_of(command(*path), name)
    assert flags[0] == "--" + name.replace("_", "-")


@pytest.mark.parametrize("name", settings_of(SamplingConfig))
def test_every_sampling_setting_has_exactly_one_flag_of_its_name(name):
    (flags,) = flags_of(command("generate"), name)
    assert flags[0] == "--" + name.replace("_", "-")


def test_help_says_what_a_command_takes_without_the_flag():
    helps = {
        name: {one.name: one.help for one in command(name).params if one.name} for name in ("tokenize", "eval", "train")
    }
    assert helps["train"]["tokenizer"].endswith("[char]")
    assert helps["tokenize"]["tokenizer"].endswith("[a run's]")
    assert helps["tokenize"]["unknown"].endswith("[the tokenizer's own]")
    assert helps["eval"]["unknown"].endswith("[the run's own]")


def test_switches_can_be_turned_off():
    assert flags_of(command("train"), "tie_weights") == [["--tie-weights", "--no-tie-weights"]]
    assert flags_of(command("train"), "locked_dropout") == [["--locked-dropout", "--plain-dropout"]]


def test_flags_of_the_issue_are_all_there():
    wanted = (
        "--run --resume --config --preset --plan --minutes --epochs --steps --cell --layers --hidden-size "
        "--embedding-size --tie-weights --no-tie-weights --dropout --dropout-input --dropout-between --dropout-output "
        "--dropout-recurrent --dropout-embedding --locked-dropout --plain-dropout --layer-norm --residual --tokenizer "
        "--min-count --split --window-length --batch-size --accumulate --optimizer --learning-rate --schedule "
        "--warmup --weight-decay --clip-norm --clip-value --ema --patience --evaluate-every --checkpoint-every "
        "--sample-every --keep --seed --device --dtype --threads --json --quiet --debug"
    )
    have = {flag for one in command("train").params for flag in one.opts + one.secondary_opts}
    assert set(wanted.split()) <= have


def parsed(*arguments):
    train = command("train")
    with train.make_context("train", list(arguments), parent=None) as context:
        return given({name: value for name, value in context.params.items() if value is not False})


def test_unset_flags_stay_unset():
    assert parsed() == {}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--hidden-size", "12"], {"hidden_size": 12}),
        (["--no-tie-weights"], {"tie_weights": False}),
        (["--plain-dropout"], {"locked_dropout": False}),
        (["--locked-dropout"], {"locked_dropout": True}),
        (["--include", "*.c,v", "--include", "*.h"], {"include": ("*.c,v", "*.h")}),
        (["--boundary", ""], {"boundary": ""}),
        (["--learning-rate", "1e-3", "a", "b"], {"learning_rate": 1e-3, "text": ("a", "b")}),
        (["--", "-x"], {"text": ("-x",)}),
    ],
)
def test_flags_become_values(arguments, expected):
    train = command("train")
    with train.make_context("train", arguments) as context:
        switches = {"resume", "accept_change", "plan", "json", "quiet"}
        assert given({n: v for n, v in context.params.items() if n not in switches}) == expected


def test_help_shows_default_and_range():
    train = command("train")
    text = train.get_help(click.Context(train, info_name="train", terminal_width=200, max_content_width=200))
    assert "units in each layer [by the minutes, if they are the end] [256] (1 to 65536)" in text
    assert "[0.1] (0 to below 1)" in text
    assert "[auto]" in text
    assert "(above 0)" in text


def test_the_most_needed_come_first_and_are_about_a_dozen():
    train = command("train")
    text = train.get_help(click.Context(train, info_name="train"))
    assert text.index("Most used:") < text.index("Text:") < text.index("Output:")
    assert 10 <= sum(one.group == "common" for one in train.params if isinstance(one, Option)) <= 14


def test_completion_offers_the_choices():
    train = command("train")
    (device,) = (one for one in train.params if one.name == "device")
    assert isinstance(device.type, SettingType)
    assert [item.value for item in device.type.shell_complete(click.Context(train), device, "c")] == ["cpu", "cuda"]
    (cell,) = (one for one in train.params if one.name == "cell")
    offered = [item.value for item in cell.type.shell_complete(click.Context(train), cell, "g")]
    assert offered == [name for name in GATES if name.startswith("g")] != []
