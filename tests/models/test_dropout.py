"""Masks: where they fall, what they cost in scale, and where their randomness comes from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from charlm.config import ModelConfig
from charlm.models import LanguageModel
from charlm.models.dropout import drop, drop_connections, drop_symbols

IDS = torch.arange(40).reshape(4, 10) % 9

KINDS: dict[str, Callable[[torch.Generator, torch.dtype], Tensor]] = {
    "plain": lambda g, dtype: drop(torch.ones(4, 10, 30, dtype=dtype), 0.3, g, locked=False),
    "locked": lambda g, dtype: drop(torch.ones(4, 10, 30, dtype=dtype), 0.3, g, locked=True),
    "connections": lambda g, dtype: drop_connections(torch.ones(30, 40, dtype=dtype), 0.3, g),
    "symbols": lambda g, dtype: drop_symbols(torch.ones(9, 3, dtype=dtype), 0.3, g)[IDS],
}


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_comes_from_its_generator_alone(kind: str) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = KINDS[kind](seeded(), torch.float32)
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator moved"
    torch.manual_seed(2)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert torch.equal(KINDS[kind](seeded(), torch.float32), first)
    finally:
        torch.set_num_threads(threads)
    assert not torch.equal(KINDS[kind](seeded(2), torch.float32), first)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_is_the_same_in_every_number_format(kind: str) -> None:
    kept = [KINDS[kind](seeded(), dtype) != 0 for dtype in (torch.float32, torch.float64, torch.bfloat16)]
    assert torch.equal(kept[0], kept[1])
    assert torch.equal(kept[0], kept[2])


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_goes_on_to_another_mask(kind: str) -> None:
    generator = seeded()
    assert not torch.equal(KINDS[kind](generator, torch.float32), KINDS[kind](generator, torch.float32))


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
def test_the_share_dropped_is_the_rate_and_the_mean_stays(rate: float) -> None:
    masked = drop(torch.ones(10, 20, 1001), rate, seeded(), locked=False)
    coins = masked.numel()
    deviation = (rate * (1 - rate) / coins) ** 0.5
    assert abs((masked == 0).float().mean().item() - rate) < 5 * deviation + 2**-17
    assert masked.max().item() == pytest.approx(1 / (1 - rate), rel=2**-16 / (1 - rate))
    assert masked.mean().item() == pytest.approx(1, abs=5 * deviation / (1 - rate))
    # neighbours are independent: four coins come from one draw
    kept = (masked != 0).double().flatten()
    for distance in (1, 2, 3, 4):
        both = (kept[:-distance] * kept[distance:]).mean().item()
        assert both == pytest.approx((1 - rate) ** 2, abs=6 * (1 - rate) * deviation + 2**-15)


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_extreme_rates_stay_finite(rate: float) -> None:
    assert torch.isfinite(drop(torch.ones(2, 3, 50), rate, seeded(), locked=False)).all()


def test_a_locked_mask_is_shared_over_time_and_not_over_lanes_or_units() -> None:
    masked = drop(torch.ones(4, 10, 30), 0.5, seeded(), locked=True)
    assert torch.equal(masked, masked[:, :1].expand(4, 10, 30))
    assert len({tuple(lane.tolist()) for lane in masked[:, 0]}) == 4
    plain = drop(torch.ones(4, 10, 30), 0.5, seeded(), locked=False)
    assert len({tuple(step.tolist()) for step in plain[0]}) == 10


def test_a_dropped_symbol_is_missing_everywhere_in_the_window() -> None:
    masked = drop_symbols(torch.ones(9, 3), 0.5, seeded(4))[IDS]
    values = {symbol: masked[symbol == IDS].unique().tolist() for symbol in range(9)}
    assert all(len(found) == 1 for found in values.values())
    assert {found[0] for found in values.values()} == {0.0, 2.0}


def logits(config: ModelConfig, seed: int | None, T: int = 10) -> Tensor:
    model = LanguageModel(config, 9, seeded(0)).double()
    masks = None if seed is None else seeded(seed)
    return model(IDS[:, :T], None, masks)[0].detach()


RATES = ["dropout_input", "dropout_between", "dropout_output", "dropout_recurrent", "dropout_embedding"]


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru-reset-before"])
@pytest.mark.parametrize("kind", RATES)
def test_each_rate_reaches_the_model_and_only_with_masks(kind: str, cell: str, locked: bool) -> None:
    plain = {"cell": cell, "hidden_size": 11, "layers": 2, "dropout": 0.0, "locked_dropout": locked}
    without = logits(ModelConfig(**plain), None)
    config = ModelConfig(**plain, **{kind: 0.5})
    assert torch.equal(logits(config, None), without), "dropout without masks"
    assert torch.equal(logits(ModelConfig(**plain), 1), without), "masks at rate zero"
    assert not torch.allclose(logits(config, 1), without)
    assert torch.equal(logits(config, 1), logits(config, 1))
    assert not torch.allclose(logits(config, 1), logits(config, 2))


def test_dropout_is_the_rate_of_between_and_output() -> None:
    base = {"hidden_size": 11, "layers": 2}
    both = ModelConfig(**base, dropout=0.4)
    spelt = ModelConfig(**base, dropout=0.0, dropout_between=0.4, dropout_output=0.4)
    assert torch.equal(logits(both, 3), logits(spelt, 3))


def test_a_recurrent_mask_lasts_a_window() -> None:
    # a window in one call has one mask; the same steps in two calls have two
    config = ModelConfig(hidden_size=11, layers=1, dropout=0.0, dropout_recurrent=0.5)
    model = LanguageModel(config, 9, seeded(0)).double()
    whole = model(IDS, None, seeded(1))[0]
    masks = seeded(1)
    first, state = model(IDS[:, :5], None, masks)
    torch.testing.assert_close(first, whole[:, :5])
    again, _ = model(IDS[:, 5:], state, seeded(1))
    torch.testing.assert_close(again, whole[:, 5:])
    assert not torch.allclose(model(IDS[:, 5:], state, masks)[0], whole[:, 5:])
