"""Sweeps through real run folders: who goes on, what the winner is, kills, budgets, failures."""

import dataclasses
import json
import shutil
from datetime import datetime

import pytest
from safetensors.numpy import load_file

from charlm.api import load
from charlm.config import Layer, resolve
from charlm.config.ranges import SweepConfig
from charlm.errors import (
    ConfigError,
    CorpusError,
    DivergedError,
    OutputError,
    RunError,
    RunInUseError,
    UnavailableError,
)
from charlm.runs import open_run
from charlm.runs.lock import hold
from charlm.sweeps import start_sweep, trial
from charlm.sweeps import sweep as module
from charlm.sweeps.events import RungBegan, SweepEnded, TrialBegan, TrialEnded, TrialEvent
from charlm.training import assembly, decisions, start_training
from charlm.training.events import Saved, Stopped

NOW = datetime(2026, 11, 21, 14, 32)
# what is asked for where a trial chooses the rest
OF_TRIALS = {"hidden_size": 8, "layers": 1, "batch_size": 4, "window_length": 8, "threads": 1}


def inside(trial, rung, kind):
    """Whether an event is of a kind of training event, of this trial in this rung."""
    return lambda now, event: now == (trial, rung) and isinstance(event, TrialEvent) and isinstance(event.event, kind)


def of_last_rung(now, event):
    return now is not None and now[1] == 2 and isinstance(event, TrialEvent) and isinstance(event.event, Stopped)


# Moments of a kill: where it comes first, the folder is copied.
KILLS = {
    "before the first checkpoint": lambda now, event: isinstance(event, TrialBegan),
    "in the first rung": inside(2, 1, Saved),
    "at the end of the first rung, not scored": inside(3, 1, Stopped),
    "between two trials": lambda now, event: isinstance(event, TrialEnded) and event.outcome.trial == 3,
    "between two rungs": lambda now, event: isinstance(event, RungBegan) and event.rung == 2,
    "at the very end, not scored": of_last_rung,
    "when all was done": lambda now, event: isinstance(event, TrialEnded) and event.outcome.rung == 2,
}


