import dataclasses
import json
import math
from pathlib import Path

import pytest

from charlm.cli import console, entry
from charlm.cli.console import width_of
from charlm.cli.live_view import LiveView
from charlm.cli.view import PLAIN_INTERVAL, JsonView, PlainView, QuietView, plain_line
from charlm.training.events import Evaluated, LogFailed, RolledBack, Sampled, Saved, SaveFailed, Stepped, Stopped

HOSTILE = "[/x] \x1b]52;c;aGVsbG8=\x07 :smile: \x9b31m \u202e a[i]"


def at(step):
    return {"step": step, "epoch": step / 750, "characters": step * 2048, "seconds": step / 100}


def stepped(step, nats=1.5):
    return Stepped(
        **at(step),
        steps_planned=2700,
        seconds_left=(2700 - step) / 100,
        characters_per_second=29123.4,
        learning_rate=3e-3,
        gradient_norm=0.4,
        train_nats=nats,
    )


def evaluated(step, nats=1.6, best=True):
    return Evaluated(
        **at(step),
        train_nats=1.5,
        validation_nats=nats,
        perplexity=math.exp(nats),
        bits_per_character=nats / math.log(2),
        best=best,
    )


EVENTS = [
    stepped(100, 3.0),
    stepped(200, 2.0),
    evaluated(200),
    Saved(**at(200), checkpoint=Path("steps/step-00000200"), best=True),
    Sampled(**at(200), text=f"ROMEO:\n{HOSTILE}\n" * 20),
    stepped(300, 1.9),
    SaveFailed(**at(300), reason=f"checkpoint not saved: disk full {HOSTILE}"),
    LogFailed(**at(300), reason=f"metrics.jsonl not written: disk full {HOSTILE}"),
    RolledBack(**at(200), reason="the loss is not finite", learning_rate=1e-3, retries_left=4),
    evaluated(400, 1.7, best=False),
    Stopped(**at(400), reason="minutes", validation_nats=1.6, checkpoint=None),
]


class NoScreen:
    def open(self):
        pass

    def draw(self, draw):
        draw(79, 24)

    def close(self):
        pass


@pytest.fixture
def live(monkeypatch):
    view = LiveView()
    monkeypatch.setattr(view, "_screen", NoScreen())
    view.open([f"run {HOSTILE}", "lstm 2 x 256", "1,054,000 parameters"])
    for event in EVENTS:
        view.show(event)
    return view


def texts(view, width, height):
    return ["".join(piece for piece, _ in line) for line in view.lines(width, height)]


@pytest.mark.parametrize("size", [(79, 24), (119, 40), (19, 24), (30, 8), (1, 1)], ids=str)
def test_nothing_in_the_picture_drives_a_terminal(live, size):
    for line in texts(live, *size):
        assert all(character.isprintable() for character in line), repr(line)


def test_figures_fit_their_line_at_any_width(live):
    for width in (19, 30, 79, 119):
        # the first words of title, warning and sample may be longer than the line: the screen cuts those
        bar, pace, train, validation = texts(live, width, 24)[1:5]
        assert max(map(width_of, (bar, pace, train, validation))) <= width, width


def test_the_picture_says_what_the_issue_asks_for(live):
    picture = "\n".join(texts(live, 119, 40))
    for word in (
        "11 %",
        "29,123 characters/s",
        "0:24 left",
        "1.900 nats",
        "1.700 nats",
        "best 1.600",
        "perplexity 5.47",
    ):
        assert word in picture
    assert "2.453 bits/character" in picture
    assert "a[i]" in picture
    assert "[/x]" in picture
    assert "the learning rate is halved from here on" in picture
    assert any("\u2801" <= character <= "\u28ff" for character in picture)


def test_a_low_terminal_loses_the_sample_then_the_curve(live):
    assert "sample" in "\n".join(texts(live, 79, 24))
    low = texts(live, 79, 13)
    assert len(low) <= 12
    assert "1.700 nats" in "\n".join(low)
    assert "sample" not in "\n".join(low)
    assert any("\u2801" <= character <= "\u28ff" for character in "".join(low))
    assert "1.700 nats" in "\n".join(texts(live, 79, 8))
    assert len(texts(live, 79, 8)) == 7


