"""What `charlm train` adds to a training: advice where memory runs out, and its end where a signal came."""

import os
import signal
from types import SimpleNamespace

import pytest

from charlm.cli.training_run import memory_advice, watch
from charlm.cli.view import PlainView, QuietView
from charlm.config import Config, ModelConfig, TokenizerConfig, TrainingConfig
from charlm.config.shapes import count_parameters
from charlm.errors import OutputError
from charlm.training.events import Stopped

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
    assert advice(one_lane).endswith("try --hidden-size 4")
    smallest = Config(training=TrainingConfig(batch_size=1), model=ModelConfig(hidden_size=1))
    assert advice(smallest).endswith("try a smaller --window-length")


def test_a_vocabulary_of_a_known_size_is_counted():
    def needed(tokenizer):
        return int(
            advice(Config(tokenizer=TokenizerConfig(tokenizer=tokenizer)))
            .split("about ")[1]
            .split(" ")[0]
            .replace(",", "")
        )

    assert needed("bpe:30000") > needed("char") + 100


def training_of(events, vocab_size=9):
    """What the command needs of a training with these events."""
    tokenizer = SimpleNamespace(vocab_size=vocab_size)
    data = SimpleNamespace(tokenizer=tokenizer, facts={"characters": 9})
    machine = SimpleNamespace(describe=lambda: "cpu")
    return SimpleNamespace(
        config=Config(), notices=[], data=data, machine=machine, run=SimpleNamespace(name="tale"), events=events,
        request_stop=lambda: True,
    )  # fmt: skip


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


def training_that(*acts):
    """One that does the first act in its last step, the second when all is saved, the third at its end."""

    unfinished = [True]

    def events():
        acts[0]()
        told = {"step": 9, "epoch": 1.0, "characters": 90, "seconds": 3.0, "checkpoint": None, "validation_nats": 2.0}
        yield Stopped(**told, reason="steps")
        unfinished.clear()
        acts[1]()

    training = training_of(events)
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


def test_a_signal_when_all_is_saved_ends_at_once():
    training = training_that(nothing, a_signal, pytest.fail)
    with pytest.raises(SystemExit, match="143"):
        watch(training, PlainView())
