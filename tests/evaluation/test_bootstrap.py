import numpy as np
import pytest

from charlm.evaluation.bootstrap import FEWEST_BLOCKS, MOST_BLOCKS, block_length, bootstrap_interval


def losses(rng, predictions: int, stays: int = 50) -> np.ndarray:
    """Skewed losses of mean 1.5 whose difficulty drifts over some 50 symbols, as a text's does."""
    drift = np.repeat(rng.gamma(4.0, 0.25, -(-predictions // stays)), stays)[:predictions]
    return drift * rng.exponential(1.5, len(drift))


@pytest.mark.parametrize(
    ("predictions", "stays"), [(3_000, 50), (15_000, 50), (60_000, 50), (3_000, 200), (15_000, 400)]
)
def test_covers_the_truth_19_times_in_20(predictions, stays):
    """Also where the text's difficulty stays for most of a block, so that neighbouring blocks are alike."""
    rng = np.random.default_rng(predictions)
    length = block_length(predictions)
    covered = 0
    for _ in range(300):
        blocks = losses(rng, predictions, stays).reshape(-1, length).sum(axis=1)
        low, high = bootstrap_interval(blocks, np.full(len(blocks), length))
        covered += low <= 1.5 <= high
    assert 0.915 <= covered / 300 <= 0.98  # 0.95, give or take what 300 draws allow, and a little for skew


def test_blocks_of_unequal_worth():
    """nats per character is a ratio of sums: blocks that hold more characters, and so more nats, do not widen it."""
    characters = np.array([100, 1000] * 20)
    assert bootstrap_interval(1.5 * characters, characters) == pytest.approx((1.5, 1.5))
    nats = np.where(characters == 100, 5.0, 1.0) * characters
    low, high = bootstrap_interval(nats, characters)
    assert low < nats.sum() / characters.sum() < high < np.mean(nats / characters)


def test_lies_within_what_blocks_have():
    """However alike neighbours are: all of the loss in a row of blocks, and none elsewhere."""
    nats, characters = np.zeros(30), np.full(30, 100)
    nats[10:13] = 300.0
    low, high = bootstrap_interval(nats, characters)
    assert 0 <= low < 0.3 < high <= 3.0
    # neighbours that are unlike make no interval narrower than blocks drawn singly
    nats = np.array([100.0, 200.0] * 15)
    low, high = bootstrap_interval(nats, characters)
    assert high - low == pytest.approx(np.ptp(bootstrap_interval(np.sort(nats), characters)) / 2**0.5, rel=0.05)


def test_is_the_same_every_time_and_leaves_the_global_generator_alone():
    nats, characters = losses(np.random.default_rng(1), 20_000).reshape(-1, 500).sum(axis=1), np.full(40, 500)
    np.random.seed(3)
    state = np.random.get_state()[1].copy()
    assert bootstrap_interval(nats, characters) == bootstrap_interval(nats, characters)
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize(
    ("nats", "characters"),
    [
        (np.ones(FEWEST_BLOCKS - 1), np.ones(FEWEST_BLOCKS - 1)),
        (np.empty(0), np.empty(0)),
        (np.full(50, np.nan), np.ones(50)),
        (np.full(50, np.inf), np.ones(50)),
        (np.ones(50), np.zeros(50)),
    ],
)
def test_none_where_nothing_can_be_said(nats, characters):
    assert bootstrap_interval(nats, characters) is None


@pytest.mark.parametrize(
    ("predictions", "length"),
    [(0, 250), (2_499, 250), (15_000, 500), (30_000, 1000), (10**6, 1000), (10**10, 5 * 10**6)],
)
def test_block_length(predictions, length):
    assert block_length(predictions) == length
    assert predictions / length <= MOST_BLOCKS
