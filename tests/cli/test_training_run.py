"""What `charlm train` adds to a training: advice where memory runs out, and its end where a signal came."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from charlm.cli.training_run import USUAL_VOCABULARY, memory_advice, watch
from charlm.cli.view import PlainView, QuietView
from charlm.config import Config, ModelConfig, TokenizerConfig, TrainingConfig
from charlm.config.shapes import count_parameters
from charlm.errors import OutputError
from charlm.training.events import Stopped
from charlm.training.plan import memory_estimate
from charlm.training.summary import Summary

ALLOCATION = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


def advice(config, error=ALLOCATION):
    with pytest.raises(OutputError) as caught, memory_advice(config):
        raise error
    return str(caught.value)


def test_it_says_how_much_is_needed_and_what_saves_most():
    large_batch = Config(training=TrainingConfig(batch_size=4096, window_length=256))
    assert advice(large_batch).endswith("MB; try --batch-size 2048")
    large_model = Config(model=ModelConfig(hidden_size=8192))
    said = advice(large_model, MemoryError())
    assert said.endswith("MB; try --hidden-size 4096")
    # weights, gradients and two moments at the least, in numbers of four bytes
    needed = int(said.split("about ")[1].split(" MB")[0].replace(",", ""))
    assert needed > 16 * count_parameters(large_model.model, 400) / 2**20
    one_lane = Config(training=TrainingConfig(batch_size=1, window_length=10**6), model=ModelConfig(hidden_size=8))
    assert advice(one_lane).endswith("try --window-length 500000")
    smallest = Config(training=TrainingConfig(batch_size=1), model=ModelConfig(hidden_size=1))
    assert advice(smallest).endswith("try --window-length 32")


@pytest.mark.parametrize(
    ("flag", "asked", "name", "section"),
    [("window-length", 10**6, "training", TrainingConfig), ("hidden-size", 2**13, "model", ModelConfig)],
)
def test_what_it_says_fits_the_memory_of_the_machine(monkeypatch, flag, asked, name, section):
    room = 2**30
    monkeypatch.setattr("charlm.cli.training_run.memory_of_machine", lambda: room)

    def config(value):
        return Config(**{name: section(**{flag.replace("-", "_"): value})})

    _, said, value = advice(config(asked)).rpartition(f"--{flag} ")
    assert said
    assert memory_estimate(config(int(value)), USUAL_VOCABULARY) <= room
    assert memory_estimate(config(2 * int(value)), USUAL_VOCABULARY) > room
    monkeypatch.setattr("charlm.cli.training_run.memory_of_machine", lambda: 0)
    assert advice(config(asked)).endswith(f"--{flag} 1")


def test_a_vocabulary_of_a_known_size_is_counted():
    def needed(tokenizer):
        return int(
            advice(Config(tokenizer=TokenizerConfig(tokenizer=tokenizer)))
            .split("about ")[1]
            .split(" ")[0]
            .replace(",", "")
        )

    assert needed("bpe:30000") > needed("char") + 100


def training_of(events, vocab_size=9, split=2, folder=Path("checkpoints/tale"), ends=None):
    """What the command needs of a training with these events; `split`: symbols of validation and test each."""
    tokenizer = SimpleNamespace(vocab_size=vocab_size)
    parts = {"train": range(7), "validation": range(split), "test": range(split)}
    store = SimpleNamespace(parts=parts, part=parts.get)
    data = SimpleNamespace(tokenizer=tokenizer, facts={"characters": 9}, store=store)
    machine = SimpleNamespace(describe=lambda: "cpu")
    config, run = Config(training=TrainingConfig(**(ends or {}))), SimpleNamespace(name=folder.name, folder=folder)
    return SimpleNamespace(
        config=config, notices=[], data=data, machine=machine, run=run, events=events, request_stop=lambda: True
    )


def test_memory_that_runs_out_in_a_training_counts_its_vocabulary():
    """Of 60,000 characters, the logits of a window are what takes most."""

    def events():
        raise ALLOCATION
        yield

    def ended(vocab_size):
        with pytest.raises(OutputError) as caught:
            watch(training_of(events, vocab_size), QuietView())
        return int(str(caught.value).split("about ")[1].split(" ")[0].replace(",", ""))

    assert ended(60_000) > ended(100) + 2048 * 60_000 * 4 / 2**20


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="no such operator"), memory_advice(Config()):
        raise RuntimeError("no such operator")


def training_that(*acts, reason="steps", **facts):
    """One that does the first act in its last step, the second when all is saved, the third at its end."""

    unfinished = [True]

    def events():
        acts[0]()
        told = {"step": 9, "epoch": 1.0, "characters": 90, "seconds": 3.0, "checkpoint": None, "validation_nats": 2.0}
        yield Stopped(**told, reason=reason)
        unfinished.clear()
        acts[1]()

    training = training_of(events, **facts)
    training.request_stop = lambda: bool(unfinished)
    training.summary = acts[2]
    return training


def nothing():
    pass


def a_signal():
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_in_the_last_step_ends_a_training_that_is_complete(capsys):
    assert watch(training_that(a_signal, nothing, pytest.fail), PlainView()) == 143
    said = capsys.readouterr().err
    assert "the training is complete and saved" in said
    assert "charlm eval --run tale" in said
    assert "--resume" not in said


@pytest.fixture
def ended(monkeypatch, capsys):
    """What is told at the end of a training with these facts: by its summary, and after a signal in its last step."""
    monkeypatch.delenv("CHARLM_CHECKPOINTS", raising=False)

    def run(reason="steps", **facts):
        folder = facts.get("folder", Path("checkpoints/tale"))
        summary = Summary(
            run=folder, checkpoint=folder, score=None, training=None, baselines={}, judgement=[], division="by hand"
        )
        whole = training_that(nothing, nothing, lambda: summary, reason=reason, **facts)
        assert watch(whole, PlainView()) == 0
        whole = capsys.readouterr().err
        assert watch(training_that(a_signal, nothing, pytest.fail, **facts), PlainView()) == 143
        return whole, capsys.readouterr().err

    return run


def test_the_end_suggests_an_evaluation_of_a_split_that_has_something_to_measure(ended):
    assert ["charlm eval --run tale\n" in told for told in ended()] == [True, True]
    assert ["charlm eval --run tale --split train\n" in told for told in ended(split=0)] == [True, True]
    assert ["charlm eval --run tale --split train\n" in told for told in ended(split=1)] == [True, True]


def test_the_end_names_the_run_as_it_can_be_typed(ended, monkeypatch):
    assert "charlm generate --run 'my tale' --prompt" in ended(folder=Path("checkpoints/my tale"))[0]
    assert all("charlm eval --run 'other place/tale'\n" in told for told in ended(folder=Path("other place/tale")))
    monkeypatch.setenv("CHARLM_CHECKPOINTS", "other place")
    assert all("charlm eval --run tale\n" in told for told in ended(folder=Path("other place/tale")))


def test_a_signal_when_all_is_saved_ends_at_once():
    training = training_that(nothing, a_signal, pytest.fail)
    with pytest.raises(SystemExit, match="143"):
        watch(training, PlainView())


@pytest.mark.parametrize(
    ("ends", "reason", "flag"),
    [
        ({}, "minutes", "--minutes 6"),
        ({"steps": 10**6, "minutes": 1.0}, "minutes", "--minutes 2"),
        ({"steps": 50, "minutes": 1.0}, "steps", "--steps 100"),
        ({"epochs": 1.5, "minutes": 9.0}, "epochs", "--epochs 3"),
        ({"steps": 50, "patience": 2}, "patience", "--steps 100"),
    ],
)
def test_the_end_suggests_twice_what_was_reached(ended, ends, reason, flag):
    assert f"charlm train --resume --run tale {flag}\n" in ended(ends=ends, reason=reason)[0]


@pytest.mark.parametrize("error", [BrokenPipeError, OutputError])
@pytest.mark.parametrize("gone_at", ["notice", "open", "show"])
def test_whoever_looks_on_may_go_away(error, gone_at):
    """What was learnt is saved all the same, and then it is told."""
    done = []

    def events():
        told = {"epoch": 1.0, "characters": 90, "seconds": 3.0, "checkpoint": None, "validation_nats": 2.0}
        for step in range(100):
            if "stop" in done:
                done.append("saved")
                return
            yield Stopped(step=step, **told, reason="interrupted")
        pytest.fail("nobody asked it to stop")

    class Gone(QuietView):
        pass

    def gone(*_):
        raise error("gone")

    setattr(Gone, gone_at, gone)
    training = training_of(events)
    training.notices, training.request_stop = ["a notice"], lambda: done.append("stop")
    with pytest.raises(error, match="gone"):
        watch(training, Gone())
    assert done == ["stop", "saved"]
