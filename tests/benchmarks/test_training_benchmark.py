"""Both sides of the training benchmark compute the same; the program says so, and says no where they do not."""

import argparse

import pytest
import torch
import training
from harness.record import Case
from harness.texts import open_data, write_text
from opponents.nn_model import LAYERS, lane_rows

from charlm.training.trial import is_emulated

ASKED = argparse.Namespace(threads=1, dtype="float32", quick=True, repeats=1, seconds=0.001, equal_steps=20, seeds=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    patch = pytest.MonkeyPatch()
    patch.setenv("CHARLM_CACHE", str(folder))
    yield open_data(str(write_text(folder, 8_000)))
    patch.undo()


def shape(cell):
    return training.Shape(cell, 12, 3, 7)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("name", ["nn fp32", "cells, one by one"])
def test_every_loop_has_charlms_losses_step_by_step(data, cell, name):
    learner = training.charlm_learner(shape(cell), data, ASKED, "float32")
    loop = training.nn_loop(name, shape(cell), data, learner, 64)
    step = training.stepper(learner)
    ours, theirs = [step() for _ in range(30)], [loop.step() for _ in range(30)]
    assert theirs == pytest.approx(ours, abs=1e-3)
    assert ours[-1] < ours[0] - 0.05  # and something was learnt


def test_rows_are_charlms_lanes(data):
    learner = training.charlm_learner(shape("lstm"), data, ASKED, "float32")
    ids = data.store.part("train")
    longest = (len(ids) - 1) // 3 + 1
    rows = lane_rows(ids, 3, longest)
    for at in range(0, longest - 7, 7):
        inputs, targets = learner.lanes.next(7)
        assert torch.equal(rows[:, at : at + 7], torch.from_numpy(inputs))
        assert torch.equal(rows[:, at + 1 : at + 8], torch.from_numpy(targets))
    with pytest.raises(ValueError, match="do not fit"):
        lane_rows(ids, 3, longest + 2)


def test_sides_that_differ_are_found():
    losses = {"nn fp32": [4.0, 3.9, 3.8], "charlm": [4.0, 3.9, 3.8], "charlm fp32": [4.0, 3.9, 3.7]}
    case = Case(title="", reference="nn fp32")
    training.check_first_losses(case, losses, "bfloat16")
    assert [name.split(",")[0:2] for name in case.failed()] == [
        ["losses of steps 2 to 3", " charlm fp32 against nn fp32"]
    ]
    late = {"nn fp32": [4.0, 3.9, 3.8], "charlm": [4.01, 3.9, 3.8]}
    case = Case(title="", reference="nn fp32")
    training.check_first_losses(case, late, "bfloat16")
    assert case.failed() == ["first loss, charlm against nn fp32, nats"]


def test_equal_steps_compare_what_was_learnt(data):
    case = training.equal_steps(shape("gru"), data, ASKED)
    assert list(case.figures) == [
        *(f"seed {seed}: {name}, nats" for seed in (1, 2) for name in ("charlm", "nn fp32")),
        "mean difference, nats",
    ]
    assert case.failed() == []
    first, second = (float(case.figures[f"seed {seed}: charlm, nats"]) for seed in (1, 2))
    assert first != second


@pytest.mark.slow
def test_the_program_runs_and_writes_what_it_found(quick):
    printed, found = quick(training, "--cases", "elman-2x128", "--seconds", "0.01", "--repeats", "2", "--threads", "1")
    case = found["cases"]["elman-2x128"]
    assert case["reference"] == "nn fp32"
    emulated = is_emulated(torch.bfloat16)
    assert {"nn fp32", "cells, one by one", "charlm"} <= set(case["sides"])
    assert ("nn bf16 autocast" in case["sides"]) is not emulated
    assert ("left out" in case["figures"]) is emulated
    assert all(side["median"] > 0 and side["repeats"] == 2 for side in case["sides"].values())
    assert case["sides"]["nn fp32"]["times"] == 1.0
    assert 0 < case["figures"]["charlm, per cent of the product peak"] < 100
    assert "check: first loss, charlm against nn fp32" in printed
    assert found["note"] == "a test"


def test_an_equal_run_has_cases_of_its_own(quick):
    _, found = quick(training, "--cases", "elman-2x128", "--equal-steps", "8", "--seeds", "1", "--threads", "1")
    assert list(found["cases"]) == ["elman-2x128-equal"]
