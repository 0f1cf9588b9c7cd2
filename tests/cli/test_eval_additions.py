"""``charlm eval`` with additions and surprisals, through the real entry."""

import contextlib
import errno
import io
import json
import math
import os
import random
import sys

import pytest

import charlm
from charlm.cli import console, entry, surprisal, whole_file
from charlm.cli import eval as evaluation
from charlm.errors import OutputError
from charlm.evaluation import ADDITIONS
from charlm.evaluation.surprisal import Surprisal

FLAGS = {"dynamic": ["--dynamic"], "cache": ["--cache"], "ngram": ["--mix", "ngram"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a short training in it."""
    place = tmp_path_factory.mktemp("additions")
    draws = random.Random(1)
    tale = "".join(draws.choice(["a cat sat. ", "the dog ran. ", "it was dawn.\n"]) for _ in range(900))
    (place / "tale.txt").write_text(tale)
    (place / "other.txt").write_text("the cat ran. it was a dog.\n" * 20 + "\x1b[31m naïve\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARLM_CACHE", str(place / "cache"))
        charlm.train(
            str(place / "tale.txt"), root=place / "checkpoints", run="tale", steps=60, learning_rate=0.02,
            hidden_size=16, batch_size=8, window_length=16, threads=1,
        )  # fmt: skip
    return place


@pytest.fixture
def run(place, monkeypatch, capsys):
    for name in [name for name in os.environ if name.startswith("CHARLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(place)
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)
    monkeypatch.setattr(entry.console, "prepare_streams", lambda: None)
    monkeypatch.setenv("CHARLM_CACHE", str(place / "cache"))

    def run(*arguments, code=0):
        found = entry.run(["eval", "--threads", "1", *arguments])
        out, err = capsys.readouterr()
        assert found == code, err
        return out if code == 0 else err

    return run


def test_every_addition_has_a_flag_and_stands_beside_the_figures(run):
    assert set(FLAGS) == set(ADDITIONS)
    plain = json.loads(run("--json"))
    found = json.loads(run(*FLAGS["dynamic"], *FLAGS["cache"], *FLAGS["ngram"], "--json"))
    assert plain["additions"] == {}
    assert {key: found[key] for key in plain if key != "additions"} == {
        key: plain[key] for key in plain if key != "additions"
    }
    assert list(found["additions"]) == ["dynamic", "cache", "ngram"]
    for added in found["additions"].values():
        assert added["perplexity"] == pytest.approx(math.exp(added["nats_per_character"]), rel=1e-6)
        assert added["tuned_on"].endswith("symbols of the validation split")
        assert added["protocol"]
        assert all(math.isfinite(value) for value in added["tuned"].values())
    assert found["additions"]["ngram"]["nats_per_character"] < found["nats_per_character"]


def test_additions_in_words(run):
    lines = run("--dynamic", "--mix", "ngram", "--split", "validation").splitlines()
    names = [line.split("  ")[0] for line in lines if not line.startswith(" ")]
    assert names[-2:] == ["dynamic", "+ ngram"]
    assert any(line.startswith("nats ") for line in lines)
    text = " ".join(lines)
    assert "tuned on the last" in text
    assert "than the model alone" in text
    assert "a gradient step after every 32 symbols" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--dynamic", "--protocol", "windows:8"], 2, "additions (dynamic) read one long text"),
        (["--cache", "--precision", "int8"], 2, "precision must be exact with cache"),
        (["--mix", "ngram", "--split", "train"], 2, "the run was trained on"),
        (["--mix", "bigram"], 2, "bigram"),
        (["--surprisal", "tale.txt"], 5, "tale.txt is there already"),
        (["--surprisal", "absent/out.jsonl"], 5, "cannot write absent/out.jsonl: the folder absent is not there"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, place, arguments, code, message):
    before = (place / "tale.txt").read_bytes()
    err = run(*arguments, code=code)
    assert message in err
    assert "Traceback" not in err
    assert (place / "tale.txt").read_bytes() == before


def test_a_file_of_training_text_is_told_from_another(run, place):
    (place / "cut.txt").write_text((place / "tale.txt").read_text()[500:3000])
    assert "word for word in what the run was trained on" in run("cut.txt", "--cache", code=2)
    model = charlm.load("tale", root=place / "checkpoints")
    found = model.evaluate(place / "cut.txt")
    assert found.baselines == {}
    assert "word for word in what the run was trained on" in found.notices[0]
    assert model.evaluate(place / "other.txt").notices == ()


def test_a_part_that_the_run_was_trained_on_is_told_from_one_that_it_was_not(place, monkeypatch):
    """The same text, cut otherwise than the run's."""
    monkeypatch.setenv("CHARLM_CACHE", str(place / "cache"))
    settings = {"steps": 4, "hidden_size": 8, "batch_size": 4, "window_length": 8, "threads": 1}
    charlm.train(str(place / "tale.txt"), split="98/1/1", root=place / "checkpoints", run="most", **settings)
    found = charlm.load("most", root=place / "checkpoints").evaluate(place / "tale.txt", split="validation")
    assert found.baselines == {}
    assert "word for word in what the run was trained on" in found.notices[0]
    own = charlm.load("tale", root=place / "checkpoints").evaluate(place / "tale.txt", split="validation")
    assert own.baselines
    assert own.notices == ()


def test_surprisals_in_a_file(run, place, tmp_path):
    target = tmp_path / "out.jsonl"
    found = json.loads(run("other.txt", "--surprisal", str(target), "--dynamic", "--json"))
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert "".join(line["text"] for line in lines) == (place / "other.txt").read_text()
    assert sum(line["nats"] or 0 for line in lines) / found["characters"] == pytest.approx(
        found["nats_per_character"], rel=1e-6
    )


def test_surprisals_in_a_pipe_are_nothing_but_lines_of_json(run):
    lines = [json.loads(line) for line in run("other.txt", "--surprisal", "-").splitlines()]
    assert list(lines[5]) == ["position", "text", "nats"]
    lines = [json.loads(line) for line in run("other.txt", "--surprisal", "-", "--json").splitlines()]
    assert "nats_per_character" in lines[-1]


def test_a_file_is_there_when_it_is_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out.jsonl"

    def interrupted():
        with surprisal.writing_surprisals(str(target)) as write:
            write(Surprisal(0, "a", None))
            assert not target.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_a_text_in_colours(monkeypatch, no_colour):
    """Nothing of the text reaches the terminal as it is, but newlines; colours only where they are wanted."""
    screen = Terminal(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_colour)
    hostile = "a\x1b]0;x\x07\n\x9b31mé"
    with surprisal.writing_surprisals("-") as write:
        for position, character in enumerate(hostile):
            write(Surprisal(position, character, 9.0 * position / len(hostile) if position else None))
    screen.flush()
    written = screen.buffer.getvalue().decode()
    if no_colour:
        assert [json.loads(line)["text"] for line in written.splitlines()] == list(hostile)
        assert "\x1b" not in written
        return
    styles = {f"\x1b[{style}m" for _, style in surprisal.STYLES if style} | {"\x1b[0m"}
    for code in sorted(styles):
        assert code in written
        written = written.replace(code, "")
    assert written.startswith("a\\x1b]0;x\\a\n\\x9b31mé")
    assert "bits  to 0.5  to 2  to 4  to 6  to 9  more" in written
    assert not set(written) & set("\x1b\x9b\x07")


def test_the_nats_of_a_characters_bytes_are_its_own(monkeypatch):
    shown = []
    coloured = surprisal.ColouredText(
        type("Out", (), {"write": lambda self, text, style="": shown.append((text, style))})()
    )
    coloured.show(Surprisal(0, "", 3.0))
    coloured.show(Surprisal(1, "é", 4.0))
    coloured.end()
    assert ("é", "31;7") in shown  # 7 nats are more than 9 bits
    assert surprisal.style_of(math.nan) == "31;7"
    assert not console.has_colours(io.StringIO())


def test_no_bar_is_drawn_into_a_coloured_text(run, monkeypatch):
    asked = []
    monkeypatch.setattr(evaluation, "choose_progress", lambda **given: asked.append(given["quiet"]))
    run("other.txt", "--surprisal", "-")  # into a pipe
    monkeypatch.setattr(console, "is_terminal", lambda stream: stream is sys.stdout)
    for flags in ((), ("--surprisal", "-")):
        run("other.txt", *flags)
    assert asked == [False, False, True]


def test_what_fails_in_the_scoring_is_no_failure_to_write(tmp_path, monkeypatch):
    class Full:
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    target = str(tmp_path / "out.jsonl")
    with pytest.raises(OSError, match="of the model"), surprisal.writing_surprisals(target):
        raise OSError("of the model")
    monkeypatch.setattr(whole_file, "replacing", lambda path, over: contextlib.nullcontext(Full()))
    with (
        pytest.raises(OutputError, match=r"cannot write .*out.jsonl: disk full"),
        surprisal.writing_surprisals(target) as write,
    ):
        write(Surprisal(0, "a", None))
    assert list(tmp_path.iterdir()) == []
