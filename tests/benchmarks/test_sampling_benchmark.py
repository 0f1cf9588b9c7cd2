"""Every side of the sampling benchmark has the same logits and writes from them."""

import numpy as np
import pytest
import sampling
from engines import ENGINES
from harness.record import Case
from opponents.nn_model import LAYERS
from opponents.sampling_loops import LOOPS, TEMPERATURE

from charlm.config import ModelConfig
from charlm.models import LanguageModel
from charlm.runtime import NumpyModel

V = 9


def weights(cell):
    return LanguageModel(ModelConfig(cell=cell, layers=2, hidden_size=10), V).to_arrays()


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("cell", LAYERS)
def test_every_loop_has_charlms_logits(cell, name):
    arrays = weights(cell)
    ids = np.random.default_rng(1).integers(V, size=30)
    model = NumpyModel(ModelConfig(cell=cell, layers=2, hidden_size=10), arrays, V)
    state, expected = model.initial_state(1), []
    for at in range(len(ids)):
        logits, state = model.step(ids[at : at + 1], state)
        expected.append(logits[0])
    assert np.abs(LOOPS[name](cell, arrays, 1).logits(ids) - np.stack(expected)).max() < 1e-5


@pytest.mark.parametrize("name", LOOPS)
def test_every_loop_draws_at_the_temperature(name):
    arrays = weights("lstm")
    # nothing but the bias decides: every draw is from one known distribution
    for array in arrays.values():
        array[:] = 0
    arrays["output_bias"][:] = np.linspace(0, 2, V)
    ids = np.asarray(LOOPS[name]("lstm", arrays, 1).write(400, 16))
    assert ids.shape == (16, 400)
    expected = np.exp(np.linspace(0, 2, V) / TEMPERATURE)
    assert np.bincount(ids.flatten(), minlength=V) / ids.size == pytest.approx(expected / expected.sum(), abs=0.02)
    assert len({tuple(row) for row in ids.tolist()}) == 16  # streams are different texts


class Wrong:
    """An engine that is right but for one logit of one step."""

    def __init__(self, model):
        self.model, self.steps = model, 0

    def prime(self, ids):
        return self.model.prime(ids)

    def step(self, ids, state):
        logits, state = self.model.step(ids, state)
        self.steps += 1
        logits[0, 3] += 0.01 * (self.steps == 7)
        return logits, state


@pytest.mark.parametrize("name", ["charlm numpy", "charlm numba int8"])
def test_an_engine_with_other_logits_is_found(name):
    arrays = weights("gru")
    model = NumpyModel(ModelConfig(cell="gru", layers=2, hidden_size=10), arrays, V)
    loops = {"nn, 1 thread": LOOPS["nn"]("gru", arrays, 1)}
    right, wrong = Case(title=""), Case(title="")
    sampling.check_logits(right, loops, {name: model}, V)
    sampling.check_logits(wrong, loops, {name: Wrong(model)}, V)
    assert right.failed() == []
    assert len(wrong.failed()) == ("int8" not in name)  # whole-number weights may differ so far
    assert next(iter(wrong.checks.values()))[0] == pytest.approx(0.01, rel=0.01)


@pytest.mark.slow
def test_the_program_runs_and_writes_what_it_found(quick, monkeypatch):
    monkeypatch.setitem(sampling.CASES, "lstm-2x128", sampling.Shape("lstm", 2, 48))
    monkeypatch.setitem(sampling.CASES, "lstm-2x512-64", sampling.Shape("lstm", 2, 48, streams=5, threads=(2,)))
    _, found = quick(sampling, "--cases", "lstm-2x128,lstm-2x512-64", "--seconds", "0.01", "--repeats", "1")
    one, many = found["cases"].values()
    others = {f"{name}, {threads}" for name in LOOPS for threads in ("1 thread", "2 threads")}
    assert set(one["sides"]) == others | {f"charlm {name}" for name in ENGINES}
    nn = {name: one["sides"][name]["median"] for name in ("nn, 1 thread", "nn, 2 threads")}
    assert one["reference"] == max(nn, key=nn.get)
    assert many["reference"] == "nn, 2 threads"
    assert one["figures"]["charlm numpy, per cent of that bandwidth"] > 0
    assert "nn, 1 thread" not in many["sides"]
