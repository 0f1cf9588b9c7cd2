"""Start and resume through real run folders: names, refusals, what is left behind."""

import random
import re
import shutil
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from charlm import timing
from charlm.api import load
from charlm.config import Config, Layer, TrainingConfig, file_layer, resolve, to_toml
from charlm.config.ranges import SweepConfig
from charlm.errors import (
    ConfigError,
    CorpusError,
    DivergedError,
    OutputError,
    RunError,
    RunInUseError,
    UnknownNameError,
)
from charlm.evaluation import torch_scoring
from charlm.evaluation.agreement import BLOCK_LENGTH
from charlm.evaluation.torch_scoring import weigh
from charlm.runs import find_run
from charlm.runs.precision import measured_precisions
from charlm.runtime import PRECISIONS
from charlm.runtime.precision import fastest
from charlm.simd.processor import HAS_INT8
from charlm.sweeps import start_sweep
from charlm.training import decisions, plan_training, precision, resume_training, start_training
from charlm.training.events import Saved, Stopped
from charlm.training.pace import Pace
from charlm.training.plan import CUDA_BYTES, memory_estimate
from charlm.training.precision import note_precision
from charlm.training.resuming import refuse_complete
from charlm.training.scoring import RUN_ON, scoring_timer

SMALL = {"hidden_size": 8, "layers": 1, "batch_size": 4, "window_length": 8, "threads": 1}
NOW = datetime(2026, 11, 21, 14, 32)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    draws = random.Random(3)
    (tmp_path / "tale.txt").write_text("".join(draws.choice(["a cat sat. ", "it was dawn.\n"]) for _ in range(300)))
    return tmp_path


def config(place, **settings):
    values = {"corpus": (str(place / "tale.txt"),), **SMALL, **settings}
    return resolve([Layer(origin="flag", values=values)]).config


def begin(place, run="tale", **settings):
    return start_training(config(place, **settings), run=run, root=place / "runs", now=NOW, samples=False)


def go_on(place, run="tale", **changes):
    return resume_training(changes, run=run, root=place / "runs", samples=False)


def test_rare_characters_are_bytes_from_the_start_to_what_is_written(place):
    """The run says from which count on a character has an id; its resume, its figures and its texts go by that."""
    often, rare = (place / "tale.txt").read_text() * 10, "".join(map(chr, range(0x4E00, 0x4E00 + 900)))
    (place / "tale.txt").write_text(often + rare)
    first = begin(place, steps=2, split="100")
    list(first.events())
    assert first.run.config.tokenizer.min_count == first.data.tokenizer.min_count == 2
    assert any("min count 2: rarer characters" in line for line in first.notices)
    list(go_on(place, steps=4, min_count=2).events())
    model = load("tale", root=place / "runs")
    assert model.tokenizer.vocab_size < 300
    # neither letter is in the vocabulary, nor was one of them in the text
    assert model.generate(prompt="\u4e00é", length=5).startswith("\u4e00é")
    assert plan_training(config(place, steps=2, split="100"), root=place).notices[0].startswith("min count 2")


