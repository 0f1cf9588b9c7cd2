"""What holds for everything that can be put on a model, and how it is put there."""

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig
from charlm.errors import ConfigError, UnknownNameError
from charlm.evaluation import ADDITIONS, parse_protocol, score_stream
from charlm.evaluation.added import check_additions, score_added
from charlm.evaluation.additions import Learning, best_weight, in_order
from charlm.evaluation.lane_reader import LaneReader
from charlm.evaluation.reading import ProtocolReader, choose_lanes, lane_blocks
from charlm.evaluation.scorers import Scorer
from charlm.evaluation.tuning import TuningText
from charlm.models import LanguageModel

V = 7
SAYINGS = [[0, 1, 2, 3], [4, 5, 2, 6], [1, 1, 5]]


def saying(length, seed):
    draws = np.random.default_rng(seed)
    return np.concatenate([SAYINGS[draws.integers(3)] for _ in range(length)])[:length].astype(np.uint8)


TRAIN, TUNE, SCORED = saying(3000, 1), saying(400, 2), saying(90, 3)
TEXT = TuningText(train_ids=TRAIN, ids=TUNE, before_ids=TRAIN, words="other text")


@pytest.fixture
def model():
    return LanguageModel(ModelConfig(hidden_size=8, layers=2, dropout=0.0), V, torch.Generator().manual_seed(1))


def reader_for(name, model, lanes=1):
    if ADDITIONS[name].inside:
        return LaneReader(model, lanes)
    return ProtocolReader(model, parse_protocol(f"stream:{lanes}"))


def added_to(model, name, lanes=1):
    """An addition, tuned."""
    addition = ADDITIONS[name].open()(reader_for(name, model, lanes), Learning(text=TEXT, vocab_size=V, lanes=lanes))
    addition.tune()
    return addition


def nats_of(reader, ids):
    """(N - 1,) in text order, each counted once."""
    found = np.full(len(ids), np.nan)
    for block in reader.read(ids):
        at = block.places[block.counted]
        assert np.isnan(found[at]).all()
        found[at] = block.nats[block.counted]
    assert not np.isnan(found[1:]).any()
    return found[1:]


each = pytest.mark.parametrize("name", ADDITIONS)


@each
@pytest.mark.parametrize("lanes", [1, 3])
def test_every_symbol_but_the_first_is_counted_once(model, name, lanes):
    addition = added_to(model, name, lanes)
    told = []
    counted = [block.places[block.counted] for block in addition.read(SCORED, told.append)]
    assert sorted(np.concatenate(counted)) == list(range(1, len(SCORED)))
    assert sum(told) == len(SCORED) - 1


@each
def test_it_predicts_with_a_distribution_that_the_symbol_itself_does_not_move(model, name):
    """The last symbol exchanged for each of the vocabulary: its probabilities add up, and nothing else changes."""
    addition = added_to(model, name)
    nats = np.array([nats_of(addition, np.append(SCORED[:70], last).astype(np.uint8)) for last in range(V)])
    assert np.exp(-nats[:, -1]).sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(nats[:, :-1], nats[:1, :-1].repeat(V, axis=0))
    assert len(set(nats[:, -1])) == V


@each
def test_it_gains_where_there_is_something_to_gain(model, name):
    """An untrained model on sayings: each of them has to be better than it."""
    ids = saying(2000, 5)
    assert nats_of(added_to(model, name), ids).mean() < score_stream(model, ids).nats.mean() - 0.1


@each
def test_a_text_of_one_prediction(model, name):
    addition = added_to(model, name)
    assert nats_of(addition, SCORED[:2])[0] > 0


