"""The neural cache and the mixture with the n-gram, against their formulas written out."""

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig
from charlm.evaluation import cache, score_stream
from charlm.evaluation.additions import Learning
from charlm.evaluation.cache import Cache
from charlm.evaluation.lane_reader import LaneReader
from charlm.evaluation.mixture import NGramMixture
from charlm.evaluation.ngram import NGramModel
from charlm.evaluation.protocols import StreamProtocol
from charlm.evaluation.reading import ProtocolReader
from charlm.evaluation.tuning import TuningText
from charlm.models import LanguageModel

V = 9
DRAWS = np.random.default_rng(4)
IDS = np.repeat(DRAWS.integers(0, V, 120), 2)[:200].astype(np.uint8)
TRAIN = np.repeat(DRAWS.integers(0, V, 900), 2).astype(np.uint8)
LEARNING = Learning(
    text=TuningText(train_ids=TRAIN, ids=TRAIN[-300:], before_ids=TRAIN[:-300], words=""), vocab_size=V, lanes=1
)


@pytest.fixture
def model():
    return LanguageModel(ModelConfig(hidden_size=12, layers=2, dropout=0.0), V, torch.Generator().manual_seed(8))


def nats_of(reader, ids):
    return np.concatenate([block.nats[block.counted] for block in reader.read(ids)])


def by_hand(model, ids, theta, weight, length):
    """Grave et al.'s equations, one place after the other, in float64."""
    with torch.no_grad():
        heard = []
        handle = model.layers.register_forward_hook(lambda layers, given, found: heard.append(found[0]))
        logits, _ = model(torch.from_numpy(ids[None, :-1].astype(np.int64)), None)
        handle.remove()
    h, p = heard[0][0].double().numpy(), torch.softmax(logits[0].double(), -1).numpy()
    nats = []
    for t in range(len(ids) - 1):
        past = range(max(0, t - length), t)
        mass = np.zeros(V)
        for i in past:
            mass[ids[i + 1]] += np.exp(theta * h[t] @ h[i])
        mixed = (1 - weight) * p[t] + weight * mass / mass.sum() if t else p[t]
        nats.append(-np.log(mixed[ids[t + 1]]))
    return np.array(nats)


@pytest.mark.parametrize("length", [5, 64, 2000])
def test_the_cache_is_that_of_the_paper(model, monkeypatch, length):
    """Also where it is full, and where what it holds has to be moved."""
    monkeypatch.setattr(cache, "LENGTH", length)
    monkeypatch.setattr(cache, "MOST_SCORES", 1)  # one lane at a time
    addition = Cache(LaneReader(model, 1), LEARNING)
    addition.theta, addition.weight = 2.5, 0.3
    np.testing.assert_allclose(nats_of(addition, IDS), by_hand(model, IDS, 2.5, 0.3, length), rtol=1e-4, atol=1e-5)


def test_lanes_have_caches_of_their_own(model, monkeypatch):
    """Overlapping by a full cache and a memory, they are as one."""
    monkeypatch.setattr(cache, "LENGTH", 40)
    monkeypatch.setattr("charlm.evaluation.lane_reader.LEAD", 200)
    found = []
    for lanes in (1, 3):
        addition = Cache(LaneReader(model, lanes), LEARNING)
        addition.theta, addition.weight = 2.0, 0.4
        nats = np.zeros(len(TRAIN))
        for block in addition.read(TRAIN):
            nats[block.places[block.counted]] = block.nats[block.counted]
        found.append(nats)
    np.testing.assert_allclose(found[1], found[0], atol=1e-3)


def test_the_caches_words_have_its_length(model):
    assert Cache(LaneReader(model, 1), LEARNING).words.startswith("a cache of the last 2,000 outputs, theta ")


def test_with_lambda_0_the_cache_is_the_model_itself(model):
    addition = Cache(LaneReader(model, 1), LEARNING)
    addition.theta, addition.weight = 1.0, 0.0
    np.testing.assert_allclose(nats_of(addition, IDS), score_stream(model, IDS).nats, atol=1e-5)


def test_the_cache_takes_the_best_of_its_grid(model):
    addition = Cache(LaneReader(model, 1), LEARNING)
    addition.tune()
    theta, weight = addition.theta, addition.weight
    assert 0 < weight < 1
    reached = nats_of(addition, LEARNING.text.ids).sum()
    for other, share in [(theta, 0.9 * weight), (theta, min(0.999, 1.1 * weight)), (theta / 2, weight)]:
        addition.theta, addition.weight = other, share
        assert nats_of(addition, LEARNING.text.ids).sum() > reached


def test_the_mixture_is_never_worse_than_the_worse_of_both(model):
    addition = NGramMixture(ProtocolReader(model, StreamProtocol()), LEARNING)
    addition.tune()
    for ids in (IDS, TRAIN[:300], IDS[::-1].copy(), np.zeros(50, np.uint8)):
        alone = score_stream(model, ids).nats.astype(np.float64)
        ngram = NGramModel(TRAIN, V).nats(ids)
        mixed = nats_of(addition, ids)
        w = addition.weight
        np.testing.assert_allclose(mixed, -np.log((1 - w) * np.exp(-alone) + w * np.exp(-ngram)), atol=1e-6)
        assert mixed.sum() <= max(alone.sum(), ngram.sum())


def test_the_mixture_is_tuned_with_an_n_gram_that_has_not_read_the_text(model, monkeypatch):
    learnt_from = []
    real = NGramModel.__init__

    def spy(self, ids, *arguments):
        learnt_from.append(ids)
        real(self, ids, *arguments)

    monkeypatch.setattr(NGramModel, "__init__", spy)
    NGramMixture(ProtocolReader(model, StreamProtocol()), LEARNING).tune()
    np.testing.assert_array_equal(learnt_from[0], TRAIN[:-300])
    np.testing.assert_array_equal(learnt_from[1], TRAIN)


def test_an_n_gram_may_be_asked_at_any_places():
    ngram = NGramModel(TRAIN, V)
    places = np.array([1, 2, 3, 150, 7, 199, 7])
    np.testing.assert_array_equal(ngram.nats_at(IDS, places), ngram.nats(IDS)[places - 1])
