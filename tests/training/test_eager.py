"""torch's optimisers without torch's compiler: the same updates, the same state, and none of its modules."""

import subprocess
import sys

import pytest
import torch

from charlm.config import TrainingConfig
from charlm.training import eager
from charlm.training.optimizers import OPTIMIZERS, make_optimizers

CPU = torch.device("cpu")
THEIRS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}


def trained(make):
    """Weights and state after some steps, with what was saved put into another optimiser half-way."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 3)
    optimizer = make(dict(layer.named_parameters()))
    for step in range(6):
        if step == 3:
            saved, optimizer = optimizer.state_dict(), make(dict(layer.named_parameters()))
            optimizer.load_state_dict(saved)
        optimizer.zero_grad(set_to_none=True)
        layer(torch.randn(4, 5)).square().sum().backward()
        optimizer.step()
    state = [value for values in optimizer.state_dict()["state"].values() for value in values.values()]
    return [*layer.parameters(), *(value for value in state if value is not None)]


@pytest.mark.parametrize("name", THEIRS)
def test_updates_and_state_are_torchs(name, monkeypatch):
    config = TrainingConfig(optimizer=name, learning_rate=0.05, weight_decay=0.01)
    ours = trained(lambda parameters: make_optimizers(parameters, config, CPU)[0])
    for kind in ("Adam", "AdamW", "RMSprop", "SGD"):
        monkeypatch.setattr(eager, kind, getattr(torch.optim, kind))
    theirs = trained(lambda parameters: make_optimizers(parameters, config, CPU)[0])
    assert type(make_optimizers({"bias": torch.nn.Parameter(torch.ones(1))}, config, CPU)[0]) is THEIRS[name]
    assert len(ours) == len(theirs)
    for own, its in zip(ours, theirs, strict=True):
        assert torch.equal(own, its)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_is_recorded_for_gradients_in_a_step(name):
    weight = torch.nn.Parameter(torch.ones(3, 2))
    (optimizer,) = make_optimizers({"weight": weight}, TrainingConfig(optimizer=name), CPU)
    weight.grad = torch.ones(3, 2)
    optimizer.step()
    assert weight.is_leaf
    assert not any(value.requires_grad for value in optimizer.state[weight].values() if value is not None)


def test_a_training_does_not_import_torchs_compiler(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("so many words, so little time\n" * 100)
    code = """
import sys
from datetime import datetime
from pathlib import Path
from charlm.config import Config, CorpusConfig, ModelConfig, TrainingConfig
from charlm.training import start_training
folder = Path(sys.argv[1])
for optimizer in sys.argv[2:]:
    config = Config(
        corpus=CorpusConfig(corpus=(str(folder / "text.txt"),)),
        model=ModelConfig(hidden_size=8),
        training=TrainingConfig(steps=2, batch_size=2, window_length=8, optimizer=optimizer, device="cpu"),
    )
    training = start_training(config, run=optimizer, root=folder, now=datetime(2000, 1, 1))
    list(training.events())
    training.summary()
print(sorted(name for name in sys.modules if name.startswith(("torch._dynamo", "torch._inductor", "sympy")))[:5])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *OPTIMIZERS], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