@pytest.fixture(scope="module")
def killed(make_place, tmp_path_factory):
    """A place with the complete sweep ``whole`` and, by moment, copies of its folder from before that was complete."""
    place = make_place(tmp_path_factory.mktemp("killed"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARLM_CACHE", str(place.folder / "cache"))
        place.whole, now = place.start(folder="whole", seed=4), None
        for event in place.whole.events():
            now = (event.trial, event.rung) if isinstance(event, TrialBegan) else now
            for moment, is_it in KILLS.items():
                if is_it(now, event) and not (place.root / moment).exists():
                    shutil.copytree(place.whole.folder, place.root / moment)
        yield place


def figures(sweep):
    """What came out, but for the time it took."""
    return [dataclasses.replace(one, seconds=0.0) for one in sweep.outcomes]


def latest_weights(run):
    return load_file(max((run.folder / "steps").iterdir()) / "weights.safetensors")


def test_the_best_of_each_rung_go_on(killed):
    first = [one for one in killed.whole.outcomes if one.rung == 1]
    second = [one for one in killed.whole.outcomes if one.rung == 2]
    assert [one.trial for one in first] == [1, 2, 3, 4]
    assert {one.step for one in first} == {6}
    assert [one.trial for one in second] == [min(first, key=lambda one: one.nats_per_character).trial]
    assert second[0].trial != 1  # which would be no choice
    assert second[0].step == 18
    ranking = killed.whole.ranking()
    assert sorted(one.trial for one in ranking) == [1, 2, 3, 4]
    nats = [one.nats_per_character for one in ranking]
    assert nats == sorted(nats)
    assert ranking[0] is killed.whole.outcomes[-1]


def test_the_winner_is_what_its_settings_train_in_one_go(killed):
    run = killed.whole.best_run()
    alone = start_training(run.config, run="alone", root=killed.folder / "others", now=datetime.min, samples=False)
    for event in alone.events():
        last = event
        if isinstance(event, Stopped):
            alone.request_stop()  # what comes behind the last step changes no weights, and takes seconds
    assert last.step == 18
    mine, its = latest_weights(alone.run), latest_weights(run)
    assert mine.keys() == its.keys()
    assert all((mine[name] == its[name]).all() for name in mine)


def evaluated_at(run):
    """The steps of a run at which it was evaluated."""
    events = map(json.loads, (run.folder / "metrics.jsonl").read_text().splitlines())
    return [event["step"] for event in events if event["kind"] == "evaluate"]


def test_a_pause_is_no_moment_to_evaluate(place):
    """Else the best checkpoint, patience and a plateau would be of other steps than in one go."""
    found = place.start(trials=3, evaluate_every=4, steps=18)
    list(found.events())
    winner = found.best_run()
    assert {one.step for one in found.outcomes if one.rung == 1} == {6}
    assert evaluated_at(winner) == [4, 8, 12, 16, 18]


def test_a_trial_is_a_run_and_its_figure_that_of_an_evaluation(killed):
    for one in killed.whole.ranking():
        model = load(killed.whole.folder / one.run)
        found = model.evaluate(split="validation", baselines=False, engine="torch")
        assert found.score.nats_per_character == pytest.approx(one.nats_per_character, rel=1e-6)
        assert model.generate("a", length=5, greedy=True, engine="numpy").startswith("a")
        assert model.config.training.learning_rate == one.values["learning_rate"]


def test_results_are_one_line_a_trial_and_rung(killed):
    lines = (killed.whole.folder / "results.jsonl").read_text().splitlines()
    records = [{key: value for key, value in json.loads(line).items() if key != "crc"} for line in lines]
    assert records == [one.to_record() for one in killed.whole.outcomes]


@pytest.mark.parametrize("moment", KILLS)
def test_a_killed_sweep_goes_on_to_the_same_results(killed, moment):
    again = killed.resume(moment)
    assert len(again.outcomes) < 5 or moment == "when all was done"
    done = len(again.outcomes)
    events = list(again.events())
    assert events[-1] == SweepEnded(interrupted=False)
    assert len([event for event in events if isinstance(event, TrialEnded)]) == 5 - done
    assert figures(again) == figures(killed.whole)
    assert figures(killed.resume(moment)) == figures(killed.whole)  # and so it stands in the folder
    mine, its = latest_weights(again.best_run()), latest_weights(killed.whole.best_run())
    assert all((mine[name] == its[name]).all() for name in its)


@pytest.mark.parametrize("when", ["opening", "TrialBegan", "TrialEnded"])
def test_a_sweep_that_is_asked_to_stop_saves_and_goes_on(killed, monkeypatch, when):
    sweep, opened = killed.start(folder=f"stopped at {when}", seed=4), module.open_trial

    def told_meanwhile(*arguments, **keywords):
        if when == "opening":
            assert not sweep.request_stop()  # there is no step to finish
        return opened(*arguments, **keywords)

    monkeypatch.setattr(module, "open_trial", told_meanwhile)
    asked = False
    for event in sweep.events():
        last = event
        if type(event).__name__ == when and not asked:
            asked = True
            assert sweep.request_stop() == (when == "TrialBegan")
    assert last == SweepEnded(interrupted=True)
    assert len(sweep.outcomes) == (when == "TrialEnded")
    monkeypatch.setattr(module, "open_trial", opened)
    again = killed.resume(sweep.folder.name)
    list(again.events())
    assert figures(again) == figures(killed.whole)


class Ticking:
    """A clock that goes on by itself, a little at each look."""

    def __init__(self, tick):
        self.now, self.tick = 0.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now


@pytest.mark.parametrize("trials", [3, 4])
def test_minutes_are_kept_scoring_and_all(place, monkeypatch, trials):
    clock, score_trial = Ticking(0.05), module.score_trial

    def slow_score(training):
        clock.now += 0.8
        return score_trial(training)

    monkeypatch.setattr(module, "score_trial", slow_score)
    sweep = place.start(trials=trials, steps=None, minutes=1.0, clock=clock)
    list(sweep.events())
    assert clock.now == pytest.approx(60, rel=0.1)
    assert sum(one.seconds for one in sweep.ranking()) == pytest.approx(60, rel=0.1)
    first = [one.seconds for one in sweep.outcomes if one.rung == 1]
    assert max(first) < min(first) + 0.7  # none has more than the others; a step takes half a second


def test_the_time_kept_is_that_of_a_sweeps_own_scoring(place, monkeypatch):
    """Of a part of the validation split, where a training that is no trial scores all of it."""
    asked = []

    def scoring_timer(ids, symbols, machine, clock):
        asked.append(symbols)
        return lambda model: asked.append("timed") or 0.0

    monkeypatch.setattr(trial, "MOST_SCORED", 100)
    monkeypatch.setattr(trial, "scoring_timer", scoring_timer)
    list(place.start(trials=2, steps=None, minutes=0.5, clock=Ticking(0.05)).events())
    assert asked == [100, "timed"] * (len(asked) // 2)
    assert asked


def test_what_diverges_or_cannot_be_trained_comes_last(place):
    ranges = ["learning_rate=0.05,1e5", "batch_size=4,100000"]
    sweep = place.start(ranges, optimizer="sgd", clip_norm=0.0, warmup=0, schedule="constant")
    list(sweep.events())
    stand = {(one.values["learning_rate"], one.values["batch_size"]): one for one in sweep.ranking()}
    assert {values: one.status for values, one in stand.items()} == {
        (0.05, 4): "trained",
        (1e5, 4): "diverged",
        (0.05, 100000): "failed",
        (1e5, 100000): "failed",
    }
    assert sweep.ranking()[0].values == {"learning_rate": 0.05, "batch_size": 4}
    assert "rollbacks" in stand[1e5, 4].reason
    assert "the largest that fits" in stand[0.05, 100000].reason
    assert figures(place.resume()) == figures(sweep)


def test_a_trial_that_diverges_says_at_which_step(place, monkeypatch):
    def diverged(training):
        raise DivergedError("training diverged")

    monkeypatch.setattr(module, "score_trial", diverged)
    sweep = place.start(["learning_rate=0.05,0.06"], optimizer="sgd")
    with pytest.raises(DivergedError):
        list(sweep.events())
    assert {one.status for one in sweep.outcomes} == {"diverged"}
    assert all(one.step > 0 for one in sweep.outcomes)


@pytest.mark.parametrize(
    ("ranges", "error", "message"),
    [
        (["batch_size=100000,200000"], ConfigError, "no trial of sweep found could be trained: .*largest that fits"),
        (["learning_rate=1e5,2e5"], DivergedError, "no trial of sweep found could be trained: training diverged"),
    ],
)
def test_a_sweep_of_which_nothing_trains_is_an_error(place, ranges, error, message):
    sweep = place.start(ranges, optimizer="sgd", clip_norm=0.0, warmup=0)
    with pytest.raises(error, match=message):
        list(sweep.events())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"ranges": ["dropout=0..1"]}, ConfigError, "range dropout: dropout must be"),
        ({"corpus": ("-",)}, ConfigError, "save standard input to a file first"),
        ({"split": "100/0"}, CorpusError, "has nothing to compare trials by: give --split"),
        ({"minutes": 1.0}, ConfigError, "not --minutes and --steps"),
        ({"folder": ".hidden"}, ConfigError, "no name for a sweep's folder"),
        ({"corpus": ("absent.txt",)}, CorpusError, "absent.txt"),
        ({"device": "cuda"}, ConfigError, "is not available here"),
    ],
)
def test_what_cannot_be_searched_leaves_nothing_behind(place, changes, error, message):
    with pytest.raises(error, match=message):
        place.start(**changes)
    assert not place.root.exists()