def test_plain_view_has_a_line_every_few_seconds_and_one_for_each_evaluation(capsys):
    view = PlainView()
    view.open(["run", "lstm"])
    for step in range(100, 2000, 50):  # 0.5 s apart
        view.show(stepped(step))
    view.show(evaluated(2000))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "run · lstm"
    assert len(lines) == 2 + math.ceil(19 / PLAIN_INTERVAL)
    assert "validation 1.600 nats  perplexity 4.953  2.308 bits/character  best so far" in lines[-1]
    assert "29,123 characters/s" in lines[1]
    assert "0:26 left" in lines[1]


def test_plain_view_escapes_and_warns(capsys):
    view = PlainView()
    for event in EVENTS:
        view.show(event)
    err = capsys.readouterr().err
    assert "step 300  metrics.jsonl not written: disk full" in err
    assert "step 300  checkpoint not saved: disk full [/x] \\x1b]52;c;aGVsbG8=\\a :smile: \\x9b31m \\u202e a[i]" in err
    assert "back to step 200: the loss is not finite; the learning rate is halved from here on" in err
    assert "ended at step 400 after 0:04: the time is up" in err
    assert "\x1b" not in err


@pytest.mark.parametrize(("left", "words"), [(2, "2 more tries"), (1, "1 more try"), (0, "0 more tries")])
def test_a_rollback_counts_the_tries_that_are_left(left, words):
    event = RolledBack(**at(200), reason="the loss is not finite", learning_rate=1e-3, retries_left=left)
    assert plain_line(event).endswith(f", {words}")


def test_json_view_has_one_strict_line_for_each_event(capsys):
    view = JsonView()
    view.open(["x"])
    for event in [*EVENTS, stepped(500, math.nan)]:
        view.show(event)
    view.end(["words"])
    view.end_record({"kind": "summary"})
    out, err = capsys.readouterr()
    records = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    assert [record["kind"] for record in records] == [event.kind for event in EVENTS] + ["train", "summary"]
    assert records[-2]["train_nats"] is None
    assert records[4]["text"] == EVENTS[4].text
    assert err == ""


def test_quiet_view_is_quiet(capsys):
    view = QuietView()
    view.notice("x")
    view.open(["x"])
    for event in EVENTS:
        view.show(event)
    view.close()
    view.end(["x"])
    view.end_record({})
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(console, "is_terminal", lambda stream: True)
    monkeypatch.setattr(console, "terminal_width", lambda stream: 30)


SAID = "hidden size 128: by the time and the text; --hidden-size decides otherwise\n  short  and\tso"


def test_a_notice_stays_a_line_where_nobody_looks(capsys):
    console.note(SAID)
    assert capsys.readouterr().err == SAID + "\n"


def test_a_notice_is_folded_at_words_on_a_terminal(narrow, capsys):
    console.note(SAID)
    folded = "hidden size 128: by the time\nand the text; --hidden-size\ndecides otherwise\n  short  and\tso\n"
    assert capsys.readouterr().err == folded
    console.note("saved in /a/path/that/nobody/would/like/to/type/anew")
    assert capsys.readouterr().err == "saved in\n/a/path/that/nobody/would/like/to/type/anew\n"


def test_what_may_be_copied_from_a_terminal_stays_one_line(narrow, capsys, monkeypatch):
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)  # handlers of this process are not the test's
    monkeypatch.setattr(console, "prepare_streams", lambda: None)
    assert entry.run(["train", "no such text anywhere", "--steps", "1", "--run", "a-name-of-some-length"]) != 0
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert len(line) > 60


def test_samples_keep_their_lines_where_nothing_can_be_drawn(narrow, capsys):
    view = PlainView()
    view.show(Sampled(**at(200), text="a  line that is  longer than the terminal is wide"))
    assert capsys.readouterr().err == "    | a  line that is  longer than the terminal is wide\n"


def test_the_first_losses_do_not_make_a_flat_line_of_the_others(live):
    step = next(event for event in EVENTS if isinstance(event, Stepped))
    for number in range(200):
        live.show(dataclasses.replace(step, step=number, train_nats=9.0 if number < 3 else 2.0 - number / 200))
    drawn = [line for line in texts(live, 79, 40) if any("\u2801" <= character <= "\u28ff" for character in line)]
    assert 1.9 < float(drawn[0].split()[0]) < 2.5
    assert drawn[-1].split()[0] == "1.005"
    # all the way down, in most of the columns
    assert sum(len(line.split()[-1]) for line in drawn[1:-1]) > 30