@each
def test_the_model_is_left_as_it_was_whatever_happens(model, name):
    before = {key: weight.clone() for key, weight in model.state_dict().items()}
    addition = added_to(model, name)
    first = nats_of(addition, SCORED)

    def interrupt(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(addition.read(SCORED, interrupt))
    next(iter(addition.read(SCORED)))  # left in the middle
    for key, weight in model.state_dict().items():
        assert torch.equal(weight, before[key])
    np.testing.assert_array_equal(nats_of(addition, SCORED), first)
    assert not model.layers._forward_hooks


def test_all_together_are_what_each_is_on_top_of_the_others(model, tokenizer):
    ids = tokenizer.encode("the cat sat on the mat. " * 60)
    text = TuningText(train_ids=ids[:600], ids=ids[600:900], before_ids=ids[:600], words="its end")
    whole = LanguageModel(ModelConfig(hidden_size=8, layers=1, dropout=0.0), tokenizer.vocab_size)
    torch_one = Scorer(whole)

    def found(names):
        return score_added(
            names, ids[900:], tokenizer, text, protocol=parse_protocol("stream"), scorer=torch_one,
            inside=lambda: torch_one,
        )  # fmt: skip

    together = found(("ngram", "cache", "dynamic"))
    assert list(together) == ["dynamic", "cache", "ngram"]
    assert together["dynamic"].score == found(("dynamic",))["dynamic"].score
    assert together["cache"].score == found(("dynamic", "cache"))["cache"].score
    assert together["cache"].tuned == found(("dynamic", "cache"))["cache"].tuned
    assert {added.score.tokens for added in together.values()} == {len(ids) - 901}
    for added in together.values():
        assert added.tuned_on == "its end"
        assert added.tuned
        assert added.words


@each
def test_what_is_scored_does_not_tune_it(model, name, tokenizer):
    """The numbers are those of the tuning text, whatever comes afterwards."""
    text = TuningText(train_ids=TRAIN, ids=TUNE, before_ids=TRAIN, words="")
    own = LanguageModel(ModelConfig(hidden_size=8, layers=1, dropout=0.0), tokenizer.vocab_size)
    tuned = [
        score_added(
            [name], ids, tokenizer, text, protocol=parse_protocol("stream"), scorer=Scorer(own),
            inside=lambda: Scorer(own),
        )[name].tuned
        for ids in (SCORED, saying(500, 9) * 11)
    ]  # fmt: skip
    assert tuned[0] == tuned[1]


def test_what_cannot_be_added():
    stream = parse_protocol("stream")
    assert check_additions(["ngram", "dynamic"], stream, "exact") == ("dynamic", "ngram")
    assert check_additions(["ngram"], stream, "int8") == ("ngram",)
    assert check_additions([], parse_protocol("windows:8"), "int8") == ()
    with pytest.raises(UnknownNameError, match=r"no addition 'dinamic': choose .* \(did you mean dynamic\?\)"):
        in_order(["dinamic"])
    with pytest.raises(ConfigError, match=r"additions \(cache\) read one long text: protocol must be stream"):
        check_additions(["cache"], parse_protocol("windows:8"), "exact")
    with pytest.raises(ConfigError, match="precision must be exact with dynamic and cache, was int8"):
        check_additions(["dynamic", "cache"], stream, "int8")


@pytest.mark.parametrize("predictions", [1, 2, 31, 100, 257])
@pytest.mark.parametrize(("lanes", "lead"), [(1, 0), (3, 0), (3, 10), (5, 40), (7, 300)])
def test_lanes_cover_a_text_once_and_read_it_in_order(predictions, lanes, lead):
    blocks = list(lane_blocks(predictions, min(lanes, predictions), 16, lead))
    counted = np.concatenate([places[inside] for places, inside in blocks])
    assert sorted(counted) == list(range(1, predictions + 1))
    places = np.concatenate([places for places, _ in blocks], axis=1)
    inside = np.concatenate([inside for _, inside in blocks], axis=1)
    for row, flags in zip(places, inside, strict=True):
        known = row[: np.flatnonzero(flags)[-1] + 1] if flags.any() else row[:0]
        np.testing.assert_array_equal(np.diff(known), 1)
    begun = [np.flatnonzero(flags)[0] for flags in inside if flags.any()]
    assert begun[0] == 0
    assert all(first == lead for first in begun[1:])  # what the lane before it counts is read first


def test_lanes_are_chosen_by_length_alone():
    assert [choose_lanes(n) for n in (0, 1, 39_999, 40_000, 111_539, 10**7)] == [1, 1, 1, 2, 5, 16]


def test_lanes_that_overlap_are_one_long_pass(make_model, ids, monkeypatch):
    monkeypatch.setattr("charlm.evaluation.lane_reader.LEAD", 200)
    model = make_model()
    whole = score_stream(model, ids[:4000], lanes=1).nats
    np.testing.assert_allclose(nats_of(LaneReader(model, 4), ids[:4000]), whole, atol=1e-3)
    np.testing.assert_allclose(nats_of(LaneReader(model, 1), ids[:4000]), whole, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_weight_found_is_the_best(seed):
    draws = np.random.default_rng(seed)
    p, q = draws.random(200), draws.random(200) ** (1 + seed)
    grid = np.linspace(0, 1, 2001)
    losses = [-np.log((1 - w) * p + w * q).sum() for w in grid]
    assert best_weight(p, q) == pytest.approx(grid[int(np.argmin(losses))], abs=1e-3)
    assert best_weight(q, q / 2) == 0.0
    assert best_weight(q / 2, q) == pytest.approx(1.0, abs=1e-6)
