"""What additions are tuned on, and what each symbol of a text cost."""

from types import SimpleNamespace

import numpy as np
import pytest

from charlm.errors import ConfigError
from charlm.evaluation import evaluate
from charlm.evaluation.familiar import Familiar, familiar
from charlm.evaluation.tuning import TUNED_ON, choose_tuning_text

ALL = np.arange(200_000, dtype=np.uint32)


def data(parts, sha="a"):
    """A text whose ids are its characters' places."""
    facts = {"sha256": sha, "parts": parts, "characters": 200_000}
    store = SimpleNamespace(part=lambda name: ALL[slice(*parts.get(name, (0, 0)))])
    return SimpleNamespace(facts=facts, store=store)


RUN = data({"train": (0, 120_000), "validation": (120_000, 180_000), "test": (180_000, 200_000)})


@pytest.mark.parametrize(
    ("scored", "split"),
    [
        (RUN, "test"),
        (RUN, "validation"),
        (data(RUN.facts["parts"], sha="b"), "all"),
        (data({"train": (0, 180_000), "validation": (180_000, 200_000)}), "validation"),
        (data({"train": (0, 119_000), "validation": (119_000, 120_000), "test": (120_000, 200_000)}), "test"),
    ],
)
def test_what_is_tuned_on_is_not_scored(scored, split):
    found = choose_tuning_text(RUN, scored, split)
    assert 1 < len(found.ids) <= TUNED_ON
    if scored.facts["sha256"] == "a":
        assert not np.isin(found.ids, scored.store.part(split)).any()
        assert not np.isin(found.before_ids, scored.store.part(split)).any()
    assert not np.isin(found.ids, found.before_ids).any()
    assert np.isin(found.before_ids, found.train_ids).all()
    whose = "validation" if found.ids[0] >= 120_000 else "training"
    assert f"{len(found.ids):,} symbols of the {whose} split" in found.words


def test_it_is_validation_text_unless_that_is_scored():
    assert choose_tuning_text(RUN, RUN, "test").ids[0] == 120_000
    assert choose_tuning_text(RUN, RUN, "validation").ids[-1] == 119_999
    without = data({"train": (0, 120_000), "validation": (120_000, 120_000), "test": (180_000, 200_000)})
    assert choose_tuning_text(without, without, "test").ids[-1] == 119_999


@pytest.mark.parametrize("split", ["train", "all"])
def test_text_that_the_run_was_trained_on_is_refused(split):
    with pytest.raises(ConfigError, match=f"split {split} has text in it that the run was trained on"):
        choose_tuning_text(RUN, RUN, split)


def test_a_file_cut_from_the_runs_text_is_that_text():
    """Whatever it is called: what learns from the training split, or is tuned on the other, knows it."""
    another = data({}, sha="b")
    cut = {name: RUN.store.part(name)[1000:9000] for name in ("train", "validation", "test")}
    known = {name: familiar(RUN, ids) for name, ids in cut.items()}
    assert known == {"train": Familiar(1.0, 0.0), "validation": Familiar(0.0, 1.0), "test": Familiar()}
    with pytest.raises(ConfigError, match="100 % of this text stands word for word in what the run was trained on"):
        choose_tuning_text(RUN, another, "all", known["train"])
    assert choose_tuning_text(RUN, another, "all", known["validation"]).ids[-1] == 119_999
    assert choose_tuning_text(RUN, another, "all", known["test"]).ids[0] == 120_000
    tenth = familiar(RUN, np.concatenate([cut["train"][:900], cut["test"]]))
    assert tenth.train == pytest.approx(0.1, abs=0.01)
    assert not tenth.is_training_text
    assert tenth.notices[0].startswith("10 % of this text stands word for word")
    assert familiar(RUN, cut["test"]).notices == familiar(RUN, cut["train"][:5]).notices == ()


def test_a_run_without_other_text():
    tiny = data({"train": (0, 2), "validation": (2, 30)})
    with pytest.raises(ConfigError, match="no text beside what is scored"):
        choose_tuning_text(tiny, tiny, "validation")


def test_surprisals_are_the_text_and_add_up_to_its_total(make_model, tokenizer, text):
    sample = text[:3000] + "naïve 🙂\x1b[0m\n"
    ids, told = tokenizer.encode(sample), []
    found = evaluate(make_model(), tokenizer, ids, split="all", surprisal=told.append)
    assert [symbol.position for symbol in told] == list(range(len(ids)))
    assert "".join(symbol.text for symbol in told) == sample
    assert told[0].nats is None
    assert sum(symbol.nats for symbol in told[1:]) == pytest.approx(found.score.total_nats, rel=1e-6)
    smile = [symbol.text for symbol in told if symbol.position in range(len(ids) - 9, len(ids) - 5)]
    assert smile == ["", "", "", "🙂"]


@pytest.mark.parametrize("length", [0, 1])
def test_a_text_with_nothing_to_predict_has_no_surprise(make_model, tokenizer, ids, length):
    told = []
    evaluate(make_model(), tokenizer, ids[:length], split="all", surprisal=told.append)
    assert [symbol.nats for symbol in told] == [None] * length
