"""Files and lines ranked: each text's score is that of the same text evaluated alone."""

import math

import numpy as np
import pytest

from charlm.config import CorpusConfig
from charlm.corpora import reading
from charlm.evaluation import evaluate
from charlm.evaluation.ranking import Ranked, score_files, score_lines, sort_ranked
from charlm.evaluation.score import Score
from charlm.runtime import NumbaModel
from charlm.tokenizers import CharTokenizer


@pytest.fixture(scope="module")
def engine(tokenizer):
    from charlm.config import ModelConfig
    from charlm.config.shapes import parameter_shapes

    config, draws = ModelConfig(hidden_size=16, layers=1), np.random.default_rng(1)
    shapes = parameter_shapes(config, tokenizer.vocab_size)
    arrays = {name: draws.standard_normal(shape, dtype=np.float32) / 3 for name, shape in shapes.items()}
    return NumbaModel(config, arrays, tokenizer.vocab_size)


@pytest.fixture(scope="module")
def files(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("files")
    contents = {"a": text[:3000], "b": text[:40] + "\r\n\n   \n" + "☃" * 30 + "\n" + "x" * 700 + "\nend", "c": ""}
    for name, content in contents.items():
        (folder / name).write_text(content, newline="")
    return {str(folder / name): content for name, content in contents.items()}


def corpora(*names):
    return [CorpusConfig(corpus=(name,)) for name in names]


def test_files_are_scored_as_by_an_evaluation(engine, tokenizer, files):
    notices = []
    found = list(score_files(engine, tokenizer, corpora(*files, "absent"), notices.append))
    assert [one.name for one in found] == list(files)[:2]
    for one in found:
        assert one.score == evaluate(engine, tokenizer, tokenizer.encode(files[one.name]), split="all").score
    assert len(notices) == 2
    assert all(notice.startswith("left out: ") for notice in notices)


def test_a_character_that_is_none_of_the_models_is_told_with_its_place_in_the_file(tmp_path, engine):
    tokenizer, notices = CharTokenizer("ab\n", unknown="error"), []
    place = reading.BLOCK + 1000  # not in the first piece that is read
    (tmp_path / "a").write_text("a" * place + "c")
    assert list(score_files(engine, tokenizer, corpora(str(tmp_path / "a")), notices.append)) == []
    assert "'c'" in notices[0]
    assert f"at position {place} " in f"{notices[0]} "


def test_every_line_is_scored_alone_and_whole(engine, tokenizer, files):
    found = list(score_lines(engine, tokenizer, corpora(*list(files)[:2]), lambda notice: pytest.fail(notice)))
    wanted = []
    for name, content in list(files.items())[:2]:
        lines = content.split("\n")
        wanted += [(name, at + 1, line.removesuffix("\r")) for at, line in enumerate(lines) if line.strip()]
    assert [(one.name, one.line, one.text) for one in found] == wanted
    for one in found:
        alone = evaluate(engine, tokenizer, tokenizer.encode("\n" + one.text), split="all").score
        assert one.score.characters == len(one.text) == alone.characters
        assert one.score.total_nats == pytest.approx(alone.total_nats, rel=1e-6)


def test_the_orders(engine, tokenizer, files):
    found = list(score_lines(engine, tokenizer, corpora(*list(files)[:1]), print))
    bits = [one.bits_per_character for one in found]
    assert [one.bits_per_character for one in sort_ranked(found)] == sorted(bits)
    assert [one.bits_per_character for one in sort_ranked(found, "unlikely", 3)] == sorted(bits, reverse=True)[:3]
    assert sort_ranked(found, "given") == found


@pytest.mark.parametrize(("order", "names"), [("likely", "cabx"), ("unlikely", "bacx"), ("given", "axbc")])
def test_a_text_at_which_the_model_explodes_is_the_last(order, names):
    nats = {"a": 2.0, "x": math.nan, "b": 3.0, "c": 1.0}
    scores = {name: Score(total_nats=nats[name], tokens=1, characters=1, bytes=1) for name in nats}
    ranked = [Ranked(name=name, score=score) for name, score in scores.items()]
    assert "".join(one.name for one in sort_ranked(ranked, order)) == names
