"""Arms are charlm's settings, costs are equal, seeds are paired, and what was trained is not trained again."""

import json
import random
import re

import numpy as np
import pytest
import quality
from harness import arm_training, quality_rows
from harness.arms import ARMS, REFERENCE
from harness.kept_records import KeptRecords
from harness.record import Case
from harness.timing import Rates
from report import ROOT

from charlm.config import Layer, resolve
from charlm.training.choices import learning_rate_for
from charlm.training.ngram_choices import new_ngrams

PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_is_settings_that_differ_and_stands_on_the_page_with_its_source(name):
    arm = ARMS[name]
    config, usual = (resolve([Layer(origin="arm", values=values)]).config for values in (arm.settings, {}))
    for setting in arm.settings:
        section = "model" if hasattr(config.model, setting) else "training"
        same = getattr(getattr(config, section), setting) == getattr(getattr(usual, section), setting)
        assert not same or setting in ("dropout", "learning_rate", "ngram_embedding_size")  # their defaults are rules
    assert f"`{name}`" in PAGE or name == REFERENCE
    assert [
        number for number in re.findall(r"arXiv:([\d.]+)", arm.source) if f"arxiv.org/abs/{number}" not in PAGE
    ] == []


def test_arms_have_the_rates_that_a_training_chooses_but_where_they_name_one(tmp_path):
    text = arm_training.Text(
        name="t",
        path=tmp_path / "t.txt",
        characters=10**6,
        vocabulary=321,
        new=(0.0, 0.01, 0.04, 0.09, 0.2),
        digest="0",
    )
    rates = {
        name: arm_training.arm_config(text, arm.settings, 2640).training.learning_rate for name, arm in ARMS.items()
    }
    assert rates[REFERENCE] == learning_rate_for(2640, 256)
    sizes = [arm_training.arm_config(text, ARMS[name].settings, 9).model for name in (REFERENCE, "ngrams-0")]
    assert [(model.ngram_embedding_size, model.ngram_order) for model in sizes] == [(32, 6), (0, 4)]
    for name, arm in ARMS.items():
        size = arm.settings.get("hidden_size", 256)
        assert rates[name] == arm.settings.get("learning_rate", learning_rate_for(2640, size))
    assert len({rates[name] for name in (REFERENCE, "rate-0.004", "rate-0.015")}) == 3


def test_what_is_new_in_an_arms_text_is_that_of_its_training_part(tmp_path):
    content = "".join(random.Random(0).choices("abcdefghij", k=3000))
    (tmp_path / "letters.txt").write_text(content)
    text = arm_training.Text.of(str(tmp_path / "letters.txt"), tmp_path, 2000)
    assert list(text.new) == new_ngrams(np.array([ord(letter) for letter in content[:1800]]))


def test_only_what_leaves_a_step_as_it_is_costs_the_same_unmeasured():
    assert {name for name, arm in ARMS.items() if arm.as_dear} == {
        REFERENCE,
        "weight-decay-0",
        "weight-decay-0.05",
        "weight-decay-0.3",
        "rate-0.004",
        "rate-0.008",
        "rate-0.015",
        "rate-0.03",
        "linear",
        "constant",
    }


def test_what_is_kept_survives_a_line_that_was_cut(tmp_path):
    path = tmp_path / "kept.jsonl"
    kept = KeptRecords(path)
    kept.add({"arm": "gru", "seed": 1}, {"nats": 1.5})
    kept.add({"arm": "gru", "seed": 2}, {"nats": 1.6})
    path.write_bytes(path.read_bytes()[:-7])
    kept = KeptRecords(path)
    assert kept.get({"seed": 1, "arm": "gru"}) == {"nats": 1.5}
    assert kept.get({"arm": "gru", "seed": 2}) is None
    kept.add({"arm": "gru", "seed": 2}, {"nats": 1.7})
    assert KeptRecords(path).get({"arm": "gru", "seed": 2}) == {"nats": 1.7}


