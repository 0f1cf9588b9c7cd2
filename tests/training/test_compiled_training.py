"""Training steps on compiled kernels are those on torch's."""

import subprocess
import sys

import pytest
import torch

from charlm.kernels import KERNELS
from charlm.kernels.team import team_size
from charlm.models import LanguageModel
from charlm.training.machine import MOST_ALONE, Machine

STEPS = 16
EVERYTHING = {
    "layers": 3,
    "dropout": 0.2,
    "dropout_input": 0.1,
    "dropout_recurrent": 0.2,
    "dropout_embedding": 0.1,
    "layer_norm": True,
    "residual": True,
    "tie_weights": True,
}
MODELS = {
    "plain": {"dropout": 0.0},
    "plain dropout": {"dropout": 0.3, "dropout_input": 0.2, "locked_dropout": False},
    "locked dropout": {"dropout": 0.3, "dropout_input": 0.2, "locked_dropout": True},
    "DropConnect": {"dropout": 0.0, "dropout_recurrent": 0.4},
    "embedding dropout": {"dropout": 0.0, "dropout_embedding": 0.3},
    "layer norm": {"dropout": 0.0, "layer_norm": True},
    "residual, tied": {"dropout": 0.0, "residual": True, "tie_weights": True, "layers": 3},
    "everything": EVERYTHING,
    "a table larger than the window": {"dropout": 0.0, "window": 1},
}


def steps_of(make_learner, kernels, cell, **model):
    """Loss and gradient norm of some steps, and the weights after them."""
    machine = Machine(device=torch.device("cpu"), dtype=torch.float32, threads=1, kernels=kernels)
    length = model.pop("window", 8)
    training = {"window_length": length, "window_jitter": 0.3 if length > 1 else 0.0, "accumulate": 2}
    learner = make_learner({"cell": cell, **model}, machine=machine, **training)
    with machine.in_use():
        results = [learner.step(3e-3) for _ in range(STEPS)]
    assert all(result.applied for result in results)
    numbers = torch.tensor([(result.loss, result.gradient_norm) for result in results])
    return numbers, learner.model.to_arrays()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("cell", KERNELS["compiled"])
def test_the_same_losses_as_with_the_kernels_of_torch(make_learner, cell, model):
    own, weights = steps_of(make_learner, "compiled", cell, **MODELS[model])
    theirs, weights_there = steps_of(make_learner, "torch", cell, **MODELS[model])
    torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-4)
    assert own[-4:, 0].mean() < own[:4, 0].mean()  # they learn: it is no standstill that is compared
    for name, array in weights.items():
        change = abs(array - weights_there[name]).max()
        assert change <= 2e-3 * abs(weights_there[name]).max(), name


@pytest.mark.parametrize(
    ("kernels", "model", "own"),
    [
        ("compiled", {}, 1),
        ("compiled", {"layer_norm": True}, 2),  # torch computes the norms of a whole window
        ("compiled", {"cell": "mogrifier-lstm"}, 2),  # there are no loops of it
        ("torch", {}, 2),
    ],
)
def test_torch_computes_alone_where_it_has_little_to_do(make_learner, monkeypatch, kernels, model, own):
    machine = Machine(device=torch.device("cpu"), dtype=torch.float32, threads=2, kernels=kernels)
    learner, seen, loss = make_learner(model, machine=machine), [], LanguageModel.loss

    def looked_at(*arguments):
        seen.append((torch.get_num_threads(), team_size()))
        return loss(*arguments)

    monkeypatch.setattr(LanguageModel, "loss", looked_at)
    with machine.in_use():
        learner.step(3e-3)
        after = torch.get_num_threads()
    assert (seen, after) == ([(own, 2)], 2)


def test_torch_updates_many_weights_with_all_threads(make_learner, monkeypatch):
    machine = Machine(device=torch.device("cpu"), dtype=torch.float32, threads=2, kernels="compiled")
    model = make_learner({}, machine=machine).model
    for count, own in ((MOST_ALONE, 1), (MOST_ALONE + 1, 2)):
        monkeypatch.setattr(LanguageModel, "count_parameters", lambda self, ngrams, count=count: count)
        with machine.in_use(), machine.stepping(model):
            assert torch.get_num_threads() == own


COUNTED = """
import os
import torch
from charlm.config import ModelConfig
from charlm.models import LanguageModel
from charlm.training.machine import Machine

V, threads = 120, 3
machine = Machine(device=torch.device("cpu"), dtype=torch.float32, threads=threads, kernels="compiled")
model = LanguageModel(ModelConfig(hidden_size=128), V)
ids = torch.arange(V * 2).view(12, 20) % V
with machine.in_use():
    torch.ones(2**20).add_(1.0)
    before = len(os.listdir("/proc/self/task"))
    model.loss(ids, ids, None)[0].backward()
    print(len(os.listdir("/proc/self/task")) - before - (threads - 1))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_the_threads_of_the_loops_have_no_workers_of_torchs():
    """With more of those than processors OpenMP lets all sleep where they would spin: torch at half its speed."""
    ended = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("0\n", "")
