"""score and compare through the real entry."""

import codecs
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from charlm.cli import entry
from charlm.config import Config, CorpusConfig, ModelConfig, TokenizerConfig
from charlm.config.shapes import parameter_shapes
from charlm.evaluation import compare, scorers
from charlm.runs import create_run, prepare
from charlm.tokenizers import train_tokenizer

TEXT = "the cat sat on a mat.\nthe rat saw 12 \x1b[31mhats\x1b[0m\n" * 90


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("CHARLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)
    monkeypatch.setattr(entry.console, "prepare_streams", lambda: None)
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text").write_text(TEXT)
    return tmp_path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one tokenizer, one of pieces; the second knows how often each character is."""
    root = tmp_path_factory.mktemp("runs")
    for name, spec in (("plain", "char"), ("counts", "char"), ("pieces", "bpe:290")):
        tokenizer = train_tokenizer(TokenizerConfig(tokenizer=spec), [TEXT])
        model = ModelConfig(hidden_size=4, layers=1)
        shapes = parameter_shapes(model, tokenizer.vocab_size)
        weights = {key: np.zeros(shape, dtype=np.float32) for key, shape in shapes.items()}
        if name == "counts":
            often = np.bincount(tokenizer.encode(TEXT), minlength=tokenizer.vocab_size) + 0.1
            weights["output_bias"] = np.log(often / often.sum()).astype(np.float32)
        facts = {"corpus": {"sha256": name[0], "parts": {}}, "vocab_size": tokenizer.vocab_size}
        run = create_run(root / name, config=Config(model=model), facts=facts, tokenizer=tokenizer)
        run.save(1, weights=weights, training={}, progress={}, best=True, keep=1)
    return root


@pytest.fixture
def charlm(capsys, runs, workplace):
    shutil.copytree(runs, workplace / "checkpoints")

    def run(*arguments, code=0):
        found = entry.run(list(arguments))
        run.out, run.err = capsys.readouterr()
        assert found == code, run.err
        return run.out

    return run


def test_files_are_ranked(charlm, workplace):
    (workplace / "odd").write_text("zzz qqq\n" * 20)
    found = [json.loads(line) for line in charlm("score", "odd", "text", "--run", "counts", "--json").splitlines()]
    assert [one["name"] for one in found] == ["text", "odd"]
    assert found[0]["bits_per_character"] < found[1]["bits_per_character"]
    assert found[1]["characters"] == 159
    table = charlm("score", "odd", "text", "--run", "counts").splitlines()
    assert [line.split()[-1] for line in table] == ["text", "text", "odd"]


def test_lines_are_ranked(charlm):
    table = charlm("score", "--lines", "text", "--run", "counts", "--sort", "unlikely", "--top", "2").splitlines()
    assert len(table) == 3
    assert table[1].split()[:3] == [table[2].split()[0], "28", "2"]
    assert table[1].endswith("the rat saw 12 \\x1b[31mhats\\x1b[0m")


@pytest.mark.parametrize("lines", [[], ["--lines"]], ids=str)
def test_how_a_text_was_read_is_told(charlm, workplace, lines):
    (workplace / "marked").write_bytes(codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"))
    plain = [json.loads(line) for line in charlm("score", "text", *lines, "--run", "counts", "--json").splitlines()]
    found = [json.loads(line) for line in charlm("score", "marked", *lines, "--run", "counts", "--json").splitlines()]
    assert [{**one, "name": "text"} for one in found] == plain
    assert charlm.err == "'marked': decoded as UTF-16-LE, as its byte-order mark says; the mark is left out\n"


def test_equal_probabilities_are_the_vocabulary(charlm):
    (one,) = [json.loads(line) for line in charlm("score", "text", "--run", "plain", "--json").splitlines()]
    assert one["bits_per_character"] == pytest.approx(np.log2(len(set(TEXT)) + 256), rel=1e-6)


def test_two_runs_on_a_text(charlm):
    found = json.loads(charlm("compare", "plain", "counts", "text", "--json"))
    assert found["runs"] == ["plain", "counts"]
    assert found["characters"] == len(TEXT) - 1
    scored = [
        json.loads(charlm("score", "text", "--run", name, "--json"))["bits_per_character"]
        for name in ("plain", "counts")
    ]
    assert found["bits_per_character"] == pytest.approx(scored, rel=1e-6)
    assert found["interval"][0] <= found["difference"] <= found["interval"][1] < 0
    shown = charlm("compare", "plain", "counts", "text")
    assert "the second is better on this text" in shown
    assert "\\x1b[31mhats" in shown
    assert "\x1b" not in shown
    assert "where the first gains" not in shown


def test_a_text_that_one_run_was_trained_on_is_told(charlm, workplace):
    corpus = CorpusConfig(corpus=(str(workplace / "text"),))
    data, model = prepare(corpus, TokenizerConfig()), ModelConfig(hidden_size=4, layers=1)
    shapes = parameter_shapes(model, data.tokenizer.vocab_size)
    config, facts = Config(corpus=corpus, model=model), {"corpus": data.facts, "vocab_size": data.tokenizer.vocab_size}
    run = create_run(workplace / "checkpoints" / "knows", config=config, facts=facts, tokenizer=data.tokenizer)
    weights = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    run.save(1, weights=weights, training={}, progress={}, best=True, keep=1)
    charlm("compare", "plain", "knows", "text")
    assert "knows: 100 % of this text stands word for word in what the run was trained on" in charlm.err
    assert "plain: whether it was trained on this text is not known: " in charlm.err
    (workplace / "new").write_text("quite another text\n" * 90)
    charlm("compare", "plain", "knows", "new")
    assert "word for word" not in charlm.err


def test_runs_of_different_tokenizers_are_compared_by_characters(charlm):
    found = json.loads(charlm("compare", "counts", "pieces", "text", "--json"))
    assert len(TEXT) - 20 < found["characters"] < len(TEXT)
    score = json.loads(charlm("score", "text", "--run", "pieces", "--json"))
    assert found["bits_per_character"][1] == pytest.approx(score["bits_per_character"], rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compare", "plain", "counts"], 2, "made with different texts"),
        (["compare", "plain"], 2, "missing argument"),
        (["compare", "plain", "absent", "text"], 4, "no run 'absent'"),
        (["compare", "plain", "counts", "absent", "--split", "tset"], 2, "no split 'tset'"),
        (["score", "text", "--bytes"], 2, "bytes needs the tokenizer byte, was bpe:290"),
        (["score", "text", "--bytes", "--lines"], 2, "bytes needs the tokenizer byte, was bpe:290"),
        (["score", "text", "--sort", "bits"], 2, "no order 'bits': choose given, likely, unlikely"),
        (["score", "text", "--top", "0"], 2, "--top must be a whole number >= 1, was 0"),
        (["score", "absent"], 3, "nothing was scored"),
        (["score"], 2, "missing argument"),
    ],
    ids=lambda x: str(x)[:50],
)
def test_bad_input_is_one_line(charlm, arguments, code, words):
    charlm(*arguments, code=code)
    assert charlm.out == ""
    assert words in charlm.err.splitlines()[-1]


def test_neither_imports_torch(charlm, workplace):
    code = (
        "import sys\nfrom charlm.cli.entry import run\n"
        "codes = [run(['score', 'text', '--run', 'plain']), run(['compress', 'text', '--run', 'plain']),\n"
        "         run(['compare', 'plain', 'counts', 'text'])]\n"
        "sys.exit(1 if 'torch' in sys.modules or any(codes) else 0)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(entry.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_losses_that_are_no_numbers_are_not_compared(charlm, workplace, monkeypatch):
    scored = compare.join_predictions

    def exploded(pieces):
        found = scored(pieces)
        found.nats[-40:] = np.nan
        return found

    monkeypatch.setattr(compare, "join_predictions", exploded)
    charlm("compare", "plain", "counts", "text", code=4)
    assert "run plain gives this text losses that are no finite numbers" in charlm.err


@pytest.mark.parametrize("command", [["eval", "text"], ["score", "text"], ["compare", "plain", "counts", "text"]])
def test_what_has_to_be_compiled_is_told_before_seconds_pass(charlm, monkeypatch, command):
    opened = scorers.open_engine

    def first_on_a_machine(*arguments, on_compile, **options):
        on_compile()
        return opened(*arguments, **options)

    monkeypatch.setattr(scorers, "open_engine", first_on_a_machine)
    charlm(*command)
    assert "compiling for this processor: some seconds, once" in charlm.err
    assert "compiling" not in charlm.out


def test_standard_input_is_scored_once(charlm):
    charlm("score", "-", "text", "-", "--run", "plain", code=2)
    assert "- is standard input, which can be read once: name it once" in charlm.err