def record(nats, **further):
    return {"nats": nats, "steps": 1234, "passes": 5.96, "5-gram": 1.7, "added": {}} | further


def test_differences_are_those_of_the_same_seed():
    case, default = Case(title="t"), {1: record(1.5), 2: record(1.6), 3: record(1.4)}
    quality_rows.add_arm(case, REFERENCE, default, default)
    quality_rows.add_arm(case, "gru", {1: record(1.51), 3: record(1.38), 4: record(9.0)}, default)
    rows = {row[0]: row[2:] for row in quality_rows.arm_rows(case.figures, {REFERENCE: "", "gru": "cell = gru"})}
    assert rows[REFERENCE] == ("1,234", "6.0", "1.5000", "1.4000 to 1.6000", "–", "–", "–")
    assert rows["gru"][4:] == ("-0.0050", "-0.0200 to +0.0100", "1 of 2")


def test_what_diverged_is_said():
    case, default = Case(title="t"), {1: record(1.5), 2: record(1.6)}
    quality_rows.add_arm(case, "some", {1: record(1.4), 2: {"nats": None, "steps": 9}}, default)
    quality_rows.add_arm(case, "all", {1: {"nats": None, "steps": 9}}, default)
    assert case.figures["some, its seeds"] == "1.4000 to 1.4000, 1 diverged"
    assert case.figures["some, better in"] == "1 of 1"
    assert case.figures["all, nats"] == "diverged"


def test_an_addition_is_compared_with_the_same_model_without_it():
    pairs = [{"ngram": {"without": 1.5, "with": 1.49}}, {"ngram": {"without": 1.7, "with": 1.68}}]
    case = Case(title="t")
    quality_rows.add_beside(case, {seed: record(9.0, added=pair) for seed, pair in enumerate(pairs)})
    assert case.figures["default + ngram, beside the default"] == "-0.0150"
    assert case.figures["5-gram, nats"] == "1.7000"
    assert "default + cache, nats" not in case.figures


def test_several_texts_have_a_table_of_differences_first():
    case, default = Case(title="t"), {1: record(1.5)}
    quality_rows.add_arm(case, REFERENCE, default, default)
    quality_rows.add_arm(case, "gru", {1: record(1.6)}, default)
    found = {"cases": {"one": case.to_json(), "two": case.to_json()}, "settings": {"arms": {REFERENCE: "", "gru": "g"}}}
    lines = quality_rows.by_arm(found)
    assert lines[:3] == ["| nats beside the default | one | two |", "|---|---|---|", "| gru | +0.1000 | +0.1000 |"]
    assert sum(line.startswith("| default |") for line in lines) == 2


def test_the_slower_arm_gets_fewer_steps(tmp_path, monkeypatch):
    rates = {"reference": Rates((100.0, 90.0, 80.0)), "arm": Rates((50.0, 45.0, 20.0))}
    monkeypatch.setattr(arm_training, "measure", lambda sides, **_: {name: rates[name] for name in sides})
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    plan = quality.plans_of(quality.parse(["--quick"]), tmp_path)[0]
    settings = plan.settings("gru"), plan.settings(REFERENCE)
    cost = arm_training.cost_of_arm(plan.text, *settings, 20, repeats=1, seconds=1)
    assert cost == {"times": 0.5, "dtype": "float32", "kernels": "torch"}


@pytest.fixture
def trainings(monkeypatch):
    """What would have been trained: (settings, steps, seed, added), in place of doing so."""
    asked = []

    def train(text, settings, steps, seed, folder, added):
        asked.append((settings.get("cell", "lstm"), steps, seed, tuple(added)))
        assert settings["kernels"] == ("torch" if "cell" in settings else "compiled")
        if seed == 13:
            raise RuntimeError("out of luck")
        return record(1.5 + seed / 10, steps=steps, added={name: {"without": 1.5, "with": 1.4} for name in added})

    def cost(text, settings, reference, steps, **turns):
        assert (reference["dtype"], reference["kernels"]) == ("bfloat16", "compiled")
        return {"times": 0.5, "dtype": "float32", "kernels": "torch"}

    monkeypatch.setattr(quality, "trained_arm", train)
    monkeypatch.setattr(quality, "machine_for", lambda config, vocab_size: {"dtype": "bfloat16", "kernels": "compiled"})
    monkeypatch.setattr(quality, "cost_of_arm", cost)
    return asked