def test_a_folder_is_one_sweeps(place):
    sweep = place.start()
    with pytest.raises(RunError, match="is there already: choose another name, or give it to --resume"):
        place.start(corpus=("absent.txt",))  # before the text is looked for
    begun = place.root / "begun"  # and killed before there was anything in it
    begun.mkdir()
    (begun / "sweep.json.tmp").write_text("{")
    place.start(folder="begun")
    assert place.resume("begun").search.ranges == sweep.search.ranges
    with pytest.raises(RunError, match=r"no sweep 'fonud' in .* \(did you mean found\?\)"):
        place.resume("fonud")
    with pytest.raises(RunError, match=r"is no sweep's folder: it has no sweep.json"):
        place.resume(str(place.folder))
    with hold(sweep.folder, lambda: 0.0), pytest.raises(RunInUseError, match="found is in use by"):
        list(place.resume().events())


def test_a_text_that_was_changed_is_refused(place):
    place.start()
    place.text.write_text("another text altogether. " * 40)
    with pytest.raises(CorpusError, match=r"has changed since the sweep began: had .*; start a new sweep"):
        list(place.resume().events())


@pytest.mark.parametrize("name", ["sweep.json", "results.jsonl"])
def test_damage_is_noticed(killed, tmp_path, name):
    folder = tmp_path / "copy"
    shutil.copytree(killed.whole.folder, folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(b'"dropout":', b'"dropuot":', 1))
    if name == "sweep.json":
        with pytest.raises(RunError, match=r"copy/sweep.json is damaged"):
            killed.resume(str(folder))
        return
    again = killed.resume(str(folder))
    assert again.notices == ["results.jsonl: line 1 is damaged, left out"]
    list(again.events())  # that trial's rung is scored again
    assert {one.trial for one in again.ranking()} == {1, 2, 3, 4}
    assert again.ranking()[0].nats_per_character == killed.whole.ranking()[0].nats_per_character
    assert open_run(folder / "trial-001").checkpoints()


