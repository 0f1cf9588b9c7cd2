import math
from pathlib import Path

import pytest

from charlm.cli.figures import duration, figure, nats_unit, size
from charlm.cli.runs import _precision
from charlm.runs import RunSummary
from charlm.simd import processor


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0:00"), (65, "1:05"), (7380, "2:03:00"), (-5, "0:00"), (None, "-"), (math.inf, "-"), (math.nan, "-")],
)
def test_duration(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (4_789_000, "4.8 MB"), (123e6, "123 MB"), (5e12, "5000 GB")],
)
def test_size(count, expected):
    assert size(count) == expected


@pytest.mark.parametrize(
    ("nats", "bits", "unit"),
    [
        (1.0, 1 / math.log(2), "nats"),
        (1.2, 1 / math.log(2), "nats/token"),
        (math.nan, math.nan, "nats"),
        (2.0, None, "nats"),
    ],
)
def test_a_loss_that_is_not_per_character_says_so(nats, bits, unit):
    assert nats_unit(nats, bits) == unit


def test_figure_has_no_nan():
    assert [figure(value) for value in (1234.5678, None, math.nan, math.inf)] == ["1,234.568", "-", "-", "-"]


def test_what_a_number_format_costs_has_no_minus_before_a_zero():
    nats = {"exact": 1.5, "int16": 1.49998, "int8": 1.4988}
    found = _precision(RunSummary(name="a", folder=Path("a"), precision_nats=nats))
    assert "int16 +0.0000 nats, int8 -0.0012 nats" in found


@pytest.mark.parametrize(("there", "taken"), [(True, "int8"), (False, "int16")])
def test_the_format_that_is_shown_is_the_one_that_this_machine_takes(there, taken, monkeypatch):
    monkeypatch.setattr(processor, "HAS_INT8", there)
    nats = {"exact": 1.5, "int16": 1.5, "int8": 1.5}
    assert _precision(RunSummary(name="a", folder=Path("a"), precision_nats=nats)).startswith(f"{taken} (")
