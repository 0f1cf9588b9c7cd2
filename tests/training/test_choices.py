"""What a training chooses by itself: the rules alone, and in trainings where settings are left open."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import charlm
from charlm.config import CHOSEN, PRESETS, Config, Layer, resolve
from charlm.config.sections import ADAMW_DECAY, ModelConfig, TrainingConfig
from charlm.training import Training, decisions, plan_training, start_training
from charlm.training import machine as training_machine
from charlm.training.choices import (
    FORGOTTEN,
    LEAST_RATE,
    MOST_DECAY,
    MOST_DROPOUT,
    MOST_FORGOTTEN_DECAY,
    MOST_RATE,
    MOST_WEIGHTS_A_SYMBOL,
    PASSES_ENOUGH,
    SIZES,
    SYMBOLS_A_WEIGHT,
    dropout_for,
    learning_rate_for,
    multiplied_weights,
    passes_of,
    size_for,
    weight_decay_for,
)
from charlm.training.ngram_choices import FEWEST_VECTORS
from charlm.training.pace import Pace

SYMBOLS_A_SECOND = 1000.0


def test_dropout_rises_with_every_doubling_of_the_passes_and_never_falls() -> None:
    assert [dropout_for(passes) for passes in (0, 0.01, 1, 2)] == [0, 0, 0, 0]
    assert [dropout_for(passes) for passes in (4, 8, 16, 32, 64)] == [0.06, 0.12, 0.18, 0.24, 0.30]
    assert dropout_for(1e9) == dropout_for(float("inf")) == MOST_DROPOUT
    passes = [1.1**step for step in range(200)]
    rates = [dropout_for(each) for each in passes]
    assert rates == sorted(rates)


def test_the_rate_falls_with_units_and_with_steps_within_bounds() -> None:
    assert learning_rate_for(1000, 128) == 0.016
    assert learning_rate_for(16_000, 128) == 0.008
    assert learning_rate_for(1000, 512) == 0.007
    assert learning_rate_for(0, 64) == learning_rate_for(1, 128) == MOST_RATE
    assert learning_rate_for(10**9, 64) == learning_rate_for(math.inf, 1024) == LEAST_RATE
    for size in SIZES:
        rates = [learning_rate_for(1.1**step, size) for step in range(200)]
        assert rates == sorted(rates, reverse=True)
    for steps in (500, 5000, 50_000):
        rates = [learning_rate_for(steps, size) for size in SIZES]
        assert rates == sorted(rates, reverse=True)


def test_weight_decay_forgets_as_much_in_any_number_of_steps() -> None:
    for rate, steps in ((0.01, 2000), (0.004, 10_000), (0.002, 20_000), (0.0011, 700_000)):
        assert rate * steps * weight_decay_for(rate, steps, passes=1) == pytest.approx(FORGOTTEN, rel=0.05)
    # where little is learnt there is little to forget
    assert weight_decay_for(0.004, 1000, passes=1) == weight_decay_for(0.02, 0, passes=0) == 0.12 < MOST_FORGOTTEN_DECAY


def test_weight_decay_rises_with_the_passes_to_a_bound() -> None:
    many = 10**9
    assert [weight_decay_for(0.004, many, passes) for passes in (0, 2, 4, 8)] == [5e-7, 5e-7, 0.06, 0.12]
    assert [weight_decay_for(0.004, many, 8, weights) for weights in (0.5, 2, 1e9)] == [0.12, 0.18, MOST_DECAY]
    assert [weight_decay_for(0.01, 2000, passes) for passes in (1, 4, 8)] == [0.10, 0.16, 0.22]


def test_dropout_rises_with_every_doubling_of_the_weights_beyond_one_a_symbol() -> None:
    assert [dropout_for(8, weights) for weights in (0.01, 1, 2, 4, 32)] == [0.12, 0.12, 0.18, 0.24, 0.42]
    assert dropout_for(8, 1e9) == MOST_DROPOUT
    assert dropout_for(2, 1e9) == dropout_for(0.1, 2) == 0  # nothing is seen twice
    steps = [dropout_for(2 + 0.02 * step, 32) for step in range(200)]
    assert max(after - before for before, after in pairwise(steps)) < 0.02  # and no jump from there


@pytest.mark.parametrize(
    ("training", "passes"),
    [
        ({"steps": 30}, 30 * 40 / 1200),
        ({"epochs": 7.0}, 7.0),
        ({"minutes": 2.0}, 0.9 * (120 - 20) * SYMBOLS_A_SECOND / 1200),
        ({"minutes": 0.1}, 0.0),
        ({"minutes": 2.0, "epochs": 7.0}, 7.0),
        ({"minutes": 2.0, "epochs": 700.0}, 75.0),
        ({}, 0.9 * (180 - 20) * SYMBOLS_A_SECOND / 1200),
    ],
    ids=str,
)
def test_passes_are_those_to_the_first_end(training: dict[str, Any], passes: float) -> None:
    config = TrainingConfig(batch_size=4, window_length=10, **training)
    found = passes_of(Pace.of(config, 1200), 40, 1200, SYMBOLS_A_SECOND, spent=20.0)
    assert found == pytest.approx(passes)


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({}, 3 * 4 * 8 * 8 + 5 * 8),  # the first layer's input is a table
        ({"cell": "gru", "layers": 3, "tie_weights": True}, 5 * 3 * 8 * 8 + 5 * 8),
        ({"layers": 1, "embedding_size": 4, "tie_weights": True}, 4 * 8 * 8 + 4 * 8 + 5 * 4),
        (
            {"ngram_embedding_size": 3},
            3 * 4 * 8 * 8 + 5 * 8 + 3 * 4 * 8 + 5 * 3,
        ),  # so are the vectors of n-grams, but not their products
    ],
    ids=str,
)
def test_weights_that_every_symbol_is_multiplied_with(settings: dict[str, Any], weights: int) -> None:
    assert multiplied_weights(ModelConfig(hidden_size=8, **settings), 5) == weights


class Machine:
    """Its symbols a second at a size, and what it was asked."""

    def __init__(self, power: float, speed: float = 100_000) -> None:
        self.power, self.speed, self.asked = power, speed, list[int]()

    def __call__(self, size: int) -> float:
        self.asked.append(size)
        return self.speed * (256 / size) ** self.power


@pytest.mark.parametrize("power", [0.5, 1.3, 2, 3])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("symbols", [10**5, 10**6, 10**9])
def test_the_size_is_the_largest_whose_weights_see_enough(power: float, layers: int, symbols: int) -> None:
    model, found = ModelConfig(layers=layers), []
    weights = {size: multiplied_weights(replace(model, hidden_size=size), 65) for size in SIZES}
    for seconds in [1.5**step for step in range(-8, 40)]:
        asked = list[int]()

        def read(size: int, seconds: float = seconds, asked: list[int] = asked) -> float:
            asked.append(size)
            return 100_000 * (256 / size) ** power * seconds

        size = size_for(model, 65, symbols, read)
        assert len(asked) == len(set(asked)) <= 5
        wanted = {each: min(SYMBOLS_A_WEIGHT * weights[each], PASSES_ENOUGH * symbols) for each in SIZES}
        few = [each for each in SIZES if weights[each] <= MOST_WEIGHTS_A_SYMBOL * symbols]
        assert size == max([each for each in few if read(each) >= wanted[each]], default=SIZES[0])
        found.append(size)
    assert found == sorted(found)
    assert found[0] == SIZES[0]
    assert (found[-1] == SIZES[-1]) == (weights[SIZES[-1]] <= MOST_WEIGHTS_A_SYMBOL * symbols)


def test_without_time_left_the_model_is_the_smallest() -> None:
    assert size_for(ModelConfig(), 65, 10**9, lambda size: 0.0) == SIZES[0]


def test_a_size_for_which_there_is_no_memory_is_not_even_tried() -> None:
    asked = list[int]()

    def read(size: int) -> float:
        asked.append(size)
        return math.inf

    assert size_for(ModelConfig(), 60_000, 3 * 10**6, read, lambda size: size <= 448) == 448
    assert max(asked) <= 448
    assert size_for(ModelConfig(), 60_000, 3 * 10**6, read, lambda size: False) == SIZES[0]


# text of N symbols, V of them different, 2,000,000 weights' products of a symbol a second
@pytest.mark.parametrize(
    ("symbols", "vocab_size", "seconds", "size"),
    [(900, 40, 1, 64), (900, 40, 86_400, 64), (1_800_000_000, 65, 1, 64), (1_800_000_000, 65, 86_400, 1024)],
)
def test_extremes_are_within_what_there_is_to_choose(symbols: int, vocab_size: int, seconds: int, size: int) -> None:
    def read(size: int) -> float:
        return seconds * 5e10 / multiplied_weights(ModelConfig(hidden_size=size), vocab_size)

    assert size_for(ModelConfig(), vocab_size, symbols, read) == size


# All that is chosen but n-grams, which count in size and dropout.
OTHERS = tuple(name for name in CHOSEN if not name.startswith("ngram"))
NGRAMS = ("ngram_embedding_size", "ngram_order", "ngram_rows")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(decisions, "symbols_per_second", lambda machine, training, model, vocab_size: SYMBOLS_A_SECOND)
    draws = random.Random(3)
    (tmp_path / "tale.txt").write_text("".join(draws.choice(["a cat sat. ", "it was dawn.\n"]) for _ in range(300)))
    return tmp_path


def asked(place: Path, **settings: Any) -> Config:
    small = {"hidden_size": 8, "layers": 1, "batch_size": 4, "window_length": 8, "threads": 1}
    values = {"corpus": (str(place / "tale.txt"),), "split": "90/10", **small, **settings}
    return resolve([Layer(origin="flag", values=values)]).config


def free_beside(settings: dict[str, Any], names: tuple[str, ...] = OTHERS) -> tuple[str, ...]:
    """Of the settings of these names those that may be chosen beside ends and optimiser."""
    given = {name: settings[name] for name in ("minutes", "epochs", "steps", "optimizer") if name in settings}
    return tuple(name for name in resolve([Layer(origin="flag", values=given)]).free if name in names)


def begin(place: Path, config: Config, free: tuple[str, ...] = OTHERS) -> Training:
    return start_training(config, root=place / "runs", now=datetime(2026, 11, 21), free=free, samples=False)


@pytest.mark.parametrize(
    ("settings", "dropout"), [({"epochs": 1.0}, 0.0), ({"epochs": 16.0}, 0.18), ({"steps": 1}, 0.0)]
)
def test_a_training_takes_the_dropout_of_its_passes_and_says_why(
    place: Path, settings: dict[str, Any], dropout: float
) -> None:
    training = begin(place, asked(place, **settings), free_beside(settings))
    assert training.config.model.dropout == training.run.config.model.dropout == dropout
    assert training.trainer.learner.model.config.between == dropout
    decay, rate, made = (
        training.config.training.decay,
        training.config.training.learning_rate,
        training.trainer.pace.steps,
    )
    assert made is not None
    assert rate == training.run.config.training.learning_rate == learning_rate_for(made, 8)
    assert decay == weight_decay_for(rate, made, settings.get("epochs", 0.0))
    assert all(group["weight_decay"] == decay for group in training.trainer.learner.optimizers[0].param_groups)
    said = [notice for notice in training.notices if notice.startswith("learning rate")]
    passes = settings.get("epochs", 0.0)
    assert said == [
        f"learning rate {rate:g}, dropout {dropout:g}, weight decay {decay:g}: for about {passes:.1f} passes over the "
        "training split; --learning-rate, --dropout and --weight-decay decide otherwise"
    ]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon", "rmsprop", "sgd"])
def test_only_optimisers_for_which_it_was_measured_are_given_a_rate(place: Path, optimizer: str) -> None:
    settings = {"steps": 700, "optimizer": optimizer, "hidden_size": 64}
    training = begin(place, asked(place, **settings), free_beside(settings))
    chosen = optimizer in ("adamw", "muon")
    rate = learning_rate_for(700, 64) if chosen else TrainingConfig().learning_rate
    assert LEAST_RATE < rate < MOST_RATE
    assert training.config.training.learning_rate == rate
    assert (training.notices[-1].startswith("learning rate ")) == chosen


def test_decay_follows_the_rate_that_was_asked_for(place: Path) -> None:
    settings = {"steps": 9000, "accumulate": 2}
    free = tuple(name for name in free_beside(settings) if name != "learning_rate")
    training = begin(place, asked(place, learning_rate=0.002, **settings), free)
    passes = 9000 * 2 * 32 / (len(training.data.store.part("train")) - 1)
    assert training.config.training.learning_rate == 0.002
    assert training.config.training.decay == weight_decay_for(0.002, 9000, passes)
    assert training.config.training.decay != weight_decay_for(learning_rate_for(9000, 8), 9000, passes)


@pytest.mark.parametrize(
    ("optimizer", "free", "decay"),
    [("adamw", ("weight_decay",), 0.31), ("muon", ("weight_decay",), 0.31), ("sgd", OTHERS, 0.0)],
)
def test_only_optimisers_that_decouple_it_are_given_weight_decay(
    place: Path, optimizer: str, free: tuple[str, ...], decay: float
) -> None:
    settings = {"epochs": 16.0, "optimizer": optimizer}
    training = begin(place, asked(place, dropout=0.0, **settings), free_beside(settings, free))
    assert training.config.training.decay == decay
    assert TrainingConfig(optimizer=optimizer).decay == (ADAMW_DECAY if optimizer == "adamw" else 0.0)
    said = [notice for notice in training.notices if "weight decay" in notice]
    assert [notice.partition(":")[0] for notice in said] == ([f"weight decay {decay}"] if decay else [])
    assert all(notice.endswith("; --weight-decay decides otherwise") for notice in said)


def test_time_becomes_passes_by_the_speed_of_the_machine(place: Path) -> None:
    config, free = asked(place, minutes=10.0), ("dropout",)
    tokens = len(begin(place, config, free).data.store.part("train")) - 1
    training = begin(place, config, free)
    assert training.config.model.dropout == pytest.approx(dropout_for(0.9 * 600 * SYMBOLS_A_SECOND / tokens), abs=0.01)
    assert training.config.model.dropout > 0.3
    assert plan_training(config, free=free).notices[-1].startswith(f"dropout {training.config.model.dropout:g}:")


WITHOUT_EPOCHS = tuple(name for name in OTHERS if name != "epochs")


@pytest.mark.parametrize(
    ("settings", "free", "size", "epochs"),
    [
        ({"minutes": 12.0}, OTHERS, 128, 10.0),  # as many weights as the text allows
        ({}, OTHERS, 128, 10.0),
        ({"minutes": 12.0, "layers": 3}, OTHERS, 64, 10.0),
        ({"minutes": 12.0, "window_length": 32}, OTHERS, 128, 40.0),  # no fewer than 1,000 steps
        ({"minutes": 0.1}, OTHERS, 64, None),  # the smallest
        ({"minutes": 12.0, "epochs": 30.0}, WITHOUT_EPOCHS, 128, 30.0),
        ({"minutes": 12.0, "epochs": 1.0}, WITHOUT_EPOCHS, 64, 1.0),  # what ends first
        ({"minutes": 12.0, "steps": 3}, OTHERS, 64, None),
        ({"minutes": 12.0}, ("dropout",), 8, None),
        ({"epochs": 4.0}, WITHOUT_EPOCHS, 8, 4.0),
        ({"steps": 1}, OTHERS, 8, None),
    ],
    ids=str,
)
def test_minutes_choose_size_and_passes_and_nothing_else_does(
    place: Path, settings: dict[str, Any], free: tuple[str, ...], size: int, epochs: float | None
) -> None:
    free = free_beside(settings, free)
    training = begin(place, asked(place, **settings), free)
    assert training.config.model.hidden_size == training.run.config.model.hidden_size == size
    assert training.trainer.learner.model.config.hidden_size == size
    assert training.config.training.epochs == training.trainer.config.epochs == epochs
    # chosen passes are an end beside the time, the default's three minutes too
    timed = "minutes" in settings or not settings.keys() & {"epochs", "steps"}
    seconds = 60 * settings.get("minutes", 3.0) if timed else None
    assert training.trainer.pace.seconds == seconds
    if "learning_rate" in free:  # by all else that was chosen
        ends = [] if training.trainer.pace.steps is None else [training.trainer.pace.steps]
        ends += [] if seconds is None else [0.9 * seconds * SYMBOLS_A_SECOND / (4 * settings.get("window_length", 8))]
        assert training.config.training.learning_rate == pytest.approx(learning_rate_for(min(ends), size), rel=0.1)
    chosen = [
        *([f"hidden size {size}: by the time and the text, at the speed of this machine"] if size != 8 else []),
        *(
            [f"ends after {epochs:g} passes: the text is known by then"]
            if "epochs" in free and size > 8 and epochs
            else []
        ),
    ]
    assert training.config.training.batch_size == 4  # as asked, or fewer than there would be
    # of rates, and of loops that nobody has compiled yet, others speak
    others = ("learning rate", "dropout", "compiling")
    assert [one.partition(";")[0] for one in training.notices if not one.startswith(others)] == chosen
    plan = plan_training(asked(place, **settings), free=free)
    assert [one.partition(";")[0] for one in plan.notices if not one.startswith(others)] == chosen
    assert plan.epochs <= (epochs or 1e9) * 1.1


@pytest.mark.parametrize("settings", [{}, {"batch_size": 32}], ids=["lanes stay", "fewer lanes"])
def test_speed_is_measured_once_for_each_size_with_the_symbols_that_the_text_has(
    place: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    asked_for = []

    def measure(machine: Any, training: Any, model: Any, vocab_size: int) -> float:
        asked_for.append((machine, model.hidden_size, training.batch_size, vocab_size))
        return SYMBOLS_A_SECOND

    monkeypatch.setattr(decisions, "symbols_per_second", measure)
    training = begin(place, asked(place, minutes=12.0, **settings))
    chosen = training.config.model.hidden_size, training.config.training.batch_size
    assert len(asked_for) == len(set(asked_for))
    symbols = training.data.tokenizer.vocab_size - 256  # no bytes
    assert (training.machine, *chosen, symbols) in asked_for
    assert {vocab_size for *_, vocab_size in asked_for} == {symbols}


@pytest.mark.parametrize(
    ("settings", "free", "lanes"),
    [
        ({"minutes": 12.0}, OTHERS, 16),
        ({"minutes": 12.0, "window_length": 1}, OTHERS, 32),  # steps enough
        ({"minutes": 12.0}, OTHERS[1:], 32),
        ({"minutes": 12.0, "steps": 9}, OTHERS, 32),
        ({"epochs": 2.0}, OTHERS, 32),
    ],
    ids=str,
)
def test_a_short_text_has_fewer_lanes_where_all_is_chosen(
    place: Path, settings: dict[str, Any], free: tuple[str, ...], lanes: int
) -> None:
    training = begin(place, asked(place, **{"batch_size": 32, **settings}), free_beside(settings, free))
    assert training.config.training.batch_size == training.trainer.config.batch_size == lanes
    said = "16 lanes: a short text is few steps; --batch-size decides otherwise"
    assert (said in training.notices) == (lanes == 16)


def test_for_a_gpu_all_follows_from_its_own_speed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(machine: Any, *others: Any) -> float:
        measured.append(machine)
        return SYMBOLS_A_SECOND

    monkeypatch.setattr(decisions, "symbols_per_second", measure)
    gpu = training_machine.Machine(device=torch.device("cuda"), dtype=torch.float32, threads=1)
    monkeypatch.setattr(decisions, "choose_machine", lambda *args, **kwargs: gpu)
    monkeypatch.setattr(decisions, "choose_device", lambda name: gpu.device)
    config = asked(place, minutes=12.0, batch_size=32)
    data = decisions.read_text(config, OTHERS, None)[1]
    chosen, data, machine = decisions.decide(config, OTHERS, data, lambda: 0.0, None)
    assert machine is gpu
    assert set(measured) == {gpu}
    assert (chosen.model.hidden_size, chosen.training.batch_size, chosen.training.epochs) == (128, 16, 40.0)
    steps = 40.0 * (len(data.store.part("train")) - 1) / (16 * 8)
    assert chosen.training.learning_rate == learning_rate_for(steps, 128) < MOST_RATE
    assert [notice.partition(" ")[0] for notice in data.notices] == ["hidden", "16", "ends", "learning"]


def test_what_was_asked_for_stays(place: Path) -> None:
    training = begin(place, asked(place, epochs=64.0, dropout=0.01), free=())
    assert training.config.model.dropout == 0.01
    assert training.notices == []


def test_free_is_what_neither_a_flag_nor_a_preset_says() -> None:
    assert resolve([]).free == CHOSEN
    assert resolve([Layer(origin="flag", values={"dropout": 0.1})]).free == tuple(
        name for name in CHOSEN if name != "dropout"
    )
    assert resolve([Layer(origin="environment", values={"batch_size": 7})]).free == CHOSEN[1:]
    preset = Layer(origin="preset small", values=PRESETS["small"])
    # a batch that a text cannot fill could not be trained at all
    assert resolve([preset]).free == ("batch_size",)


@pytest.mark.parametrize(
    ("settings", "fixed"),
    [
        ({"minutes": 1.0}, ()),
        ({"steps": 9}, ("hidden_size", "epochs")),
        ({"epochs": 9.0}, ("hidden_size", "epochs")),
        ({"steps": 9, "minutes": 1.0}, ("epochs",)),
        ({"hidden_size": 9}, ("hidden_size", "epochs")),
        ({"optimizer": "muon"}, ()),
        ({"optimizer": "adam"}, ("learning_rate", "weight_decay", *NGRAMS)),
        ({"optimizer": "adam", "ngram_embedding_size": 9}, ("learning_rate", "weight_decay", "ngram_embedding_size")),
        ({"ngram_embedding_size": 0}, NGRAMS),
        ({"ngram_rows": 7}, ("ngram_rows",)),
        ({"schedule": "linear"}, ()),
        ({"schedule": "constant"}, ("learning_rate",)),
        ({"schedule": "plateau"}, ("learning_rate",)),
    ],
    ids=str,
)
def test_free_is_what_follows_from_time_and_optimiser(settings: dict[str, Any], fixed: tuple[str, ...]) -> None:
    free = resolve([Layer(origin="flag", values=settings)]).free
    assert free == tuple(name for name in CHOSEN if name not in fixed)


@pytest.mark.parametrize(
    ("preset", "settings", "dropout"), [(None, {}, 0.06), (None, {"dropout": 0.3}, 0.3), ("tiny", {}, 0.0)]
)
def test_python_chooses_alike(place: Path, preset: str | None, settings: dict[str, Any], dropout: float) -> None:
    small = {"hidden_size": 8, "layers": 1, "batch_size": 4, "window_length": 64, "threads": 1, "split": "90/10"}
    small["ngram_embedding_size"] = 0
    model = charlm.train(
        str(place / "tale.txt"), root=place / "runs", preset=preset, epochs=4.0, **{**small, **settings}
    )
    assert model.config.model.dropout == dropout
    assert (model.config.training.weight_decay == 0.0) == (preset is not None)
    assert (model.config.training.learning_rate == PRESETS["tiny"]["learning_rate"]) == (preset is not None)


@pytest.mark.parametrize(
    ("settings", "size"),
    [({}, 32), ({"ngram_embedding_size": 3}, 3), ({"ngram_embedding_size": 0}, 0), ({"optimizer": "sgd"}, 0)],
    ids=str,
)
def test_a_training_has_vectors_of_n_grams_unless_asked_otherwise(
    place: Path, settings: dict[str, Any], size: int
) -> None:
    config = asked(place, steps=2, **settings)
    training = begin(place, config, resolve([Layer(origin="flag", values=settings)]).free)
    model = training.trainer.learner.model
    assert training.run.config.model.ngram_embedding_size == model.config.ngram_embedding_size == size
    assert any(notice.startswith("n-grams of") for notice in training.notices) == bool(size)
    if size:
        assert model.ngram_embedding.shape == (FEWEST_VECTORS, size)
        assert list(training.events())
        assert model.ngram_embedding.detach().abs().sum() > 0


@pytest.mark.parametrize(("epochs", "order"), [(1.0, 3), (4.0, 2)])
def test_n_grams_are_as_long_as_training_split_and_passes_allow(place: Path, epochs: float, order: int) -> None:
    """Of two and three symbols 1.6 and 84 % are new in the training split, which four passes do not allow; in all of
    the text 0.9 and 82 %, which they do."""
    letters = random.Random(2)
    (place / "tale.txt").write_text("".join(letters.choices("abcdefghijklmnopqrstuvwx", k=3000)))
    chosen = plan_training(asked(place, epochs=epochs), root=place / "runs", free=NGRAMS)
    assert any(notice.startswith("n-grams of 2 symbols:") for notice in chosen.notices) == (order == 2)
    assert any(notice.startswith("n-grams of 2 to 3 symbols:") for notice in chosen.notices) == (order == 3)


def test_a_gpu_has_no_n_grams_unless_asked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they bring there is not measured yet."""
    gpu = training_machine.Machine(device=torch.device("cuda"), dtype=torch.float32, threads=1)
    monkeypatch.setattr(decisions, "choose_machine", lambda *args, **kwargs: gpu)
    monkeypatch.setattr(decisions, "choose_device", lambda name: gpu.device)
    config = asked(place, steps=2)
    data = decisions.read_text(config, CHOSEN, None)[1]
    assert decisions.decide(config, CHOSEN, data, lambda: 0.0, None)[0].model.ngram_embedding_size == 0
