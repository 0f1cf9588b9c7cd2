"""Every preset trains: two steps of it, with a batch cut down to a corner of a short text."""

import dataclasses
import math

import pytest
import torch

from charlm.config import PRESETS, Layer, resolve
from charlm.runs import prepare
from charlm.training.assembly import make_learner
from charlm.training.device import choose_machine

MACHINE = {"kernels": "torch", "dtype": "float32", "device": "cpu", "threads": 1}


@pytest.mark.parametrize("preset", PRESETS)
def test_two_steps_of_a_preset(preset, tmp_path, monkeypatch):
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "tale.txt"
    text.write_text("the cat sat on the mat. " * 5)
    flags = {"corpus": (str(text),), **MACHINE}
    config = resolve([Layer(origin="preset", values=PRESETS[preset]), Layer(origin="flag", values=flags)]).config
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, batch_size=1, window_length=3))
    data = prepare(config.corpus, config.tokenizer)
    machine = choose_machine(config.training, config.model, data.tokenizer.vocab_size)
    learner = make_learner(config, data, machine)
    before = learner.model.to_arrays()
    with machine.in_use():
        # a share of the rate, as the first steps of a warm-up have it
        results = [learner.step(config.training.learning_rate / 50) for _ in range(2)]
    assert learner.steps == 2
    assert all(math.isfinite(result.loss) and result.gradient_norm > 0 for result in results)
    after = learner.model.to_arrays()
    assert all((after[name] != before[name]).any() for name in before)
    assert learner.model.config == config.model
    assert all(parameter.dtype == torch.float32 for parameter in learner.model.parameters())
