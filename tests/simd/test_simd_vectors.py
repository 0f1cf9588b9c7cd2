"""Vectors against NumPy and torch: formats, operators, sums, comparisons."""

import itertools
import operator

import numpy as np
import pytest
import torch

from charlm.simd import (
    HAS_BFLOAT16,
    WIDTH,
    compiled,
    copy_pairs,
    empty_floats,
    empty_shorts,
    fill,
    largest,
    load,
    smallest,
    store,
    store_pairs,
    total,
    turn,
    where_at_least,
    where_positive,
)

SPECIAL = np.array([-np.inf, -3.4e38, -1.5, -0.0, 0.0, 1e-30, 1.0, 3.4e38, np.inf, np.nan], np.float32)
OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv]
# the processor itself converts to bfloat16, or nothing does: without it no kernel takes that format
ROUNDED = [np.uint16] if HAS_BFLOAT16 else []


def as_bfloat16(array):
    """uint16 that hold bfloat16, as torch's numbers."""
    return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)


def same(found, expected):
    """Equal bit for bit but for the sign of zero, and nan where nan is."""
    np.testing.assert_array_equal(found, expected, strict=True)


def pairs_of(values):
    """Every value beside every other: two flat arrays of whole vectors."""
    left, right = np.array(list(itertools.product(values, values)), np.float32).T
    room = -len(left) % WIDTH
    return np.pad(left, (0, room)), np.pad(right, (0, room))


@compiled
def convert(source, source_begin, target, target_begin, count):
    for place in range(0, count, WIDTH):
        store(target, target_begin + place, load(source, source_begin + place))


@compiled
def calculate(a, b, scalar, whole, out, count):
    """Everything that operators do; one row of `out` for each."""
    for place in range(0, count, WIDTH):
        x, y = load(a, place), load(b, place)
        store(out, place, x + y)
        store(out, count + place, x - y)
        store(out, 2 * count + place, x * y)
        store(out, 3 * count + place, x / y)
        store(out, 4 * count + place, x + scalar)
        store(out, 5 * count + place, x - scalar)
        store(out, 6 * count + place, x * scalar)
        store(out, 7 * count + place, x / scalar)
        store(out, 8 * count + place, whole + x)
        store(out, 9 * count + place, whole - x)
        store(out, 10 * count + place, whole * x)
        store(out, 11 * count + place, whole / x)
        store(out, 12 * count + place, -x)
        store(out, 13 * count + place, fill(scalar))


@compiled
def compare(a, b, out, count):
    for place in range(0, count, WIDTH):
        x, y = load(a, place), load(b, place)
        store(out, place, largest(x, y))
        store(out, count + place, smallest(x, y))
        store(out, 2 * count + place, where_positive(x, y))


@compiled
def add_up(array, sums):
    for index in range(len(sums)):
        sums[index] = total(load(array, index * WIDTH))


@pytest.mark.parametrize("kind", [np.float32, *ROUNDED])
def test_vectors_go_to_their_place_and_leave_the_rest(kind):
    source, target = (2**14 + np.arange(5 * WIDTH)).astype(kind), np.full(5 * WIDTH, 77, kind)
    convert(source, 3, target, 5, 2 * WIDTH)
    same(target[5 : 5 + 2 * WIDTH], source[3 : 3 + 2 * WIDTH])
    assert set(target[:5]) | set(target[5 + 2 * WIDTH :]) == {77}


def test_every_bfloat16_is_read_as_what_it_is():
    every = np.arange(2**16, dtype=np.uint16)
    found = np.empty(2**16, np.float32)
    convert(every, 0, found, 0, 2**16)
    same(found, as_bfloat16(every).float().numpy())


@pytest.mark.parametrize("kind", ROUNDED)
def test_numbers_are_rounded_to_the_nearest_even_bfloat16(kind):
    """All upper halves of a float32 with lower halves around the middle, which goes to the even neighbour."""
    upper, lower = np.arange(2**16, dtype=np.uint32), np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    numbers = (upper[:, None] << 16 | lower).reshape(-1).view(np.float32)
    found = np.empty(numbers.size, kind)
    convert(numbers, 0, found, 0, numbers.size)
    expected = torch.from_numpy(numbers).bfloat16()
    denormal = np.abs(numbers) < np.finfo(np.float32).tiny  # these the processor takes for zero
    expected[torch.from_numpy(denormal)] = 0
    same(as_bfloat16(found).float().numpy(), expected.float().numpy())


@pytest.mark.filterwarnings("ignore:.*encountered")
def test_operators_compute_what_numpy_does():
    draws = np.random.default_rng(1)
    a, b = pairs_of([*SPECIAL, *draws.standard_normal(12)])
    scalar, whole = np.float32(0.37), 3
    out = np.empty((14, a.size), np.float32)
    calculate(a, b, scalar, whole, out.reshape(-1), a.size)
    expected = [
        *(function(a, b) for function in OPERATORS),
        *(function(a, scalar) for function in OPERATORS),
        *(function(np.float32(whole), a) for function in OPERATORS),
        -a,
        np.full_like(a, scalar),
    ]
    for found, wanted in zip(out, expected, strict=True):
        same(found, wanted)