def test_what_is_there_is_not_trained_again(quick, trainings, monkeypatch):
    # without dropout an arm is the default itself, at so few passes
    printed, found = quick(quality, "--only", "dropout-0,gru", "--seeds", "2")
    assert sorted(trainings) == [
        ("gru", 10, 1, ()),
        ("gru", 10, 2, ()),
        ("lstm", 20, 1, ("ngram",)),
        ("lstm", 20, 2, ("ngram",)),
    ]
    figures = found["cases"]["made-up-20000"]["figures"]
    assert figures["gru, beside the default"] == figures["dropout-0, beside the default"] == "+0.0000"
    assert found["settings"]["arms"]["gru"] == "cell = gru"
    assert "made-up-20000, gru, seed 2: 1.7000 nats" in printed
    trainings.clear()
    quick(quality, "--only", "gru", "--seeds", "3")
    assert sorted(trainings) == [("gru", 10, 3, ()), ("lstm", 20, 3, ("ngram",))]
    trainings.clear()
    quick(quality, "--only", "gru", "--seeds", "3", "--added", "ngram,cache")
    assert sorted(trainings) == [("lstm", 20, seed, ("ngram", "cache")) for seed in (1, 2, 3)]
    trainings.clear()
    monkeypatch.setitem(quality.TINY, "hidden_size", 8)
    quick(quality, "--only", "gru", "--seeds", "1")
    assert len(trainings) == 2


def test_another_size_of_the_default_is_a_table_of_its_own(quick, trainings):
    quick(quality, "--only", "gru", "--seeds", "1")
    _, found = quick(quality, "--only", "gru", "--seeds", "1", "--hidden-size", "24")
    assert len(trainings) == 4
    assert set(found["cases"]) == {"made-up-20000", "made-up-20000-24"}
    assert found["cases"]["made-up-20000-24"]["title"].endswith("20 steps of the default, 24 units")


def test_a_training_that_fails_is_told_and_the_others_go_on(tmp_path, trainings, monkeypatch, capsys):
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    asked = ["--quick", "--only", REFERENCE, "--seeds", "14", "--results", str(tmp_path)]
    assert quality.main(asked) == 1
    assert "made-up-20000, default, seed 13: out of luck" in capsys.readouterr().err
    kept = [json.loads(line)["key"]["training"]["seed"] for line in (tmp_path / quality.KEPT).read_text().splitlines()]
    assert sorted(kept[1:]) == [*range(1, 13), 14]


def test_texts_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.txt").write_text("some text\n" * 10)
    texts = ",".join(str(tmp_path / folder / "notes.txt") for folder in ("a", "b"))
    with pytest.raises(SystemExit, match="cannot be told apart: notes, notes"):
        quality.main(["--quick", "--texts", texts])


def test_unknown_arms_are_refused(capsys):
    with pytest.raises(SystemExit):
        quality.main(["--only", "gru,lsmt"])
    assert "lsmt: choose of default, dropout-0" in capsys.readouterr().err


@pytest.mark.slow
def test_the_program_trains_and_scores(quick):
    _, found = quick(quality, "--only", REFERENCE, "--seeds", "1", "--steps", "3", "--added", "ngram")
    figures = found["cases"]["made-up-20000"]["figures"]
    assert figures["default, steps"] == "3"
    assert float(figures["default + ngram, nats"]) < float(figures["default, nats"]) < 4.2