def test_a_run_without_a_name_gets_one_that_is_free(place):
    names = [begin(place, run=None, steps=1).run.name for _ in range(3)]
    assert names == ["tale-20261121-1432", "tale-20261121-1432-2", "tale-20261121-1432-3"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        *((name, ConfigError, "is no name for a new run") for name in (".hidden", "a@b", "", "a/..", "a\0b")),
        ("tale", RunError, "is there already"),
        ("x" * 300, OutputError, "not made: File name too long"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_the_text_is_read(place, name, error, message):
    (place / "runs").mkdir()
    (place / "runs" / "tale").write_text("")
    with pytest.raises(error, match=message):
        begin(place, run=name, corpus=("absent.txt",))
    assert [path.name for path in (place / "runs").iterdir()] == ["tale"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"schedule": "cosin"}, UnknownNameError, "did you mean cosine"),
        ({"optimizer": "adma"}, UnknownNameError, "did you mean adam"),
        ({"cell": "lsmt"}, UnknownNameError, "did you mean lstm"),
        ({"batch_size": 10**6}, ConfigError, "the largest that fits is"),
        ({"device": "cuda"}, ConfigError, "is not available here"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing_behind(place, settings, error, message):
    with pytest.raises(error, match=message):
        begin(place, **settings)
    assert not list((place / "runs").glob("*"))


@pytest.mark.parametrize(
    "error",
    [MemoryError, RuntimeError("can't allocate memory"), DivergedError("it is no use"), KeyboardInterrupt],
)
def test_a_training_that_fails_before_its_first_checkpoint_leaves_no_run_behind(place, monkeypatch, error):
    for failing, left in ((1, []), (5, ["tale"])):
        training = begin(place, steps=10, checkpoint_every=2)
        learner, steps = training.trainer.learner, iter(range(failing - 1))

        def advance(rate, advance=learner.advance, steps=steps):
            if next(steps, None) is None:
                raise error
            return advance(rate)

        monkeypatch.setattr(learner, "advance", advance)
        with pytest.raises(type(error) if isinstance(error, Exception) else error):
            list(training.events())
        assert [path.name for path in (place / "runs").iterdir()] == left
    assert find_run("tale", place / "runs").run.load("latest").step == 4


def test_a_training_that_was_killed_before_its_first_checkpoint_begins_again(place):
    settings = {"steps": 6, "checkpoint_every": 3, "kernels": "torch", "dtype": "float32", "dropout_input": 0.2}
    list(begin(place, "whole", **settings).events())
    killed = begin(place, **settings)
    killed.run.append_metrics({"kind": "evaluate", "step": 2})
    again = go_on(place)
    assert again.notices == ["run tale ended before its first checkpoint and begins again"]
    assert again.config == killed.config
    list(again.events())
    mine, whole = (find_run(name, place / "runs").run for name in ("tale", "whole"))
    for name, array in whole.load("latest").weights.items():
        assert (mine.load("latest").weights[name] == array).all(), name
    assert [one["step"] for one in mine.metrics()] == [one["step"] for one in whole.metrics()]
    for step in mine.checkpoints():
        shutil.rmtree(mine.folder / "steps" / step.name)
    with pytest.raises(RunError, match="checkpoint of step 6 passed over: its folder is gone"):
        go_on(place)


def test_when_all_is_saved_there_is_nothing_to_finish(place, monkeypatch):
    training, asked = begin(place, steps=2), []
    monkeypatch.setattr("charlm.training.training.note_precision", lambda *what: asked.append(training.request_stop()))
    events = training.events()
    next(events)
    assert not training.ended
    list(events)
    assert asked == [False]


def test_a_folder_that_cannot_be_made_is_named_before_any_work(place):
    (place / "runs").write_text("a file")
    with pytest.raises(OutputError, match="folder for runs"):
        begin(place, steps=1)


def test_minutes_do_not_count_what_a_machine_does_once(place, monkeypatch):
    """A first training of a minute that compiled for half of it would have learnt half as much."""
    now, choose = [100.0], decisions.choose_machine
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def compiling(*arguments, **options):
        now[0] += 2.0
        with timing.paused():
            now[0] += 30.0
        return choose(*arguments, **options)

    said = "compiling and fetching took 30 seconds, once: --minutes does not count them"
    training = begin(place, run="quick", minutes=1.0)
    assert (training.trainer.seconds(), said in training.notices) == (0.0, False)
    monkeypatch.setattr(decisions, "choose_machine", compiling)
    training = begin(place, minutes=1.0)
    assert (training.trainer.seconds(), said in training.notices) == (2.0, True)
    assert said not in begin(place, run="steps", steps=1).notices


@pytest.mark.parametrize(
    ("text", "error", "advice"),
    [
        ("a", CorpusError, "has 0 symbols, 2 are the least to learn from: give a longer text$"),
        ("ab", CorpusError, "has 1 symbol, .*: give a longer text, or a larger first share in --split$"),
        ("abcde", ConfigError, "batch_size 4 is too large for a text of 4 symbols: the largest that fits is 3$"),
    ],
)
def test_a_text_too_short_to_learn_from_is_refused_before_anything_is_compiled(place, monkeypatch, text, error, advice):
    (place / "tale.txt").write_text(text)
    with monkeypatch.context() as patch:
        patch.delattr("charlm.training.decisions.choose_machine")
        with pytest.raises(error, match=advice):
            begin(place, steps=1)
    if len(text) > 1:
        assert begin(place, steps=1, **({"split": "100/0"} if len(text) == 2 else {}), batch_size=1).run


@pytest.mark.parametrize(("length", "window_length", "batch_size"), [(12, 64, 1), (30, 4, 6), (2000, 64, 32)])
def test_a_batch_that_nobody_asked_for_fits_a_short_text(place, length, window_length, batch_size):
    text = (place / "tale.txt").read_text()[:length]
    (place / "tale.txt").write_text(text)
    asked = config(place, steps=2, batch_size=32, window_length=window_length, split="90/10")
    training = start_training(asked, root=place / "runs", now=NOW, free=["batch_size"], samples=False)
    assert training.config.training.batch_size == training.run.config.training.batch_size == batch_size
    said = f"has only {len(text) * 9 // 10} symbols: --batch-size {batch_size} in place of 32"
    assert [said in notice for notice in training.notices] == ([True] if batch_size < 32 else [])
    assert [event.step for event in training.events()][-1] == 2
    if batch_size < 32:
        with pytest.raises(ConfigError, match="the largest that fits is"):
            start_training(asked, root=place / "runs", now=NOW, samples=False)


def test_resume_goes_on_to_a_longer_end_and_remembers_it(place):
    list(begin(place, steps=10).events())
    longer = go_on(place, steps=20)
    events = list(longer.events())
    assert events[-1].step == 20
    assert [event.step for event in events if event.kind == "evaluate"] == [12, 14, 16, 18, 20]
    with pytest.raises(ConfigError, match=r"is complete \(20 steps, \d+\.\d seconds\): .*--steps a larger number"):
        go_on(place)
    assert go_on(place, epochs=50.0).trainer.pace.steps > 20  # a new end takes the place of the old one


@pytest.mark.parametrize(("every", "samples"), [(2, 2), (None, 0)])
def test_a_run_whose_settings_ask_for_samples_writes_them_when_it_goes_on_too(place, every, samples):
    def written(training):
        return sum(event.kind == "sample" for event in training.events())

    settings, at = config(place, steps=4, sample_every=every), {"run": "tale", "root": place / "runs"}
    assert written(start_training(settings, **at, now=NOW, samples=None)) == samples
    assert written(resume_training({"steps": 8}, **at, samples=None)) == samples


def test_resume_takes_every_setting_again_that_the_run_has(place):
    """From flags, which give tuples, and from a file, which gives lists."""
    first = begin(place, steps=4)
    list(first.events())
    corpus = first.config.corpus.corpus
    again = go_on(place, corpus=corpus, hidden_size=first.config.model.hidden_size, steps=5)
    assert again.config.corpus == first.config.corpus
    again.held.close()
    assert go_on(place, corpus=list(corpus), include=[], steps=6).config.training.steps == 6


def test_a_rate_given_anew_is_not_halved_by_what_the_old_one_did(place):
    first = begin(place, steps=4)
    first.trainer.standing.rollbacks, first.trainer.standing.rate_scale = 4, 1 / 16
    list(first.events())
    same = go_on(place, steps=6)
    assert (same.trainer.standing.rollbacks, same.trainer.standing.rate_scale) == (4, 1 / 16)
    same.held.close()
    file = place / "same.toml"
    file.write_text(to_toml(find_run("tale", place / "runs").run.last_config()[0]))
    same = go_on(place, **{**file_layer(file).values, "steps": 6})
    assert (same.trainer.standing.rollbacks, same.trainer.standing.rate_scale) == (4, 1 / 16)
    same.held.close()
    anew = go_on(place, steps=6, learning_rate=1e-3)
    assert (anew.trainer.standing.rollbacks, anew.trainer.standing.rate_scale) == (0, 1.0)
    anew.held.close()


def test_a_run_tells_the_settings_of_its_last_sitting(place):
    list(begin(place, steps=4).events())
    list(go_on(place, epochs=3.0, learning_rate=1e-3).events())
    training = find_run("tale", place / "runs").run.last_config()[0].training
    assert (training.steps, training.epochs, training.learning_rate) == (None, 3.0, 1e-3)


@pytest.mark.parametrize(("seconds", "words"), [(0.04, "0.0 seconds"), (59.4, "59.4 seconds"), (90.0, "1.5 minutes")])
def test_a_complete_run_says_how_long_it_took(seconds, words):
    trainer = SimpleNamespace(
        learner=SimpleNamespace(steps=1),
        standing=SimpleNamespace(seconds=seconds),
        pace=SimpleNamespace(ended=lambda steps, seconds: "steps"),
        config=SimpleNamespace(patience=None),
    )
    with pytest.raises(
        ConfigError, match=rf"run rr is complete \(1 step, {re.escape(words)}\): to go on, give --steps"
    ):
        refuse_complete(SimpleNamespace(name="rr"), trainer)


def test_what_attention_and_n_grams_carry_goes_on(place):
    """Their state is of other shapes than a layer's, which a resume checks before it makes anything."""
    beside = {"attention_window": 3, "ngram_embedding_size": 4, "ngram_order": 3}
    beside |= {"learning_rate": 0.01, "schedule": "constant", "weight_decay": 0.0, "dropout": 0.1}
    beside |= {"kernels": "compiled"}  # each of the two would choose by its own trial
    whole = begin(place, run="whole", steps=6, **beside)
    list(whole.events())
    list(begin(place, steps=4, **beside).events())
    resumed = go_on(place, steps=6)
    list(resumed.events())
    for one, other in zip(whole.trainer.learner.parameters, resumed.trainer.learner.parameters, strict=True):
        assert torch.equal(one, other)


def test_resume_refuses_what_would_make_another_training(place):
    list(begin(place, steps=4).events())
    with pytest.raises(ConfigError, match=r"split cannot change .*\(it is not set, asked for '80/20'\)"):
        go_on(place, split="80/20")
    with pytest.raises(ConfigError, match=r"hidden_size cannot change .*\(it is 8, asked for 16\)"):
        go_on(place, hidden_size=16)
    with pytest.raises(ConfigError, match=r"corpus cannot change .*tale.txt', asked for 'a' 'b'\)"):
        go_on(place, corpus=("a", "b"), steps=9)
    with pytest.raises(ConfigError, match="from its latest checkpoint, not from 4"):
        go_on(place, run="tale@4", steps=9)
    (place / "tale.txt").write_text("another text altogether. " * 40)
    with pytest.raises(CorpusError, match="has changed since run tale was made"):
        go_on(place, steps=9)


def test_a_changed_text_can_be_accepted(place):
    list(begin(place, steps=8, learning_rate=1e-3).events())
    was = go_on(place, steps=9).trainer
    (place / "tale.txt").write_text((place / "tale.txt").read_text() + "and then it rained.\n" * 150)
    with pytest.raises(CorpusError, match="--accept-change"):
        go_on(place, steps=12)
    training = resume_training({"steps": 12}, run="tale", root=place / "runs", accept_change=True, samples=False)
    assert "has changed since run tale was made" in training.notices[0]
    lanes, before = training.trainer.learner.lanes, was.learner.lanes
    assert lanes.state_dict()["predictions"] > before.state_dict()["predictions"]
    assert lanes.epoch == pytest.approx(before.epoch, abs=0.01)

    training.held.close()
    # killed right here it is the run's text already, and needs no flag
    training = go_on(place, steps=12)
    events = list(training.events())
    assert events[-1].step == 12
    # the first loss on the new text is the best of it, whatever was the best of the old one
    assert next(event for event in events if event.kind == "evaluate").best
    best = [event.step for event in events if event.kind == "evaluate" and event.best][-1]
    assert find_run("tale", place / "runs").load().step == best
    assert training.summary().score.tokens == len(training.data.store.part("validation")) - 1


def test_a_longer_text_is_evaluated_as_often_as_its_passes_ask_for(place):
    """More text is a later end: the evaluations that the old one had are not those of the new one."""
    list(begin(place, epochs=0.5, evaluate_every=None).events())
    (place / "tale.txt").write_text((place / "tale.txt").read_text() * 4)
    training = resume_training({}, run="tale", root=place / "runs", accept_change=True, samples=False)
    kinds = [event.kind for event in training.events()]
    assert kinds.count("evaluate") > 4


def test_what_cannot_be_validated_makes_no_difference_and_is_told(place):
    told = "there is nothing to validate on, so --patience and the schedule plateau have no effect"
    for name, settings in {"a": {"patience": 1}, "b": {"schedule": "plateau"}}.items():
        assert told in begin(place, run=name, steps=2, split="100/0", **settings).notices
    assert told not in begin(place, run="c", steps=2, split="100/0").notices
    assert told not in begin(place, run="d", steps=2, patience=1).notices


def test_a_text_that_is_the_same_needs_no_acceptance_and_changes_nothing(place):
    list(begin(place, steps=4).events())
    before = find_run("tale", place / "runs").run.facts
    training = resume_training({"steps": 6}, run="tale", root=place / "runs", accept_change=True, samples=False)
    assert training.notices == ["goes on from step 4"]
    assert training.trainer.standing.best_nats < 10
    list(training.events())
    # the measurement at the end is of the new best checkpoint
    assert {**find_run("tale", place / "runs").run.facts, "precision": before["precision"]} == before


def test_patience_that_ended_a_run_can_be_renewed(place):
    list(begin(place, steps=400, patience=1, evaluate_every=2, learning_rate=1e-9).events())
    with pytest.raises(ConfigError, match="--patience a larger number"):
        go_on(place)
    events = list(go_on(place, patience=3).events())
    assert len([event for event in events if event.kind == "evaluate"]) >= 3


def test_a_log_that_cannot_be_written_does_not_end_a_training(place, monkeypatch):
    training = begin(place, steps=6)

    def full(record):
        raise OutputError("metrics.jsonl not written: disk full")

    monkeypatch.setattr(training.run, "append_metrics", full)
    events = list(training.events())
    told = [event for event in events if event.kind == "log"]
    assert [event.reason for event in told] == ["metrics.jsonl not written: disk full"]
    assert find_run("tale", place / "runs").load().step == 6


def test_a_plan_refuses_a_name_that_its_training_would(place):
    with pytest.raises(ConfigError, match="is no name for a new run"):
        plan_training(config(place, steps=1), run="a@b", root=place / "runs")
    assert not (place / "runs").exists()
    begin(place)
    with pytest.raises(RunError, match="tale is there already"):
        plan_training(config(place, steps=1), run="tale", root=place / "runs")


def test_a_plan_counts_and_times_without_a_run(place):
    plan = plan_training(config(place, steps=100))
    assert plan.steps == 100
    assert plan.parameters == sum(p.numel() for p in begin(place).trainer.learner.parameters)
    assert plan.characters_per_second > 0
    assert plan.epochs == pytest.approx(100 * 32 / (begin(place, run="b").data.store.part("train").size - 1))


@pytest.mark.parametrize("every", [None, 1])
def test_a_plan_by_time_leaves_room_for_evaluations_and_the_last_scoring(place, every):
    plan = plan_training(config(place, minutes=0.1, evaluate_every=every), clock=lambda: 0.0)
    assert 0 < plan.evaluating_seconds < plan.seconds
    per_step = 32 / plan.characters_per_second
    assert plan.steps * per_step == pytest.approx(plan.seconds - plan.evaluating_seconds)
    assert plan.seconds == pytest.approx(6.0, abs=2 * plan.seconds / plan.steps)


def test_a_plan_takes_off_what_a_training_would_have_spent(place):
    """Reading the text and trying machines come off the minutes."""
    now = iter(range(0, 10**6, 2))
    plan = plan_training(config(place, minutes=1), clock=lambda: float(next(now)), started=-30.0)
    stepping = plan.steps * 32 / plan.characters_per_second
    assert stepping + plan.evaluating_seconds < 30
    assert 55 < plan.seconds < 62


@pytest.mark.parametrize(
    ("steps", "every", "evaluations"), [(1, None, 1), (4, None, 4), (40, None, 10), (40, 8, 5), (3, 8, 1)]
)
def test_there_are_no_more_evaluations_than_steps(steps, every, evaluations):
    assert Pace.of(TrainingConfig(steps=steps), 1000).evaluations_of(steps, every) == evaluations


def test_a_plan_by_steps_counts_the_evaluations(place):
    often, seldom = (plan_training(config(place, steps=5000, evaluate_every=every)) for every in (1, 2500))
    assert often.evaluating_seconds > 10 * seldom.evaluating_seconds  # 5,000 and 2, and the last scoring


def test_a_plan_is_of_a_batch_that_fits(place):
    (place / "tale.txt").write_text("a cat sat.\n")
    plan = plan_training(config(place, steps=3, batch_size=32), free=["batch_size"])
    assert "--batch-size 1 in place of 32" in plan.notices[0]


def test_a_summary_is_of_the_best_checkpoint(place):
    training = begin(place, steps=30, learning_rate=0.02)
    best = min(event.validation_nats for event in training.events() if event.kind == "evaluate")
    summary = training.summary()
    assert summary.score.nats_per_token == pytest.approx(best, abs=0.01)
    assert set(summary.baselines) == {"uniform", "unigram", "5-gram", "xz"}
    assert summary.judgement
    with pytest.raises(RunError, match="is there already"):
        begin(place)


def test_a_summary_of_a_part_says_how_all_of_it_is_measured(place, monkeypatch):
    monkeypatch.setenv("CHARLM_CHECKPOINTS", str(place / "runs"))
    monkeypatch.setattr("charlm.training.summary.MOST_SCORED", 100)
    training = begin(place, steps=2)
    list(training.events())
    assert training.summary().judgement[-1].endswith("charlm eval --run tale --split validation measures all")


def test_a_finished_training_notes_what_each_number_format_costs_and_finds_it_in_little_memory(place, monkeypatch):
    training = begin(place, steps=30)
    list(training.events())
    run = find_run("tale", place / "runs").run
    best = run.load(None)
    nats = measured_precisions(run.facts, best.step)
    assert {"exact"} < set(nats) <= set(PRECISIONS)
    assert max(nats.values()) - min(nats.values()) < 0.01
    taken = load("tale", root=place / "runs").engine()
    assert taken.precision == fastest(nats, bytes_are_fast=HAS_INT8)
    assert load("tale@latest", root=place / "runs").engine(precision="exact").precision == "exact"
    V, sizes = run.tokenizer.vocab_size, []
    monkeypatch.setattr(torch_scoring, "LARGEST_LOGITS", 10 * V)
    monkeypatch.setattr(precision, "weigh", lambda logits, ids: sizes.append(logits.numel()) or weigh(logits, ids))
    note_precision(run, training.data)
    assert len(sizes) > 5
    assert max(sizes) <= 10 * V
    assert measured_precisions(run.facts, best.step) == pytest.approx(nats)


def test_what_a_number_format_costs_is_not_noted_of_a_model_that_explodes(place, monkeypatch):
    training = begin(place, steps=2)
    monkeypatch.setattr(precision, "weigh", lambda logits, ids: weigh(logits * float("nan"), ids))
    list(training.events())
    run = find_run("tale", place / "runs").run
    assert measured_precisions(run.facts, run.load(None).step) == {}


def test_a_training_that_was_stopped_measures_nothing(place):
    training = begin(place, steps=10**6)
    for event in training.events():
        if isinstance(event, Stopped):
            assert event.reason == "interrupted"
        training.request_stop()
    assert "precision" not in find_run("tale", place / "runs").run.facts


def test_the_memory_of_a_plan_is_that_of_this_build_of_torch(monkeypatch):
    found = {}
    for version in (None, "13.0"):
        monkeypatch.setattr(torch.version, "cuda", version)
        found[version] = memory_estimate(Config(), 65)
    assert found["13.0"] - found[None] == CUDA_BYTES


def test_a_harder_text_is_no_divergence(place):
    """What the losses of the old text were is forgotten with it."""
    list(begin(place, steps=60, learning_rate=0.05, hidden_size=16).events())
    (place / "tale.txt").write_text("".join(map(chr, random.Random(4).choices(range(0x4E00, 0x4E40), k=9000))))
    training = resume_training({"steps": 90}, run="tale", root=place / "runs", accept_change=True, samples=False)
    with pytest.MonkeyPatch.context() as patch:
        # as if all of the old one had been known by heart
        patch.setattr("charlm.training.watch.RUNAWAY_NATS", 0.1)
        kinds = [event.kind for event in training.events()]
    assert "rollback" not in kinds


def test_a_path_needs_no_folder_of_runs(place):
    training = start_training(config(place, steps=1), run=str(place / "deep" / "x"), root=place / "no", now=NOW)
    assert training.run.folder == place / "deep" / "x"
    assert not (place / "no").exists()
    with pytest.raises(OutputError, match=r"cannot be made: .*/tale.txt is no folder; give another --run"):
        begin(place, run=str(place / "tale.txt" / "a" / "x"))
    with pytest.raises(ConfigError, match="the largest that fits"):
        begin(place, run=str(place / "deeper" / "x"), batch_size=10**6)
    assert not (place / "deeper").exists()


def test_more_names_than_a_run_can_keep_are_refused_before_they_are_read(place):
    names = tuple(f"{'x' * 70}{number}" for number in range(20_000))
    with pytest.raises(ConfigError, match="20,000 texts are more than a run can keep the names of: name the folder"):
        begin(place, corpus=names)
    with pytest.raises(ConfigError, match="20,000 texts"):
        start_sweep(config(place, corpus=names), ["dropout=0,0.1"], SweepConfig(), root=place / "runs", now=NOW)


def test_a_run_that_begins_again_has_no_record_of_its_first_beginning(place):
    first = begin(place, steps=4)
    told = {"epoch": 0.0, "characters": 0, "seconds": 1.0, "reason": "the loss became nan", "learning_rate": 1.0}
    first.run.append_metrics({"kind": "rollback", "step": 0, **told})
    first.run.append_metrics({"kind": "train", "step": 2, **told})
    again = go_on(place)
    list(again.events())
    kinds = [(record["kind"], record["step"]) for record in again.run.metrics()]
    assert ("rollback", 0) not in kinds
    assert kinds[-1] == ("stop", 4)


def test_the_memory_planned_has_the_table_of_n_grams_and_what_is_looked_up_in_it():
    """The table and its last good copy; weights of its products, their gradients, two moments and the last good copy
    of weights and moments; three places a length, and five for what is added to the logits."""
    asked = [resolve([Layer(origin="test", values={"ngram_embedding_size": size})]).config for size in (0, 32)]
    plain, ngrams = (memory_estimate(config, 65) for config in asked)
    table = 4 * (2 * 65536 * 32 + 7 * 32 * (4 * 256 + 65))
    looked_up = 4 * 32 * 64 * (3 * 4 + 5) * 32
    assert ngrams - plain == table + looked_up


@pytest.mark.parametrize(("symbols", "lanes"), [(70_000, 64), (5_000, 4), (20, 1)])
def test_what_the_last_scoring_takes_is_timed_on_a_block_of_its_text(place, symbols, lanes):
    """In as many lanes, however short the text at hand is; without its first block, which is slow; without a trace."""
    training = begin(place)
    model, machine, ticks = training.trainer.learner.model, training.machine, iter([10.0, 13.0])
    seen = []
    model.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ids = np.arange(100, dtype=np.uint16) % model.vocab_size
    found = scoring_timer(ids, symbols, machine, lambda: next(ticks))(model)
    assert found == pytest.approx(3.0 * (symbols / (lanes * BLOCK_LENGTH) + RUN_ON))
    assert seen == [(lanes, BLOCK_LENGTH)] * 2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("last", "improving"), [(21, True), (22, False)])
def test_a_model_that_was_best_long_before_its_end_was_not_getting_better(place, monkeypatch, last, improving):
    told = []
    monkeypatch.setattr("charlm.training.summary.judge", lambda **how: told.append(how["improving"]) or [])
    training = begin(place, steps=20, evaluate_every=20)
    list(training.events())
    found = training.run.load("best")
    assert found.step == 20
    training.run.save(last, weights=found.weights, training={}, progress={}, best=False, keep=2)
    training.summary()
    assert told == [improving]


@pytest.mark.parametrize("trained", [True, False])
def test_a_training_whose_folder_is_another_runs_now_ends_and_leaves_that_alone(place, trained):
    first = begin(place, steps=60, evaluate_every=5)
    events = first.events()
    next(event for event in events if isinstance(event, Saved))
    shutil.rmtree(first.run.folder)
    second = begin(place, steps=4)
    if trained:
        list(second.events())
    with pytest.raises(RunInUseError, match="tale is not the folder that was locked"):
        list(events)
    assert first.trainer.learner.steps < 60
    if not trained:
        list(second.events())
    assert {found.step for found in second.run.checkpoints()} <= set(range(5))
    assert {record["step"] for record in second.run.metrics()} <= set(range(5))