def test_of_two_numbers_the_second_where_one_is_nan():
    a, b = pairs_of(SPECIAL)
    out = np.empty((3, a.size), np.float32)
    compare(a, b, out.reshape(-1), a.size)
    same(out[0], np.where(a > b, a, b))
    same(out[1], np.where(a < b, a, b))
    same(out[2], np.where(a > 0, b, np.float32(0)))
    assert np.isnan(out[0][np.isnan(b)]).all()


@pytest.mark.filterwarnings("ignore:.*encountered")
def test_a_sum_is_made_in_pairs():
    """Halves are added, then their halves: what it is bit for bit does not depend on the compiler."""
    draws = np.random.default_rng(2)
    rows = (draws.standard_normal((50, WIDTH)) * 10.0 ** draws.integers(-8, 8, (50, WIDTH))).astype(np.float32)
    rows[0, 1], rows[1, 0], rows[2, :2] = np.nan, np.inf, (np.inf, -np.inf)
    sums = np.empty(50, np.float32)
    add_up(rows.reshape(-1), sums)
    while rows.shape[1] > 1:
        half = rows.shape[1] // 2
        rows = rows[:, :half] + rows[:, half:]
    same(sums, rows[:, 0])
    assert np.isnan(sums[[0, 2]]).all()
    assert sums[1] == np.inf


@compiled
def in_turns(a, b, out, begin):
    store_pairs(out, begin, load(a, 0), load(b, 0))


@pytest.mark.parametrize("kind", ROUNDED)
def test_pairs_hold_a_number_of_each_in_turns_rounded_as_torch_rounds(kind):
    a, b = np.random.default_rng(1).normal(size=(2, WIDTH)).astype(np.float32)
    out = np.full(4 * WIDTH, 7, kind)
    in_turns(a, b, out, WIDTH)
    expected = torch.from_numpy(np.stack([a, b], 1).reshape(-1)).bfloat16()
    same(as_bfloat16(out)[WIDTH : 3 * WIDTH].float().numpy(), expected.float().numpy())
    assert (out[:WIDTH] == 7).all()
    assert (out[3 * WIDTH :] == 7).all()


@compiled
def kept(coins, begin, least, values, out):
    store(out, 0, where_at_least(coins, begin, least, load(values, 0)))


@pytest.mark.parametrize("least", [-(2**15), -7, 0, 3, 2**15 - 1])
def test_numbers_stay_where_their_coin_is_not_below(least):
    coins = np.random.default_rng(2).integers(-9, 9, 3 * WIDTH).astype(np.int16)
    coins[5], coins[6] = -(2**15), 2**15 - 1
    values = np.arange(1, WIDTH + 1, dtype=np.float32)
    out = np.empty(WIDTH, np.float32)
    kept(coins, 3, least, values, out)
    same(out, np.where(coins[3 : 3 + WIDTH] >= least, values, np.float32(0)))


@compiled
def turn_square(source, source_offset, source_stride, target, offset, stride):
    turn(source, source_offset, source_stride, target, offset, stride)


@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_a_square_is_turned_about_its_diagonal(kind):
    """Of float32 a square of numbers, else one of pairs; what lies beside it stays as it was."""
    pair = 4 // np.dtype(kind).itemsize
    stride, wider = (WIDTH + 3) * pair, (WIDTH + 5) * pair
    source = np.arange(1, 7 + WIDTH * stride, dtype=kind)
    target = np.zeros(5 + WIDTH * wider, kind)
    turn_square(source, 6, stride, target, 5, wider)
    square = source[6:].reshape(WIDTH, -1, pair)[:, :WIDTH]
    found = target[5:].reshape(WIDTH, -1, pair)
    assert np.array_equal(found[:, :WIDTH], square.transpose(1, 0, 2))
    assert not target[:5].any()
    assert not found[:, WIDTH:].any()


@compiled
def take_turns(source, first, second, target, offset):
    copy_pairs(source, first, second, target, offset)


def test_two_vectors_are_copied_in_turns():
    source, target = np.arange(100, dtype=np.uint16), np.zeros(3 + 2 * WIDTH, np.uint16)
    take_turns(source, 60, 7, target, 3)
    pairs = np.stack([source[60 : 60 + WIDTH], source[7 : 7 + WIDTH]], axis=1)
    assert np.array_equal(target[3:], pairs.reshape(-1))
    assert not target[:3].any()


@compiled
def room_for(count, found):
    floats, shorts = empty_floats(count), empty_shorts(count)
    found[0], found[1] = floats.ctypes.data % 64, shorts.ctypes.data % 64
    found[2], found[3] = len(floats), len(shorts)
    floats[:], shorts[:] = 1, 1


@pytest.mark.parametrize("count", [1, 31, 4096])
def test_work_space_begins_with_a_cache_line(count):
    found = np.full(4, -1, np.int64)
    for _ in range(5):
        room_for(count, found)
        assert found.tolist() == [0, 0, count, count]
