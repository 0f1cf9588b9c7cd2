"""The pages say what the results say."""

import re

import pytest
import report

RESULTS = report.read_results()


def test_pages_and_charts_say_what_was_measured():
    assert report.out_of_date(RESULTS) == [], "run: python benchmarks/report.py"


def side(median, times):
    return {"median": median, "lowest": median, "highest": 2 * median, "repeats": 3, "times": times}


def found(note=""):
    """Results of a program as the harness writes them."""
    case = {
        "title": "lstm",
        "unit": "characters/s",
        "reference": "nn",
        "sides": {"nn": side(100, 1.0), "onnx": side(150, 1.5), "charlm a": side(200, 2.0), "charlm b": side(300, 3.0)},
        "figures": {"share": 12.5},
        "checks": {"losses": [0.01, 0.5]},
    }
    machine = {"cores": 2, "processor": "P", "features": ["avx2"], "system": "Linux", "packages": {"torch": "2"}}
    return {"note": note, "machine": machine, "settings": {}, "cases": {"one": case}}


def test_a_figure_that_changes_shows_in_page_and_chart():
    names = {path.name for path in report.out_of_date(RESULTS | {"training": found()})}
    assert {"benchmarks.md", "benchmarks-training.svg"} <= names
    lines = report.training({"training": found("noisy")})
    assert lines[0] == "**noisy**"
    assert "| charlm b | 300 (3.00x) |" in lines
    assert "| share | 12.5 |" in lines
    assert lines[-1] == "Largest differences found between the sides: 0.01 where 0.5 is allowed."
    assert "differ by 100% of its median in the middle, 100% at most" in "".join(lines)


def test_every_table_stands_on_a_page_and_no_marker_is_unknown():
    pages = "".join((report.ROOT / page).read_text(encoding="utf-8") for page in report.PAGES)
    assert {name for _, name, _ in report.MARKED.findall(pages)} == set(report.TABLES)
    assert len(re.findall("<!-- results:", pages)) == len(report.TABLES)


def test_what_was_not_measured_is_called_so():
    page = "before\n<!-- results: training -->\nold\n<!-- end of results -->\nafter\n"
    rendered = report.rendered(page, {"training": {}})
    assert (
        rendered == f"before\n<!-- results: training -->\n\n{report.NOT_MEASURED}\n\n<!-- end of results -->\nafter\n"
    )
    with pytest.raises(KeyError):
        report.rendered(page.replace("training", "nothing"), {})


def test_the_summary_takes_charlms_fastest_side_and_the_fastest_other():
    lines = report.summary({"training": found("noisy"), "sampling": {}})
    assert lines[0] == "**noisy**\n"
    assert lines[-1] == "| training, lstm | 100 | 150 (onnx) | – | 300 (b) | 3.0, 2.0 |"
