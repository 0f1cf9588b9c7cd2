import pytest

from charlm.cli import console
from charlm.cli.progress import BarProgress, LineProgress, NoProgress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("charlm.cli.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr(console, "terminal_width", lambda stream: 80)
    return now


def test_a_bar_fits_its_line_and_is_wiped(clock, capsys):
    bar = BarProgress()
    bar.start("fetching \x1b[2J[/x]", 4000)
    bar.advance(1000)  # too soon to draw
    assert capsys.readouterr().err == ""
    clock[0] += 1
    bar.advance(1000)
    drawn = capsys.readouterr().err
    assert drawn.startswith("\r\x1b[K 50 %  ━━━━")
    assert "fetching \\x1b[2J[/x]" in drawn
    assert console.width_of(drawn.removeprefix("\r\x1b[K")) < 80
    console.note("an error")  # what comes between wipes the bar first
    assert capsys.readouterr().err == "\r\x1b[Kan error\n"
    bar.finish()
    assert capsys.readouterr().err == ""


def test_a_narrow_terminal_has_the_share_alone(clock, capsys, monkeypatch):
    monkeypatch.setattr(console, "terminal_width", lambda stream: 20)
    bar = BarProgress()
    bar.start("fetching something long", 4000)
    clock[0] += 1
    bar.advance(2000)
    assert capsys.readouterr().err == "\r\x1b[K 50 %  fetching som"
    bar.finish()


def test_a_bar_without_a_total_counts(clock, capsys):
    bar = BarProgress()
    bar.start("reading", None)
    assert capsys.readouterr().err == "\r\x1b[Kreading"  # at once: it may be all that there is to tell
    clock[0] += 1
    bar.advance(123456)
    assert capsys.readouterr().err == "\r\x1b[Kreading  123,456"
    bar.finish()


def test_a_bar_survives_more_than_its_total_and_steps_before_its_start(clock, capsys):
    bar = BarProgress()
    clock[0] += 1
    bar.advance(10)
    assert capsys.readouterr().err == ""
    bar.start("x", 10)
    clock[0] += 1
    bar.advance(20)
    assert "100 %" in capsys.readouterr().err
    bar.finish()


def test_a_pipe_gets_a_line_and_quiet_nothing(capsys):
    for progress, expected in ((LineProgress(), "fetching \\x1b\n"), (NoProgress(), "")):
        progress.start("fetching \x1b", 10)
        progress.advance(5)
        progress.finish()
        assert capsys.readouterr().err == expected
