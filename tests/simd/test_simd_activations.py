"""exp, sigmoid and tanh against NumPy in float64, over all that a float32 can be."""

import numpy as np
import pytest
import torch

from charlm.simd import WIDTH, compiled, exp, load, sigmoid, store, tanh

HUGE = np.float32(3.4e38)
# three float32 steps at 1
STEPS = 3 * 2.0**-23


@compiled
def activate(x, out, count):
    for place in range(0, count, WIDTH):
        value = load(x, place)
        store(out, place, exp(value))
        store(out, count + place, sigmoid(value))
        store(out, 2 * count + place, tanh(value))


def activated(x):
    """exp, sigmoid and tanh of numbers, padded to whole vectors and cut again."""
    padded = np.pad(x.astype(np.float32), (0, -len(x) % WIDTH))
    out = np.empty((3, padded.size), np.float32)
    activate(padded, out.reshape(-1), padded.size)
    return out[:, : len(x)].astype(np.float64)


@pytest.fixture(params=[False, True], ids=["denormals", "flushed"])
def _denormals(request):
    """As the loops' threads run, which flush denormal numbers, and as others do."""
    torch.set_flush_denormal(request.param)
    yield
    torch.set_flush_denormal(False)


def spread():
    """Dense where the functions bend, and every size of number up to the largest."""
    sizes = np.geomspace(1e-30, HUGE, 4000)
    return np.concatenate([np.linspace(-100, 100, 400_001), sizes, -sizes, [0.0]]).astype(np.float32)


@pytest.mark.usefixtures("_denormals")
def test_exp_is_right_to_three_steps_and_ends_at_its_bounds():
    x = spread()
    found, _, _ = activated(x)
    # what it is brought into; beyond, the sizes are those of the bounds
    least, most = -87.0, np.log(found.max())
    assert 86.9 < most < 88.1
    expected = np.exp(np.clip(x.astype(np.float64), least, most))
    assert np.abs(found / expected - 1).max() <= STEPS
    assert (np.diff(found[:400_001]) >= -STEPS * found[:400_000]).all()


@pytest.mark.usefixtures("_denormals")
@pytest.mark.filterwarnings("ignore:overflow")
def test_sigmoid_and_tanh_are_right_to_three_steps_at_one():
    x = spread()
    _, squashed, bent = activated(x)
    exact = 1 / (1 + np.exp(-np.clip(x.astype(np.float64), -86.5, 86.5)))  # where it ends
    assert np.abs(squashed / exact - 1).max() <= 2 * STEPS
    assert np.abs(bent - np.tanh(x.astype(np.float64))).max() <= STEPS
    assert (squashed >= 0).all()


@pytest.mark.usefixtures("_denormals")
def test_nan_stays_and_infinities_are_limits():
    found = activated(np.array([np.nan, -np.inf, np.inf, -HUGE, HUGE, -50, 50, 0]))
    assert np.isnan(found[:, 0]).all()
    low, high = found[:, [1, 3]], found[:, [2, 4]]
    assert (low[0] < 1e-37).all()
    assert (high[0] > 1e37).all()
    assert np.isfinite(high[0]).all()
    assert (low[1] < 1e-37).all()
    assert (np.abs(high[1] - 1) <= STEPS).all()
    # subtle: here e^-2x is so large that one over it is next to a denormal number, which a processor may take for 0
    assert (np.abs(low[2] + 1) <= STEPS).all()
    assert (np.abs(high[2] - 1) <= STEPS).all()
    np.testing.assert_allclose(found[2, 5:], [-1, 1, 0], rtol=0, atol=STEPS)
    np.testing.assert_allclose(found[:2, 7], [1, 0.5], rtol=0, atol=STEPS)
