"""Lanes: every id used, state always that of the text before, resumed at the exact place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import ConfigError, CorpusError, RunError
from charlm.streams import Lanes

DTYPES = st.sampled_from([np.uint8, np.uint16, np.uint32, np.int64])


@st.composite
def texts_and_lanes(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Distinct ids, so that an id tells its place, and a number of lanes that fits."""
    length = draw(st.integers(2, 200))
    ids = np.random.default_rng(length).permutation(256)[:length].astype(draw(DTYPES))
    return ids, draw(st.integers(1, length - 1))


def test_by_hand() -> None:
    lanes = Lanes(np.array([10, 11, 12, 13, 14, 15, 16], dtype=np.uint8), 2)
    inputs, targets = lanes.next(2)
    assert inputs.tolist() == [[10, 11], [13, 14]]
    assert targets.tolist() == [[11, 12], [14, 15]]
    inputs, targets = lanes.next(3)
    # lane 0 runs on into lane 1's text; lane 1 reaches the last prediction and begins again
    assert inputs.tolist() == [[12, 13, 14], [15, 10, 11]]
    assert targets.tolist() == [[13, 14, 15], [16, 11, 12]]
    assert lanes.epoch == 5 * 2 / 6


@given(case=texts_and_lanes(), windows=st.lists(st.integers(1, 90), min_size=1, max_size=8))
def test_against_a_plain_reader(case: tuple[np.ndarray, int], windows: list[int]) -> None:
    ids, batch_size = case
    predictions = len(ids) - 1
    lanes = Lanes(ids, batch_size)
    read = 0
    for length in windows:
        inputs, targets = lanes.next(length)
        assert inputs.dtype == targets.dtype == np.int64
        assert inputs.flags.c_contiguous
        assert targets.flags.c_contiguous
        for lane in range(batch_size):
            places = [(lane * predictions // batch_size + read + t) % predictions for t in range(length)]
            assert inputs[lane].tolist() == [ids[place] for place in places]
            assert targets[lane].tolist() == [ids[place + 1] for place in places]
        read += length
        assert lanes.epoch == read * batch_size / predictions


@given(case=texts_and_lanes(), length=st.integers(1, 50))
def test_every_prediction_is_used_equally(case: tuple[np.ndarray, int], length: int) -> None:
    ids, batch_size = case
    predictions = len(ids) - 1
    lanes = Lanes(ids, batch_size)
    seen: Counter[tuple[int, int]] = Counter()
    for _ in range(predictions):
        inputs, targets = lanes.next(length)
        seen.update(zip(inputs.ravel().tolist(), targets.ravel().tolist(), strict=True))
    # each lane went `length` times around the text
    expected = dict.fromkeys(zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True), length * batch_size)
    assert seen == expected


@given(case=texts_and_lanes())
def test_one_epoch_leaves_no_prediction_out(case: tuple[np.ndarray, int]) -> None:
    ids, batch_size = case
    lanes = Lanes(ids, batch_size)
    used: set[int] = set()
    while lanes.epoch < 1:
        used.update(lanes.next(1)[1].ravel().tolist())
    assert used == set(ids[1:].tolist())


@given(
    case=texts_and_lanes(),
    before=st.lists(st.integers(1, 90), max_size=6),
    after=st.lists(st.integers(1, 90), min_size=1, max_size=6),
)
def test_resumes_at_the_exact_place(case: tuple[np.ndarray, int], before: list[int], after: list[int]) -> None:
    lanes = Lanes(*case)
    for length in before:
        lanes.next(length)
    resumed = Lanes(*case)
    resumed.load_state_dict(lanes.state_dict())
    assert resumed.epoch == lanes.epoch
    for length in after:
        for mine, theirs in zip(lanes.next(length), resumed.next(length), strict=True):
            assert np.array_equal(mine, theirs)


def test_a_resumed_place_far_out_is_exact() -> None:
    ids = np.arange(100, dtype=np.uint8)
    lanes = Lanes(ids, 7)
    lanes.load_state_dict({**lanes.state_dict(), "position": 99 * 10**14 + 3})
    near = Lanes(ids, 7)
    near.next(3)
    assert np.array_equal(lanes.next(40)[0], near.next(40)[0])


@pytest.mark.parametrize("length", [0, 1])
def test_nothing_to_predict(length: int) -> None:
    with pytest.raises(CorpusError, match=f"a text of {length} symbols has nothing to predict: 2 is the least"):
        Lanes(np.zeros(length, dtype=np.uint8), 1)


def test_more_lanes_than_fit() -> None:
    ids = np.arange(11, dtype=np.uint8)
    with pytest.raises(ConfigError, match=r"batch_size 64 is too large for a text of 11 symbols: .* that fits is 10$"):
        Lanes(ids, 64)
    assert Lanes(ids, 10).next(3)[0].shape == (10, 3)
    with pytest.raises(ConfigError, match="batch_size must be a whole number >= 1, was 0"):
        Lanes(ids, 0)
    with pytest.raises(ConfigError, match="window_length must be a whole number >= 1, was 0"):
        Lanes(ids, 2).next(0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"position": -1}, RunError, "lanes: position must be a whole number, was '-1'"),
        ({"position": 1.0}, RunError, "lanes: position must be a whole number, was '1.0'"),
        ({"position": True}, RunError, "lanes: position must be"),
        ({"position": 10**30}, RunError, "lanes: position must be"),
        ({"batch_size": None}, RunError, "lanes: batch_size must be"),
        ({"predictions": 51}, CorpusError, "the training text has 51 symbols, at the checkpoint it had 52"),
        ({"batch_size": 5}, ConfigError, "batch_size is 4, at the checkpoint it was 5"),
    ],
)
def test_a_place_in_something_else_is_refused(change: dict[str, object], error: type[Exception], message: str) -> None:
    lanes = Lanes(np.arange(51, dtype=np.uint8), 4)
    lanes.next(3)
    before = lanes.state_dict()
    with pytest.raises(error, match=message):
        lanes.load_state_dict({**before, **change})
    assert lanes.state_dict() == before


def test_a_text_of_ten_gigabytes_is_not_read_whole(tmp_path: Path) -> None:
    size = 10**10
    path = tmp_path / "sparse.bin"
    with path.open("wb") as file:
        file.truncate(size)
        for lane in range(64):
            file.seek(lane * (size - 1) // 64)
            file.write(bytes([lane + 1, lane + 101]))
    lanes = Lanes(np.memmap(path, dtype=np.uint8, mode="r"), 64)
    inputs, targets = lanes.next(64)
    assert inputs[:, 0].tolist() == list(range(1, 65))
    assert targets[:, 0].tolist() == list(range(101, 165))
    assert not inputs[:, 2:].any()