def test_a_trial_out_of_patience_is_trained_no_further(place):
    sweep = place.start(steps=90, patience=1, evaluate_every=2, learning_rate=1e-9, ranges=["dropout=0,0.5"], trials=2)
    events = list(sweep.events())
    first = {one.trial: one.step for one in sweep.outcomes if one.rung == 1}
    last = sweep.outcomes[-1]
    assert last.rung == 2
    assert last.step == first[last.trial] < 30
    assert not any(isinstance(event, TrialEvent) for event in events[events.index(TrialEnded(outcome=last)) - 1 :])


def test_what_a_machine_lacks_ends_a_sweep_and_is_no_failure_of_its_trials(place, monkeypatch):
    sweep = place.start()
    for event in sweep.events():
        if isinstance(event, RungBegan) and event.rung == 2:
            break
    monkeypatch.setattr(assembly, "choose_machine", lacking)
    again, before = place.resume(), (sweep.folder / "results.jsonl").read_text()
    with pytest.raises(RunError, match=r"sweep found cannot go on here: the run was trained on cuda"):
        list(again.events())
    assert (sweep.folder / "results.jsonl").read_text() == before
    monkeypatch.undo()
    monkeypatch.setenv("CHARLM_CACHE", str(place.folder / "cache"))
    list(place.resume().events())
    assert place.resume().outcomes[-1].status == "trained"


def lacking(*arguments, **keywords):
    raise UnavailableError("the run was trained on cuda", "--device cpu goes on without")


