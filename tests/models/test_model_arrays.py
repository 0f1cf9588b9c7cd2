"""Weights and states as arrays: there and back, and refused when they are not the model's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig
from charlm.config.shapes import parameter_shapes
from charlm.errors import RunError
from charlm.models import CELLS, LanguageModel, detach, state_from_arrays, state_to_arrays

V = 9
IDS = torch.arange(12).reshape(2, 6) % V
Arrays = dict[str, Any]


def make_model(seed: int = 1, **settings: Any) -> LanguageModel:
    config = ModelConfig(**{"hidden_size": 7, "layers": 2, **settings})
    return LanguageModel(config, V, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("cell", CELLS)
def test_weights_and_state_survive_the_round_trip(cell: str, tied: bool) -> None:
    model = make_model(cell=cell, tie_weights=tied)
    logits, state = model(IDS, None)
    arrays, state_arrays = model.to_arrays(), state_to_arrays(state)
    assert set(arrays) == set(parameter_shapes(model.config, V))
    assert {array.dtype for array in (*arrays.values(), *state_arrays.values())} == {np.dtype("float32")}

    loaded = make_model(seed=2, cell=cell, tie_weights=tied)
    loaded.load_arrays(arrays)
    fresh = LanguageModel.from_arrays(model.config, V, arrays)
    state_again = state_from_arrays(state_arrays, like=model.initial_state(2))
    expected, _ = model(IDS, detach(state))
    for other in (loaded, fresh):
        assert torch.equal(other(IDS, None)[0], logits)
        assert torch.equal(other(IDS, state_again)[0], expected)
        assert all(parameter.requires_grad for parameter in other.parameters())


def test_arrays_are_copies() -> None:
    model = make_model()
    arrays = model.to_arrays()
    arrays["embedding"][:] = 7
    assert model.embedding.max() < 7
    model.load_arrays(arrays)
    arrays["embedding"][:] = 8
    assert model.embedding.unique().tolist() == [7]


@pytest.mark.parametrize("kind", ["float16", "float64", ">f4"])
def test_other_floats_are_taken_over(kind: str) -> None:
    model = make_model()
    arrays = {name: array.astype(kind) for name, array in model.to_arrays().items()}
    LanguageModel.from_arrays(model.config, V, arrays)
    model.load_arrays(arrays)
    assert model.embedding.dtype == torch.float32


def damage(name: str, change: Callable[[Any], Any]) -> Callable[[Arrays], None]:
    def apply(arrays: Arrays) -> None:
        arrays[name] = change(arrays[name].copy())

    return apply


def with_value(value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array.flat[3] = value
        return array

    return change


WEIGHTS: dict[str, tuple[Callable[[Arrays], object], str]] = {
    "missing": (lambda a: a.pop("layers.1.input_bias"), r"tensor 'layers.1.input_bias' is missing"),
    "renamed": (
        lambda a: a.update({"embeding": a.pop("embedding")}),
        r"tensor 'embedding' is missing \(did you mean embeding\?\)",
    ),
    "extra": (lambda a: a.update(projection=a["embedding"]), r"tensor 'projection' is none of this model's"),
    "misshapen": (
        damage("layers.0.recurrent_weight", lambda w: w[:-1]),
        r"'layers.0.recurrent_weight' has shape \(27, 7\), must be \(28, 7\)",
    ),
    "transposed": (damage("output_weight", lambda w: w.T), r"'output_weight' has shape \(7, 9\), must be \(9, 7\)"),
    "flat": (damage("output_weight", lambda w: w.ravel()), r"'output_weight' has shape \(63,\), must be \(9, 7\)"),
    "nan": (damage("embedding", with_value(float("nan"))), r"'embedding' holds a number that is not finite"),
    "inf": (damage("output_bias", with_value(float("inf"))), r"'output_bias' holds a number that is not finite"),
    "too large": (
        damage("output_bias", lambda b: np.full(b.shape, 1e300)),
        r"'output_bias' holds a number that is not finite",
    ),
    "integers": (
        damage("embedding", lambda e: e.astype("int32")),
        r"'embedding' holds int32, must hold floating-point",
    ),
    "objects": (damage("embedding", lambda e: e.astype(object)), r"'embedding' holds object, must hold floating-point"),
    "complex": (damage("embedding", lambda e: e.astype("c8")), r"'embedding' holds complex64, must hold floating"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_are_not_the_models_are_refused_whole(case: str) -> None:
    apply, message = WEIGHTS[case]
    model, other = make_model(), make_model(seed=2)
    arrays, before = other.to_arrays(), model.to_arrays()
    apply(arrays)
    with pytest.raises(RunError, match=f"^weights: .*{message}"):
        model.load_arrays(arrays)
    with pytest.raises(RunError, match=message):
        LanguageModel.from_arrays(model.config, V, arrays)
    assert all((before[name] == array).all() for name, array in model.to_arrays().items()), "half loaded"


def test_tied_and_untied_are_told_apart() -> None:
    tied, untied = make_model(tie_weights=True), make_model()
    with pytest.raises(RunError, match="'output_weight' is missing"):
        untied.load_arrays(tied.to_arrays())
    with pytest.raises(RunError, match="'output_weight' is none of this model's"):
        tied.load_arrays(untied.to_arrays())


def test_a_hostile_configuration_is_refused_before_anything_is_allocated() -> None:
    # 64 layers of 65,536 units are four terabytes: this test would not come back
    config = ModelConfig(hidden_size=65536, layers=64)
    with pytest.raises(RunError, match=r"'embedding' has shape \(9, 7\), must be \(9, 65536\)"):
        LanguageModel.from_arrays(config, V, make_model().to_arrays())


STATES: dict[str, tuple[Callable[[Arrays], object], str]] = {
    "missing": (lambda a: a.pop("layers.1.memory"), r"tensor 'layers.1.memory' is missing"),
    "extra": (lambda a: a.update({"layers.2.hidden": a["layers.1.hidden"]}), r"'layers.2.hidden' is none of this"),
    "other lanes": (
        damage("layers.0.hidden", lambda h: h[:1]),
        r"'layers.0.hidden' has shape \(1, 7\), must be \(2, 7",
    ),
    "nan": (damage("layers.0.memory", with_value(float("nan"))), r"'layers.0.memory' holds a number that is not fin"),
    "integers": (damage("layers.0.memory", lambda m: m.astype("int8")), r"'layers.0.memory' holds int8, must"),
}


@pytest.mark.parametrize("case", STATES)
def test_a_state_that_is_not_the_models_is_refused(case: str) -> None:
    apply, message = STATES[case]
    model = make_model()
    arrays = state_to_arrays(model(IDS, None)[1])
    apply(arrays)
    with pytest.raises(RunError, match=f"^carried state: .*{message}"):
        state_from_arrays(arrays, like=model.initial_state(2))


def test_a_state_of_another_cell_is_refused() -> None:
    arrays = state_to_arrays(make_model(cell="lstm").initial_state(2))
    with pytest.raises(RunError, match=r"'layers.0.memory' is none of this model's"):
        state_from_arrays(arrays, like=make_model(cell="gru").initial_state(2))
