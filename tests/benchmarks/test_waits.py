"""Waits: both sides in turns, what they give compared, what is waited for, the slowest first."""

import pytest
import waits
from harness.user_waits import CASES
from harness.waiting import Checkout, Said
from harness.waits_rows import slowest_first

CHECKOUT = str(waits.ROOT)


def test_two_sides_take_turns_and_must_agree(quick):
    printed, found = quick(waits, "--before", CHECKOUT, "--cases", "version,encode-5mb")
    version, encoding = found["cases"]["version"], found["cases"]["encode-5mb"]
    assert set(version["sides"]) == {"before", "now"} == set(encoding["sides"])
    assert encoding["checks"] == {"results that differ": [0, 0]}
    assert "`charlm --version`" in printed


def test_sides_that_give_something_else_are_not_written(tmp_path, monkeypatch, capsys):
    def other(side, code, *arguments):
        return 1.0, side.folder.name

    monkeypatch.setattr(Checkout, "snippet", other)
    arguments = ["--quick", "--before", CHECKOUT, "--cases", "encode-5mb", "--results", str(tmp_path)]
    assert waits.main(arguments) == 1
    assert "encode-5mb: results that differ" in capsys.readouterr().err
    assert not (tmp_path / "waits.json").exists()


def test_what_was_said_when():
    said = Said()
    for data, now in ((b"on", 1.0), (b"e, tw", 2.0), (b"o", 3.0)):
        said.add(data, now)
    assert [said.when(words) for words in (b"", b"o", b"one", b"two", b"three")] == [1.0, 1.0, 2.0, 3.0, None]


def test_a_wait_ends_with_what_is_said_and_counts_from_it(tmp_path):
    side = Checkout(code=waits.ROOT, folder=tmp_path)
    code = "print('one', flush=True); print('two', flush=True); import time; time.sleep(60); 1 / 0"
    assert side.seconds(["-c", code], until="two") < 60  # stopped before it fails
    done = "import time; print('one', flush=True); time.sleep(.1)"
    assert side.seconds(["-c", done], after="one") >= 0.1


@pytest.mark.parametrize(
    ("code", "asked", "words"),
    [
        ("1 / 0", {}, "ended with 1: .*ZeroDivisionError"),
        ("print('one')", {"until": "two"}, "never said 'two'"),
        ("print('one')", {"after": "two"}, "never said 'two'"),
    ],
)
def test_a_command_that_fails_is_no_wait(tmp_path, code, asked, words):
    with pytest.raises(RuntimeError, match=f"(?s){words}"):
        Checkout(code=waits.ROOT, folder=tmp_path).seconds(["-c", code], **asked)


def side(median, times):
    return {"median": median, "times": times}


def test_the_slowest_before_stand_first_and_ten_of_them():
    cases = {
        n: {"title": f"wait {n}", "sides": {"before": side(float(n), 1.0), "now": side(0.05, 0.5)}}
        for n in range(1, 13)
    }
    lines = slowest_first({"cases": cases})
    assert lines[2] == "| wait 12 | 12.00 | 0.050 | 0.50 |"
    assert lines.index("The rest:") == 2 + 10 + 1
    assert lines[-1] == "| wait 1 | 1.00 | 0.050 | 0.50 |"
    assert (
        slowest_first({"cases": {1: {"title": "alone", "sides": {"now": side(2.0, 1.0)}}}})[2]
        == "| alone | – | 2.00 | – |"
    )


def test_every_title_is_its_own():
    assert len({wait.title for wait in CASES.values()}) == len(CASES)