def test_what_a_machine_lacks_is_no_failure_of_trials_that_did_not_begin(place, monkeypatch):
    sweep = place.start(kernels="compiled")
    monkeypatch.setattr(decisions, "choose_machine", lacking)
    with pytest.raises(RunError, match="sweep found cannot go on here"):
        list(place.resume().events())
    assert not (sweep.folder / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (RuntimeError("no such operator"), None),
    ],
    ids=["Python's", "torch's", "another"],
)
def test_running_out_of_memory_ends_a_trial_and_not_the_sweep(place, monkeypatch, error, reason):
    opened = module.open_trial

    def too_large(folder, search, trial, *arguments, **keywords):
        if search.trials[trial - 1]["hidden_size"] == 9:
            raise error
        return opened(folder, search, trial, *arguments, **keywords)

    monkeypatch.setattr(module, "open_trial", too_large)
    sweep = place.start(["hidden_size=8,9"], steps=3)
    if reason is None:
        with pytest.raises(RuntimeError, match="no such operator"):
            list(sweep.events())
        return
    list(sweep.events())
    assert [(one.values["hidden_size"], one.reason) for one in sweep.ranking()] == [(8, None), (9, reason)]


def test_rungs_of_few_steps_may_end_at_the_same_one(place):
    sweep = place.start(["dropout=0..0.5"], steps=2, trials=9)
    assert sweep.search.plan.ends == (1, 1, 2)
    list(sweep.events())
    assert figures(place.resume()) == figures(sweep)


def test_what_nobody_asked_for_a_trial_chooses_as_its_training_would(place):
    """And keeps: the command that is printed at the end says it. A rate that was searched stays as it was drawn."""
    settings = {**OF_TRIALS, "corpus": (str(place.text),), "device": "cpu", "kernels": "torch", "steps": 30}
    resolved = resolve([Layer(origin="flag", values=settings)])
    sweep = start_sweep(
        resolved.config, ["learning_rate=1e-3..1e-1"], SweepConfig(trials=2), folder="free", root=place.root, now=NOW,
        free=resolved.free,
    )  # fmt: skip
    list(sweep.events())
    trained = start_training(
        dataclasses.replace(resolved.config, training=sweep.best_run().config.training),
        root=place.root, run="alone", now=NOW, free=("ngram_embedding_size", "ngram_order", "ngram_rows", "dropout"),
    )  # fmt: skip
    assert sweep.best_run().config.model == trained.config.model
    assert trained.config.model.ngram_embedding_size == 32
    drawn = [values["learning_rate"] for values in sweep.search.trials]
    runs = [open_run(sweep.folder / f"trial-{number:03}") for number in (1, 2)]
    assert [run.config.training.learning_rate for run in runs] == drawn


def test_a_rule_that_does_not_hold_for_a_trials_optimiser_is_not_applied(place):
    config = resolve([Layer(origin="flag", values={**OF_TRIALS, "corpus": (str(place.text),), "steps": 4})])
    sweep = start_sweep(
        config.config, ["optimizer=adamw,sgd"], SweepConfig(trials=2), folder="free", root=place.root, now=NOW,
        free=config.free,
    )  # fmt: skip
    list(sweep.events())
    found = [open_run(sweep.folder / one.run).config for one in sweep.outcomes]
    sizes = {one.training.optimizer: one.model.ngram_embedding_size for one in found}
    assert sizes == {"adamw": 32, "sgd": 0}


def test_a_sweep_whose_folder_is_anothers_now_trains_nothing_there(place):
    sweep = place.start(trials=3, steps=4)
    events = sweep.events()
    next(event for event in events if isinstance(event, TrialEnded))
    shutil.rmtree(sweep.folder)
    other = place.start(trials=3, steps=4)
    with pytest.raises(RunInUseError, match="is not the folder that was locked"):
        list(events)
    assert not list(other.folder.glob("trial-*"))
    list(other.events())
    assert len(other.ranking()) == 3


def test_a_sweep_whose_folder_is_gone_ends_and_makes_none(place):
    sweep = place.start(trials=3, steps=4)
    events = sweep.events()
    next(event for event in events if isinstance(event, TrialEnded))
    shutil.rmtree(sweep.folder)
    with pytest.raises(OutputError, match=r"sweep folder .* cannot be written"):
        list(events)
    assert not sweep.folder.exists()
