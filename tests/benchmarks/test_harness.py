"""Sides take turns, rates are what was done by the time it took, records say what was found."""

import argparse
import collections
import dataclasses
import json
import os
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from harness import limits
from harness.chart import bars
from harness.command import cost_of
from harness.limits import PRODUCTS, product_peaks, read_bandwidth, readers
from harness.operations import per_character
from harness.program import finish, options
from harness.record import Case, load, save
from harness.table import aligned, case_lines, markdown, number
from harness.texts import SYMBOLS, made_up_text, open_data, write_text
from harness.tile_product import tile_product
from harness.timing import Rates, Side, measure, rounded
from harness.turns import Apart

from charlm.config import ModelConfig
from charlm.models import LanguageModel
from charlm.simd import HAS_BFLOAT16


class Clock:
    """Time that passes only when somebody works."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def __call__(self):
        return self.now

    def side(self, name, seconds, unit=1.0):
        def run(count):
            self.log.append((name, count))
            self.now += count * seconds

        return Side(run, unit)


def test_sides_take_turns_and_each_round_begins_with_another():
    clock = Clock()
    sides = {"slow": clock.side("slow", 0.5), "fast": clock.side("fast", 0.125)}
    found = measure(sides, repeats=3, seconds=1.0, clock=clock)
    assert clock.log[-6:] == [("slow", 2), ("fast", 8), ("fast", 8), ("slow", 2), ("slow", 2), ("fast", 8)]
    assert found["slow"].values == (2.0, 2.0, 2.0)
    assert found["fast"].over(found["slow"]).values == (4.0, 4.0, 4.0)


def test_rates_are_in_the_sides_unit_and_a_turn_is_never_empty():
    clock = Clock()
    found = measure({"one": clock.side("one", 3.0, unit=600.0)}, repeats=2, seconds=1.0, clock=clock)
    assert found["one"].values == (200.0, 200.0)
    assert clock.log[-1] == ("one", 1)


def test_a_very_short_unit_is_counted_until_it_can_be_timed():
    clock = Clock()
    measure({"one": clock.side("one", 1e-6)}, repeats=1, seconds=0.1, clock=clock)
    assert clock.log[-1][1] == pytest.approx(100_000, rel=0.01)


def test_ratios_are_taken_within_a_round():
    # both sides were disturbed in the second round: the rates vary, their ratio does not
    assert Rates((200.0, 20.0)).over(Rates((100.0, 10.0))).values == (2.0, 2.0)


@pytest.mark.parametrize(("value", "shown"), [(123456.0, 123500), (0.00123456, 0.001235), (99.999, 100.0), (0, 0)])
def test_four_digits_are_kept(value, shown):
    assert rounded(value) == shown


def case(gap=0.0):
    return Case(
        title="a & b",
        sides={"them": Rates((10.0, 20.0, 30.0)), "charlm": Rates((20.0, 60.0, 90.0))},
        reference="them",
        figures={"share": 12.3456, "format": "bfloat16"},
        checks={"losses": (gap, 0.5)},
    )


def test_a_case_in_json_and_in_print():
    found = case().to_json()
    assert found["sides"]["charlm"] == {"median": 60.0, "lowest": 20.0, "highest": 90.0, "repeats": 3, "times": 3.0}
    assert found["figures"] == {"share": 12.35, "format": "bfloat16"}
    text = "\n".join(case_lines(case()))
    assert "3.00" in text
    assert "FAILED" not in text
    assert "FAILED" in "\n".join(case_lines(case(gap=0.6)))


@pytest.mark.parametrize("gap", [0.6, float("nan")])
def test_what_does_not_compute_the_same_is_not_written(tmp_path, capsys, gap):
    asked = options("a program").parse_args(["--results", str(tmp_path)])
    assert finish("program", {"one": case(gap)}, asked, {}) == 1
    assert "losses" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert finish("program", {"one": case(0.1)}, asked, {}) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["program.json"]


def test_quick_writes_nothing_unless_told_where(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.program.RESULTS", tmp_path)
    assert finish("program", {"one": case()}, options("a program").parse_args(["--quick"]), {}) == 0
    assert list(tmp_path.iterdir()) == []


def test_cases_not_measured_again_stay(tmp_path):
    save(tmp_path, "program", {"one": case(), "two": case()}, settings={}, note="first")
    again = case()
    again.title = "new"
    path = save(tmp_path, "program", {"two": again}, settings={}, note="second")
    found = load(path)
    assert [found["cases"][name]["title"] for name in ("one", "two")] == ["a & b", "new"]
    assert found["note"] == "first; second"
    assert found["machine"]["packages"]["torch"]
    assert load(save(tmp_path, "program", {"one": again, "two": again}, settings={}, note="third"))["note"] == "third"
    assert load(tmp_path / "none.json") == {}


def test_cases_of_two_machines_do_not_stand_under_one_heading(tmp_path, monkeypatch, capsys):
    asked = argparse.Namespace(results=tmp_path, quick=False, note="")
    assert finish("program", {"one": case(), "two": case()}, asked, {}) == 0
    before = (tmp_path / "program.json").read_text()
    monkeypatch.setattr("harness.record.machine_facts", lambda: {"processor": "another"})
    assert finish("program", {"two": case()}, asked, {}) == 1
    assert "has cases of another machine (one): measure all, or give --results" in capsys.readouterr().err
    assert (tmp_path / "program.json").read_text() == before
    assert finish("program", {"one": case(), "two": case()}, asked, {}) == 0


def test_tables():
    assert aligned([("a", "1"), ("long", "200")]) == ["a       1", "long  200"]
    assert markdown([("a", "b"), ("c", "d")]) == ["| a | b |", "|---|---|", "| c | d |"]
    assert [number(value) for value in (12345.6, 99.96, 1.234, "x")] == ["12,346", "100.0", "1.23", "x"]


def test_a_chart_has_a_bar_for_each_side_in_proportion():
    root = ElementTree.fromstring(bars({"cases": {"one": case().to_json()}}, "a chart"))
    found = [(bar.get("class"), float(bar.get("width"))) for bar in root.findall(".//{*}rect")]
    widths = {name: width for name, width in found if name != "card"}
    assert widths["own"] == pytest.approx(3 * widths["other"], abs=0.2)
    texts = [text.text for text in root.findall(".//{*}text")]
    assert texts == ["a & b", "them", "20.0 · 1.0x", "charlm", "60.0 · 3.0x"]
    assert "prefers-color-scheme: dark" in root.find("{*}style").text


def test_a_chart_of_nothing_says_so():
    root = ElementTree.fromstring(bars({}, "a chart"))
    assert [text.text for text in root.findall(".//{*}text")] == ["Not measured yet"]


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3), ("elman", 1)])
def test_operations_are_those_of_the_products(cell, gates):
    V, H, window = 65, 32, 640
    every = 2 * gates * H * H + gates * H * H + V * H  # two recurrent products, the upper input, the output
    table = V * gates * H * H / window
    model = ModelConfig(cell=cell, hidden_size=H)
    assert per_character(model, V, window) == 6 * (every + table)
    assert per_character(model, V, window) < 6 * LanguageModel(model, V).count_parameters()
    # what n-grams add: D columns of the first layer's input, D of the output's
    with_ngrams = dataclasses.replace(model, ngram_embedding_size=8)
    assert per_character(with_ngrams, V, window) == 6 * (every + table + 8 * gates * H + 8 * V)


def test_every_reader_reads_all_of_the_array():
    array = np.arange(1000, dtype=np.float32)
    assert readers()["numpy"](array, 3) == 3 * array.sum()
    # one pass begins at 0, the next at 1, ...
    assert readers()["numba, sum"](array, 3) == 3 * array.sum() + 3
    words = np.bitwise_xor.reduce(array.view(np.int32))
    assert readers()["numba, bits"](array, 2) == int(words) + int(words ^ 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_charlms_tiles_multiply_all_of_it(dtype):
    shape = (101, 32, 128)
    run = tile_product(dtype, shape)
    if run is None:
        # the one reason there is: this processor does not multiply bfloat16
        assert dtype == torch.bfloat16
        assert not HAS_BFLOAT16
        return
    run(2)
    assert sum(map(len, run.results)) == 101 * 128
    assert all((result == 32).all() for result in run.results)
    assert tile_product(dtype, (101, 32, 100)) is None


def test_limits_are_the_best_of_all_ways(monkeypatch):
    def instant(dtype, shape):
        def run(count):
            for _ in range(count):
                pass

        return run

    # what the processor has no instructions for is nobody's limit
    monkeypatch.setattr(limits, "is_emulated", lambda dtype: dtype == torch.bfloat16)
    assert list(product_peaks(1, quick=True, repeats=1, seconds=0.001)) == ["fp32"]
    monkeypatch.setattr(limits, "is_emulated", lambda dtype: False)
    monkeypatch.setitem(PRODUCTS, "instant", instant)
    peaks = product_peaks(1, quick=True, repeats=1, seconds=0.001)
    monkeypatch.delitem(PRODUCTS, "instant")
    slower = product_peaks(1, quick=True, repeats=1, seconds=0.001)
    assert all(peaks[name] > 10 * slower[name] > 0 for name in ("fp32", "bf16"))
    assert read_bandwidth(2**16, threads=2, repeats=1, seconds=0.001) > 0


def test_the_made_up_text_is_always_the_same_and_has_every_symbol(tmp_path, monkeypatch):
    text = made_up_text(20_000)
    assert text == made_up_text(20_000) != made_up_text(20_000, seed=2)
    assert len(text) == 20_000
    assert set(text) == set(SYMBOLS)
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path))
    data = open_data(str(write_text(tmp_path, 20_000)))
    assert data.tokenizer.vocab_size == 65
    assert len(data.store.part("train")) == 18_000


def test_a_command_is_timed_and_its_own_memory_counted(tmp_path):
    script = "import sys, time; sys.stdout.write('x'); sys.stdout.flush(); time.sleep(0.3); b = bytearray(2**26)"
    small = cost_of([sys.executable, "-S", "-c", "print('hello')"], tmp_path)
    large = cost_of([sys.executable, "-S", "-c", script], tmp_path)
    assert small.written == len("hello\r\n")  # a terminal
    assert large.first_seconds + 0.3 <= large.seconds
    # subtle: this process has torch in it; a child started by it directly would be counted with all of that
    assert small.peak_bytes < 2**26 < large.peak_bytes
    with pytest.raises(RuntimeError, match="ended with 3: so it is"):
        cost_of([sys.executable, "-c", "import sys; sys.stderr.write('so it is'); sys.exit(3)"], tmp_path)
    assert json.loads((tmp_path / "cost.json").read_text())[3] == 3


def test_an_object_in_a_process_of_its_own_keeps_its_state_and_tells_its_errors():
    with Apart(collections.Counter, "aab") as letters:
        assert letters.ask("most_common", 1) == [("a", 2)]
        letters.ask("update", "bbb")
        with pytest.raises(RuntimeError, match=r"^AttributeError: .*no attribute 'nothing'"):
            letters.ask("nothing")
        assert letters.ask("most_common") == [("b", 4), ("a", 2)]
    with Apart(os._exit, 3) as gone, pytest.raises(RuntimeError, match="ended with code 3"):
        gone.ask("anything")
