"""``charlm sweep``: what it prints where, the command it gives to paste, its views, its refusals."""

import json
import os
import random
import re
import shlex

import pytest

from charlm.api import load
from charlm.cli import entry, sweep_view
from charlm.cli.layers import resolve_layers
from charlm.cli.options import given
from charlm.cli.sweep_view import LiveSweepView, PlainSweepView
from charlm.cli.train import train
from charlm.cli.train_command import train_command
from charlm.config import SECTIONS, Config, Layer, resolve, settings_of
from charlm.evaluation import BASELINES
from charlm.sweeps import Outcome, resume_sweep
from charlm.sweeps.events import RungBegan, TrialBegan, TrialEnded, TrialEvent
from charlm.training.events import RolledBack, Sampled

SMALL = ["--hidden-size", "8", "--layers", "1", "--batch-size", "4", "--window-length", "8", "--threads", "1"]
SMALL += ["--steps", "4", "--kernels", "torch", "--dtype", "float32", "--trials", "3"]
NAME = "tale[x] it's :smile:.txt"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a text, of a name that shells and markup would eat."""
    folder = tmp_path_factory.mktemp("place")
    draws = random.Random(3)
    (folder / "empty").touch()
    (folder / NAME).write_text("".join(draws.choice(["a cat sat. ", "it was dawn.\n"]) for _ in range(300)))
    return folder


@pytest.fixture(autouse=True)
def workplace(place, monkeypatch):
    for name in [name for name in os.environ if name.startswith("CHARLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(place)
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)
    monkeypatch.setattr(entry.console, "prepare_streams", lambda: None)
    monkeypatch.setenv("CHARLM_CACHE", str(place / "cache"))


@pytest.fixture
def charlm(capsys):
    def run(*arguments, code=0):
        found = entry.run(list(arguments))
        out, err = capsys.readouterr()
        assert found == code, err
        return out, err

    return run


def parsed(command):
    """The settings that a printed `charlm train ...` stands for."""
    words = shlex.split(command)
    assert words[:2] == ["charlm", "train"]
    parameters = train.make_context("charlm train", words[2:]).params
    text, settings = parameters.pop("text"), {name: parameters.get(name) for name in names_of_settings()}
    return resolve_layers(given({**settings, "corpus": text}), None, None, {})


CHOSEN_OTHERWISE = "--hidden-size 256 --ngram-embedding-size 0 --dropout 0.1 --learning-rate 0.004"


def names_of_settings():
    return [name for section in SECTIONS.values() for name in settings_of(section)]


def other_value(known):
    """Some value that is not the default."""
    if known.type is bool:
        return not known.default
    if known.type is tuple:
        return ("-x y", "it's")
    if known.choices or known.names:
        return next(one for one in reversed(known.choices or known.names) if one != known.default)
    if known.type is str:
        return "-'a b'\n"
    low = known.minimum if known.minimum is not None else known.above or 0
    return known.type(low + (3 if known.type is int else 0.123)) if known.default != low + 3 else known.type(low + 5)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_command_to_paste_stands_for_every_setting(section):
    values = {name: other_value(known) for name, known in settings_of(SECTIONS[section]).items()}
    config = resolve([Layer(origin="flag", values=values)]).config
    assert all(getattr(getattr(config, section), name) == value for name, value in values.items())
    assert parsed(train_command(config)).config == config
    assert train_command(Config()) == f"charlm train shakespeare {CHOSEN_OTHERWISE}"


def test_of_n_grams_that_there_are_the_command_to_paste_says_length_and_number():
    config = resolve([Layer(origin="flag", values={"ngram_embedding_size": 9})]).config
    command = train_command(config)
    assert parsed(command).config == config
    assert "--ngram-embedding-size 9 --ngram-order 4 --ngram-rows 65536" in command


def test_the_command_to_paste_switches_off_what_would_be_on(monkeypatch):
    plain = resolve([Layer(origin="flag", values={"locked_dropout": False})]).config
    usual = f"charlm train shakespeare {CHOSEN_OTHERWISE}"
    assert train_command(plain) == usual.replace(" --learning", " --plain-dropout --learning")
    on = resolve([Layer(origin="flag", values={"tie_weights": True})])
    monkeypatch.setattr("charlm.cli.train_command.resolve", lambda layers: on)
    assert train_command(Config()) == usual.replace(" --ngram", " --no-tie-weights --ngram")


def test_a_sweep_prints_its_table_and_what_to_type_next(charlm, place):
    ranges = ["--range", "learning_rate=1e-3..1e-1", "--range", "cell=gru,lstm"]
    out, err = charlm("sweep", NAME, *SMALL, *ranges, "--folder", "first", "--tie-weights")
    heading, *rows = out.split("\n\n")[0].splitlines()
    assert heading.split() == ["trial", "nats", "bits/char", "cell", "learning_rate", "rungs", "steps", "cost"]
    nats = [float(row.split()[1]) for row in rows]
    assert len(nats) == 3
    assert nats == sorted(nats)
    assert [row.split()[5] for row in rows] == ["2", "1", "1"]
    best = rows[0].split()[0]
    told, (_, command, evaluate, generate) = out.split("\n\n")[2], out.split("\n\n")[1].splitlines()
    assert re.fullmatch(r"baselines on the same text: .*5-gram \d\.\d{3} · .* \(nats\)\n", told)
    assert parsed(command).config == load(place / "checkpoints" / "first" / best).config
    # and nothing is left that a training would choose otherwise
    assert set(parsed(command).free) <= {"batch_size", "epochs"}
    assert "--tie-weights" in command
    assert shlex.split(evaluate) == ["charlm", "eval", "--run", f"checkpoints/first/{best}"]
    assert shlex.split(generate) == ["charlm", "generate", "--run", f"checkpoints/first/{best}"]
    assert "rung 2 of 2: 1 trial to 4 steps" in err
    assert "learning_rate  0.001 to 0.1, logarithmic" in err
    assert len([line for line in err.splitlines() if " nats  0:0" in line]) == 4
    # its runs are found by their path, and hide from the list
    assert charlm("generate", "--run", f"checkpoints/first/{best}", "--length", "3", "--engine", "numpy")[0]
    assert charlm("runs", "list")[0] == ""
    again, told = charlm("sweep", "--resume", "first", "--quiet")
    assert (again, told) == (out, "")


def test_a_sweep_for_programs(charlm, place):
    out, err = charlm(
        "sweep", NAME, *SMALL, "--range", "dropout=0..0.5", "--folder", "json", "--json", "--include", "*.x"
    )
    assert err == ""
    notice, *trials, summary = map(json.loads, out.splitlines())
    assert notice == {"kind": "notice", "text": "include has no effect: no folder is named"}
    kept = [json.loads(line) for line in (place / "checkpoints/json/results.jsonl").read_text().splitlines()]
    assert trials == [{key: value for key, value in record.items() if key != "crc"} for record in kept]
    assert summary["kind"] == "summary"
    assert sorted(summary["ranking"]) == [1, 2, 3]
    assert summary["nats_per_character"] == min(record["nats_per_character"] for record in trials)
    assert summary["values"] == trials[-1]["values"]
    assert set(summary["baselines"]) == set(BASELINES)
    assert parsed(summary["command"]).config == load(summary["run"]).config


BAD = [
    (["x", "--range", "learning_rat=1,2"], 2, "did you mean learning_rate?"),
    (["x"], 2, "there is nothing to search: give --range"),
    (["x", "--range", "layers=1,2", "--layers", "3"], 2, "--layers is given beside --range layers"),
    (["x", "--range", "layers=1,2", "--trials", "0"], 2, "--trials must be a whole number in [1, 1000], was 0"),
    (["x", "--range", "layers=1,2", "--halving", "1"], 2, "--halving must be a whole number in [2, 64], was 1"),
    ([NAME, "--range", "layers=1,2", "--minutes", "1", "--steps", "2"], 2, "not --minutes and --steps"),
    ([NAME, "--range", "layers=1..9", "--minutes", "0.1"], 2, "5 are the least"),
    (["x", "--range", "layers=1,2"], 3, "x"),
    # before the text is read
    (["empty", "--range", "layers=1,2", "--folder", f"{NAME}/y/z"], 5, "a sweep in", "give another --folder"),
    (["x", "--range", "layers=1,2", "--sample-every", "5"], 2, "--sample-every is for charlm train"),
    (["-", "--range", "layers=1,2"], 2, "save standard input to a file first"),
    (["--range", "\x1b[2J[/x]=\u202e"], 2, "no setting"),
    (["x", "--resume", "y"], 2, "TEXT cannot be used with --resume"),
    (["--resume", "y", "--range", "layers=1,2"], 2, "--range cannot be used with --resume"),
    (["--resume", "y", "--hidden-size", "3"], 2, "--hidden-size cannot be used with --resume"),
    (["--resume", "absent[/x]\x1b"], 4, "no sweep", "charlm sweep makes one"),
    (["--resume", "x" * 300], 4, "no sweep 'xxx"),
    (["--resume", "."], 4, "is no sweep's folder: it has no sweep.json"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), [(a, c, w) for a, c, *w in BAD], ids=lambda x: str(x)[:60])
def test_bad_input_is_one_line_and_a_code(arguments, code, words, charlm):
    out, err = charlm("sweep", *arguments, code=code)
    assert out == ""
    assert err.startswith("charlm: error: ")
    assert err.count("\n") == 1
    assert err.rstrip("\n").isprintable()
    assert all(word in err for word in words)


class OneScreen:
    """A screen that keeps what was drawn last, for a size of its own."""

    size = (79, 24)

    def draw(self, draw):
        self.lines = ["".join(piece for piece, _ in line) for line in draw(*self.size)]

    def open(self):
        pass

    close = open


def replayed(view, sweep, training, size=(79, 24)):
    """Show a view a rung, a trial, trouble in it, and its end."""
    OneScreen.size = size
    values = dict(sweep.search.trials[0])
    lost = Outcome(
        trial=2, rung=1, run="trial-002", values=values, status="diverged", reason="the loss \x1b[2J became nan",
        step=3, seconds=2.0, nats_per_character=None, bits_per_character=None,
    )  # fmt: skip
    back = RolledBack(
        step=1, epoch=0.1, characters=32, seconds=1.0, reason="no \x1b[31m", learning_rate=1e-3, retries_left=4
    )
    view.show(RungBegan(rung=1, trials=(1, 2, 3), end=2))
    view.show(TrialBegan(trial=1, rung=1, place=1, training=training))
    view.show(TrialEvent(event=back))
    view.show(TrialEvent(event=Sampled(step=1, epoch=0.1, characters=32, seconds=1.0, text="\x1b[2J\n" * 40)))
    shown = list(getattr(getattr(view, "_screen", None), "lines", []))
    view.show(TrialEnded(outcome=lost))
    return shown


@pytest.fixture
def searched(place, charlm):
    """A complete sweep, and a training to be shown."""
    folder = place / "checkpoints" / "shown[x]"
    if not folder.exists():
        charlm("sweep", NAME, *SMALL, "--range", "dropout=0..0.5", "--folder", folder.name, "--quiet")
    sweep = resume_sweep(folder.name, root=folder.parent)
    from charlm.training import resume_training

    training = resume_training({"steps": 9}, run="trial-001", root=sweep.folder, samples=False)
    yield sweep, training
    training.held.close()


@pytest.mark.parametrize("size", [(79, 24), (79, 16), (19, 24), (40, 8), (1, 1)], ids=str)
def test_the_live_view_shows_the_training_under_the_best(searched, monkeypatch, size):
    monkeypatch.setattr(sweep_view, "Screen", OneScreen)
    sweep, training = searched
    lines = replayed(LiveSweepView(sweep), sweep, training, size)
    assert all(character.isprintable() for line in lines for character in line)
    assert len(lines) < max(size[1], 5)
    if size == (79, 24):
        assert lines[0] == "shown[x] · rung 1 of 2, to 2 steps · trial 1 of 3"
        assert [line.split()[0] for line in lines[1:4]] == ["trial"] * 3
        assert lines[4] == ""
        assert lines[5].startswith("dropout=0.0672 · trial-001 · lstm 1 x 8")
        assert "back to step 1: no \\x1b[31m" in lines[6]
    if size == (40, 8):
        assert lines[1] == ""  # a low terminal is the training's


def test_the_plain_view_has_a_line_for_what_a_log_should_hold(searched, capsys):
    sweep, training = searched
    replayed(PlainSweepView(sweep), sweep, training)
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "rung 1 of 2: 3 trials to 2 steps",
        "  trial 1: dropout=0.0672",
        "    back to step 1: no \\x1b[31m; the learning rate is halved from here on, 4 more tries",
        "  trial 2  diverged (the loss \\x1b[2J became nan)  0:02  dropout=0.0672",
    ]


def test_the_help_says_that_a_sweep_does_not_choose_the_size(charlm):
    out, _ = charlm("sweep", "--help")
    told = " ".join(out.split())
    assert "units in each layer [256]" in told
    assert "by the minutes, if they are the end" not in told
    assert "by the number of passes" in told
    assert "by units and steps" in told
