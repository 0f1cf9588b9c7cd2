"""What the smaller commands print, through the real entry."""

import dataclasses
import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from charlm.cli import console, entry, options, runs
from charlm.cli.escape import to_json_line
from charlm.cli.facts import fact_lines
from charlm.cli.writing import write_records
from charlm.config import CHOSEN, Config, ModelConfig, file_layer, resolve
from charlm.errors import CorpusError
from charlm.generation import Ending, Piece
from charlm.runs.listing import RunSummary
from charlm.timing import counted_time

RECIPE = """
title = "A small text"
description = "Of nobody, for a test."
licence = "none"
[[source]]
url = "https://127.0.0.1/small.txt"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
members = []
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("CHARLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)
    monkeypatch.setattr(entry.console, "prepare_streams", lambda: None)
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def charlm(capsys):
    def run(*arguments, code=0):
        found = entry.run(list(arguments))
        out, err = capsys.readouterr()
        assert found == code, err
        return out

    return run


def test_config_show_tells_where_each_value_came_from(charlm, workplace, monkeypatch):
    (workplace / "mine.toml").write_text("[model]\nlayers = 3\nhidden_size = 100\ndropout = 0.3\n")
    monkeypatch.setenv("CHARLM_HIDDEN_SIZE", "200")
    monkeypatch.setenv("CHARLM_DROPOUT", "0.4")
    arguments = ["config", "show", "a.txt", "--preset", "textbook", "--config", "mine.toml", "--dropout", "0.5"]
    found = json.loads(charlm(*arguments, "--json"))
    assert found["tie_weights"] == {"value": True, "origin": "preset textbook"}
    assert found["layers"] == {"value": 3, "origin": "file mine.toml"}
    assert found["hidden_size"] == {"value": 200, "origin": "environment"}
    assert found["dropout"] == {"value": 0.5, "origin": "flag"}
    assert found["corpus"] == {"value": ["a.txt"], "origin": "flag"}
    assert found["cell"] == {"value": "lstm", "origin": "preset textbook"}
    assert found["keep"] == {"value": 2, "origin": "default"}
    assert json.loads(charlm("config", "show", "--json"))["batch_size"] == {"value": None, "origin": "default"}


def test_config_show_tells_of_a_file_with_any_name_in_one_line(charlm, workplace):
    name = "a\x1b[2J\n[model.toml"
    (workplace / name).write_text("[model]\nlayers = 3\n")
    text = charlm("config", "show", "--config", name)
    (line,) = [line for line in text.splitlines() if line.startswith("layers = 3")]
    assert line.endswith("  # file a\\x1b[2J\\n[model.toml")
    (workplace / "shown.toml").write_text(text)
    assert resolve([file_layer(workplace / "shown.toml")]).config.model.layers == 3


def test_config_show_is_a_file_that_reads_back_to_the_same_settings(charlm, workplace):
    text = charlm("config", "show", "--layers", "3", "--boundary", ' = "x"\t#', "--include", "*.c")
    assert "layers = 3" in text
    assert "# flag" in text
    (workplace / "shown.toml").write_text(text)
    resolved = resolve([file_layer(workplace / "shown.toml")])
    # what charlm train chooses stays open, or the file would make another training than the flags
    assert all(resolved.origins[name] == "default" for name in CHOSEN)
    config = resolved.config
    assert (config.model.layers, config.corpus.boundary, config.corpus.include) == (3, ' = "x"\t#', ("*.c",))
    assert charlm("config", "show", "--config", "shown.toml", "--json").count('"file shown.toml"') > 20


@pytest.mark.parametrize(
    ("columns", "heading"),
    [
        (200, "run  text  model  step  nats/char  bits/char  size  saved"),
        (34, "run  model  step  nats/char  saved"),
        (5, "run  model  step  nats/char"),
    ],
)
def test_a_narrow_terminal_goes_without_columns_that_can_be_spared(monkeypatch, capsys, columns, heading):
    monkeypatch.setattr(console, "is_terminal", lambda stream: True)
    monkeypatch.setattr(console, "terminal_width", lambda stream: columns)
    names = ("run", "text", "model", "step", "nats/char", "bits/char", "size", "saved")
    console.print_table([["x"] * 8], names, spare=("bits/char", "size", "text", "saved"))
    first, second = capsys.readouterr().out.splitlines()
    assert first.split() == heading.split()
    assert len(second.split()) == len(first.split())


def test_runs_are_listed_shown_exported_and_removed(charlm, workplace, hostile_run):
    root = workplace / "checkpoints"
    shutil.copytree(hostile_run, root / hostile_run.name)
    assert "lstm 1 x 4" in charlm("runs", "list")
    (record,) = [json.loads(line) for line in charlm("runs", "list", "--json").splitlines()]
    assert (record["name"], record["step"], record["problem"]) == (hostile_run.name, 1, None)
    assert json.loads(charlm("runs", "show", "--json"))["name"] == hostile_run.name
    shown = charlm("runs", "show", hostile_run.name)
    assert charlm("runs", "show", "--run", hostile_run.name) == shown
    assert "checkpoints 1 (best)" in shown
    (workplace / "mine.toml").write_text(charlm("runs", "export-config"))
    model = ModelConfig(hidden_size=4, layers=1)
    assert resolve([file_layer(workplace / "mine.toml")]).config == Config(model=model)
    charlm("runs", "rm", hostile_run.name, code=2)  # nobody to ask, no --yes
    assert (root / hostile_run.name).exists()
    assert charlm("runs", "export-config", "--run", hostile_run.name) == (workplace / "mine.toml").read_text()
    charlm("runs", "rm", "--run", hostile_run.name, "--yes")
    assert not (root / hostile_run.name).exists()
    assert charlm("runs", "list") == ""


def test_a_run_of_many_texts_is_a_line_like_others(charlm, workplace):
    names = tuple(f"chapters/{'x' * 60}-{number}.txt" for number in range(60))
    found = RunSummary(name="many", folder=Path("many"), corpus=names)
    assert runs._row(found)[1] == "..." + names[0][-27:] + " +59"
    assert runs._row(dataclasses.replace(found, corpus=("a.txt",)))[1] == "a.txt"
    assert runs._row(dataclasses.replace(found, corpus=()))[1] == "-"
    assert json.loads(to_json_line(runs._record(found)))["corpus"] == list(names)


@pytest.mark.parametrize(("best", "shown"), [(None, "1,200"), (1200, "1,200"), (900, "1,200 (best 900)")])
def test_a_figure_that_is_of_an_earlier_step_says_so(best, shown):
    found = RunSummary(name="mine", folder=Path("mine"), corpus=("a.txt",), step=1200, best_step=best)
    assert runs._row(found)[3] == shown


def test_a_run_that_is_named_twice_is_removed_once(charlm, workplace, hostile_run):
    place = workplace / "checkpoints" / "mine"
    shutil.copytree(hostile_run, place)
    charlm("runs", "rm", "--yes", "mine", str(place), "checkpoints/../checkpoints/mine")
    assert not place.exists()


def test_one_wrong_name_removes_nothing(charlm, workplace, hostile_run):
    shutil.copytree(hostile_run, workplace / "checkpoints" / "kept")
    charlm("runs", "rm", "kept", "absent", "--yes", code=4)
    assert (workplace / "checkpoints" / "kept").exists()


def test_corpora_are_listed_and_shown(charlm, workplace):
    (workplace / "corpora" / "small").mkdir(parents=True)
    (workplace / "corpora" / "small" / "corpus.toml").write_text(RECIPE)
    listed = [line.split() for line in charlm("corpora", "list").splitlines()]
    assert ["small", "-", "no", "A", "small", "text"] in listed
    assert {"shakespeare", "c", "latex", "latex-math"} <= {line[0] for line in listed}
    shown = charlm("corpora", "show", "small")
    assert "https://127.0.0.1/small.txt" in shown
    assert "charlm corpora get small" in shown
    assert json.loads(charlm("corpora", "show", "small", "--json"))["here"] is False


def test_a_broken_recipe_does_not_hide_the_others(workplace, capsys):
    for name, content in {"small": RECIPE, "broken": RECIPE.replace("title", "titel"), "garbled": "= ["}.items():
        (workplace / "corpora" / name).mkdir(parents=True)
        (workplace / "corpora" / name / "corpus.toml").write_text(content)
    assert entry.run(["corpora", "list"]) == 0
    out, err = capsys.readouterr()
    assert {"small", "shakespeare"} <= {line.split()[0] for line in out.splitlines()}
    first, second = err.splitlines()
    assert "left out: " in first
    assert "broken/corpus.toml" in first
    assert "title" in first
    assert "garbled/corpus.toml" in second
    assert entry.run(["corpora", "show", "broken"]) == 3


def test_corpora_check_says_what_is_odd(charlm, workplace):
    (workplace / "odd.txt").write_text("One line.\r\nAnother.\x07\r\n" * 50, newline="")
    assert "CRLF" in charlm("corpora", "check", "odd.txt")
    assert json.loads(charlm("corpora", "check", "odd.txt", "--json"))["crlf"] == 100


@pytest.mark.parametrize(("least", "said"), [(None, "fewer than 2 times as bytes"), (1, "char of ")])
def test_tokenize_says_what_a_vocabulary_left_out(workplace, capsys, least, said):
    text = "a b\n" * 9000 + "".join(map(chr, range(0x4E00, 0x4E00 + 900)))
    (workplace / "x.txt").write_text(text)
    flags = [] if least is None else ["--min-count", str(least)]
    assert entry.run(["tokenize", "--tokenizer", "char", "--ids", "--file", "x.txt", *flags]) == 0
    told = capsys.readouterr().err
    assert said in told
    assert ("as bytes" in told) is (least is None)


def test_tokenize_shows_pieces_and_ids(charlm, workplace):
    assert charlm("tokenize", "--tokenizer", "char", "a b\na") == "a ␣ b \\n a\n"
    assert charlm("tokenize", "--tokenizer", "byte", "--ids", "aé") == "97 195 169\n"
    (workplace / "x.txt").write_text("ab")
    found = json.loads(charlm("tokenize", "--tokenizer", "byte", "--file", "x.txt", "--json"))
    assert found == {"tokenizer": "byte", "vocab_size": 256, "ids": [97, 98], "pieces": ["a", "b"]}


def test_a_dash_is_standard_input_whatever_lies_there(charlm, workplace, monkeypatch):
    (workplace / "-").write_text("file")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"in"), encoding="utf-8"))
    assert charlm("tokenize", "--tokenizer", "byte", "--ids", "--file", "-") == "105 110\n"


def test_tokenize_reads_a_file_as_a_training_does(charlm, workplace):
    (workplace / "x.txt").write_bytes("é\r\nb".encode("utf-16"))
    flags = ("tokenize", "--tokenizer", "char", "--file", "x.txt")
    assert charlm(*flags) == "é \\r \\n b\n"
    assert charlm(*flags, "--newlines", "unix") == "é \\n b\n"
    assert charlm("tokenize", "--tokenizer", "byte", "--bytes", "--ids", "--file", "x.txt").startswith("255 254 ")
    charlm(*flags, "--bytes", code=2)
    charlm("tokenize", "--tokenizer", "char", "a", "--newlines", "unix", code=2)
    (workplace / "x.txt").write_bytes(b"a\xffb")
    charlm(*flags, code=3)


def test_tokenize_uses_a_run(charlm, hostile_run):
    assert charlm("tokenize", "é☃", "--run", str(hostile_run)) == "é ☃\n"
    charlm("tokenize", "漢", "--run", str(hostile_run), code=3)
    assert charlm("tokenize", "漢é", "--unknown", "drop", "--run", str(hostile_run)) == "é\n"


def test_generate_several_texts_are_told_apart(charlm, hostile_run):
    arguments = ["generate", "--run", str(hostile_run), "--prompt", "é", "--length", "5", "--seed", "1"]
    records = [json.loads(line) for line in charlm(*arguments, "--samples", "2", "--json").splitlines()]
    assert [record["sample"] for record in records] == [0, 1]
    assert all(record["text"].startswith("é") and len(record["text"]) == 6 for record in records)
    texts = [record["text"] for record in records]
    assert charlm(*arguments, "--samples", "2") == f"--- 1 ---\n{texts[0]}\n--- 2 ---\n{texts[1]}"
    assert charlm(*arguments) == texts[0]


def test_a_text_in_json_is_written_while_it_is_made(capsysbinary, monkeypatch):
    monkeypatch.setattr(console, "_PIPE_BYTES", 1)
    texts = ['a"\\\n', "\x1b\x85é", "\udcff", "☃"]
    seen = b""

    def pieces():
        nonlocal seen
        for text in texts:
            yield Piece(sample=0, text=text)
            new = capsysbinary.readouterr().out
            assert new, "nothing is kept back, so an endless text takes no memory"
            seen += new
        yield Piece(sample=0, text="", ending=Ending(reason="length", characters=8, tokens=9, nats=1.5))
        yield Piece(sample=1, text="b", ending=Ending(reason="stop", characters=1, tokens=1, nats=0.5))

    write_records(pieces(), {"seed": 3})
    first, second = (seen + capsysbinary.readouterr().out).decode().splitlines()
    wanted = {"sample": 0, "text": "".join(texts), "ended_by": "length", "characters": 8, "tokens": 9, "nats": 1.5}
    assert first == to_json_line({**wanted, "seed": 3})
    assert json.loads(first)["text"] == "".join(texts)
    assert (json.loads(second)["sample"], json.loads(second)["text"]) == (1, "b")


def test_a_clamped_filter_is_told(hostile_run, capsys):
    assert entry.run(["generate", "--run", str(hostile_run), "--top-k", "100000", "--length", "1", "--seed", "1"]) == 0
    assert "top_k 100000 is above the vocabulary" in capsys.readouterr().err


FACTS = [("name", "a long text of many words that has to be folded somewhere"), ("", "more"), ("x", "y")]


@pytest.mark.parametrize("width", [20, 30, 50, 80])
def test_facts_fold_to_the_width(width):
    lines = fact_lines(FACTS, width)
    assert max(map(len, lines)) <= width
    assert (
        " ".join(" ".join(lines).split()) == "name a long text of many words that has to be folded somewhere more x y"
    )


def test_facts_stay_on_their_line_in_a_pipe():
    assert len(fact_lines(FACTS, None)) == len(FACTS)


@pytest.mark.parametrize("command", [["rm", "--yes"], ["show"], ["export-config"]])
def test_a_checkpoint_is_no_run_to_remove_or_to_show(charlm, workplace, hostile_run, command):
    shutil.copytree(hostile_run, workplace / "checkpoints" / "mine")
    step = next((workplace / "checkpoints" / "mine" / "steps").iterdir())
    for name in ("mine@1", "mine@best", str(step)):
        charlm("runs", *command, name, code=2)
    assert len(list(step.iterdir())) > 2


def test_no_is_an_answer(charlm, workplace, hostile_run, monkeypatch):
    shutil.copytree(hostile_run, workplace / "checkpoints" / "mine")
    monkeypatch.setattr(entry.console, "is_terminal", lambda stream: True)
    for answer in ("n\n", "y\n"):
        assert (workplace / "checkpoints" / "mine").exists()
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        charlm("runs", "rm", "mine")
    assert not (workplace / "checkpoints" / "mine").exists()


def test_what_a_training_would_not_choose_is_not_said_to_be_chosen(charlm):
    def chosen(*arguments):
        return {line.split()[1] for line in charlm("config", "show", *arguments).splitlines() if "chosen by" in line}

    ngrams = {"ngram_embedding_size", "ngram_order", "ngram_rows"}
    every = {"min_count", "batch_size", "hidden_size", "epochs", "learning_rate", "dropout", "weight_decay", *ngrams}
    assert chosen() == every
    assert chosen("--steps", "9") == every - {"hidden_size", "epochs"}
    assert chosen("--steps", "9", "--minutes", "1") == every - {"epochs"}
    assert chosen("--hidden-size", "9") == every - {"hidden_size", "epochs"}
    assert chosen("--optimizer", "sgd") == every - {"learning_rate", "weight_decay", *ngrams}
    assert chosen("--ngram-embedding-size", "0") == every - ngrams
    for vocabulary in (("--min-count", "1"), ("--unknown", "error"), ("--tokenizer", "bpe:300")):
        assert chosen(*vocabulary) == every - {"min_count"}


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\r"])
def test_config_show_keeps_what_ends_a_line_elsewhere(charlm, workplace, character):
    (workplace / "shown.toml").write_bytes(charlm("config", "show", "--boundary", character).encode())
    assert resolve([file_layer(workplace / "shown.toml")]).config.corpus.boundary == character


def test_a_check_reads_a_text_as_a_training_would(charlm, workplace, monkeypatch):
    (workplace / "lat.txt").write_bytes("café au lait\n".encode("latin-1") * 40)
    charlm("corpora", "check", "lat.txt", code=3)
    monkeypatch.setenv("CHARLM_ENCODING", "latin-1")
    assert charlm("corpora", "check", "lat.txt").startswith("text ")
    charlm("corpora", "check", "lat.txt", "--encoding", "utf-8", code=3)


def test_a_seed_that_was_drawn_is_told_and_gives_the_text_again(hostile_run, capsys):
    arguments = ["generate", "--run", str(hostile_run), "--length", "30", "--engine", "numpy"]
    assert entry.run(arguments) == 0
    out, err = capsys.readouterr()
    (seed,) = [line.removeprefix("seed ") for line in err.splitlines() if line.startswith("seed ")]
    assert entry.run([*arguments, "--seed", seed]) == 0
    assert capsys.readouterr() == (out, err.replace(f"seed {seed}\n", ""))
    for without in (["--greedy"], ["--temperature", "0"], ["--beam", "2"]):
        assert entry.run([*arguments, *without]) == 0
        assert "seed" not in capsys.readouterr().err


@pytest.mark.parametrize(("function", "flags"), [("start_training", []), ("resume_training", ["--resume"])])
def test_the_minutes_of_a_training_begin_with_the_command(charlm, workplace, monkeypatch, function, flags):
    """Not once torch is there: loading it takes seconds."""
    (workplace / "a.txt").write_text("abc")
    seen = []

    def given(settings):
        seen.append(counted_time())
        return options.given(settings)

    def begin(*_, started, **others):
        seen.append(started)
        raise CorpusError("seen")

    monkeypatch.setattr("charlm.cli.train.given", given)
    monkeypatch.setattr(f"charlm.cli.training_run.{function}", begin)
    before = counted_time()
    charlm("train", *([] if flags else ["a.txt"]), *flags, "--quiet", code=3)
    flags_read, started = seen
    assert before <= started <= flags_read


def test_a_run_is_shown_where_llvmlite_cannot_be_imported(monkeypatch):
    found = RunSummary(name="a", folder=Path("a"), precision_nats={"exact": 1.0, "int16": 1.0})
    assert runs._precision(found) == "int16 (int16 +0.0000 nats)"
    monkeypatch.setitem(sys.modules, "charlm.simd.processor", None)
    assert runs._precision(found) is None
