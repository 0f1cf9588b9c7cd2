"""The soak programs: a failure is seen and counted, the page says what was found, and each of them still runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import counting
import pytest
import reliability

FOLDER = Path(__file__).parent
PROGRAMS = re.search(r"^SOAKS := ?(.*)$", (FOLDER.parents[1] / "Makefile").read_text(), re.MULTILINE)[1].split()


def test_make_soak_runs_every_program():
    with_parts = {path.stem for path in FOLDER.glob("*.py") if "\nPARTS" in path.read_text(encoding="utf-8")}
    assert with_parts == set(PROGRAMS)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_few_attempts_of_every_part_hold(program):
    command = [sys.executable, FOLDER / f"{program}.py", "--quick"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ended.returncode == 0, ended.stdout


def test_a_failed_attempt_is_written_down_and_the_next_one_follows():
    count = counting.Count(what="numbers", promise="even")
    for number in (2, 3, 4):
        with count.attempt(f"number {number}"):
            assert number % 2 == 0, "odd"
    assert count.tried == 3
    (failure,) = count.failures
    assert failure.startswith("number 3: AssertionError in line ")
    assert failure.partition("\n")[0].endswith(": odd")
    assert "3 tried, 1 FAILED" in count.line()


def test_a_part_that_tries_nothing_is_no_part_that_held(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(counting, "RESULTS", tmp_path)
    parts = {"idle": lambda asked: counting.Count(what="nothing", promise="anything")}
    assert counting.main("some", parts, "", ["--quick"]) == 0
    assert "0 tried, none" in capsys.readouterr().out
    assert counting.main("some", parts, "", []) == 1


def test_what_a_machine_lacks_is_told_and_fails_only_where_all_was_to_be_tried(tmp_path, monkeypatch, capsys):
    def lacking(asked):
        with counting.Count(what="", promise="").attempt("first"):
            raise counting.NotHereError("this needs a wing")

    monkeypatch.setattr(counting, "RESULTS", tmp_path)
    parts = {"lacking": lacking, "a": part(False)}
    assert counting.main("some", parts, "", ["--quick"]) == 0
    assert "lacking, not tried here: this needs a wing: 0 tried" in capsys.readouterr().out
    assert counting.main("some", parts, "", []) == 1
    kept = json.loads((tmp_path / "some.json").read_text())
    assert kept["lacking"]["failures"] == ["not tried: this needs a wing"]
    assert kept["a"]["failures"] == []


def test_a_part_that_breaks_off_is_a_failure_and_the_next_one_follows(tmp_path, monkeypatch, capsys):
    def broken(asked):
        raise ValueError("before its first attempt")

    monkeypatch.setattr(counting, "RESULTS", tmp_path)
    assert counting.main("some", {"broken": broken, "a": part(False)}, "", []) == 1
    assert "it broke off: ValueError: before its first attempt" in capsys.readouterr().out
    kept = json.loads((tmp_path / "some.json").read_text())
    assert (len(kept["broken"]["failures"]), kept["a"]["tried"]) == (1, 5)
    with pytest.raises(SystemExit, match="2"):
        counting.main("some", {"a": part(False)}, "", ["--parts", "b"])


def test_what_a_process_holds_is_told_or_not_known(monkeypatch):
    assert 2**20 < counting.resident() < 2**40
    monkeypatch.setattr(counting, "PROC", Path("/no/proc"))
    with pytest.raises(counting.NotHereError, match="which Linux has"):
        counting.resident()


def test_an_interruption_is_no_failure_of_what_was_tried():
    count = counting.Count(what="numbers", promise="even")
    with pytest.raises(KeyboardInterrupt), count.attempt("one"):
        raise KeyboardInterrupt
    assert count.failures == []


def part(fails):
    def run(asked):
        count = counting.Count(what="tries", promise="hold")
        for number in range(asked.of(5, 2)):
            with count.attempt(str(number)):
                assert not fails
                assert asked.folder.is_dir()
        return count

    return run


@pytest.mark.parametrize(("fails", "code"), [(False, 0), (True, 1)])
def test_a_program_ends_with_what_its_parts_found(fails, code, tmp_path, monkeypatch):
    monkeypatch.setattr(counting, "RESULTS", tmp_path / "results")
    assert counting.main("some", {"a": part(False), "b": part(fails)}, "", ["--quick"]) == code
    assert not (tmp_path / "results").exists()
    assert counting.main("some", {"a": part(False)}, "", []) == 0
    assert counting.main("some", {"b": part(fails)}, "", []) == code
    kept = json.loads((tmp_path / "results" / "some.json").read_text())
    assert (kept["a"]["tried"], len(kept["b"]["failures"])) == (5, 5 * fails)


def test_the_page_says_what_was_counted():
    page = reliability.PAGE.read_text(encoding="utf-8")
    assert reliability.page(reliability.found(), page) == page, "run: python tests/soak/reliability.py"


def test_the_table_has_every_part_and_the_sum(tmp_path, monkeypatch):
    monkeypatch.setattr(counting, "RESULTS", tmp_path)
    for program, fails in (("one", False), ("two", True)):
        counting.main(program, {"a": part(fails)}, "", [])
    lines = reliability.table(reliability.found(tmp_path)).splitlines()
    assert lines[2:] == [
        "| `one` a | tries | hold | 5 | 0 |  |",
        "| `two` a | tries | hold | 5 | 5 |  |",
        "| all |  |  | 10 | 5 |  |",
    ]
