"""Files and lines ranked: each text's score is that of the same text evaluated alone."""

import math

import numpy as np
import pytest

from charlm.config import CorpusConfig, ModelConfig
from charlm.config.shapes import parameter_shapes
from charlm.corpora import reading
from charlm.evaluation import evaluate
from charlm.evaluation.ranking import STEPS, Ranked, score_files, score_lines, sort_ranked
from charlm.evaluation.score import Score
from charlm.runtime import NumbaModel
from charlm.tokenizers import CharTokenizer


def engine_of(tokenizer):
    config, draws = ModelConfig(hidden_size=16, layers=1), np.random.default_rng(1)
    shapes = parameter_shapes(config, tokenizer.vocab_size)
    arrays = {name: draws.standard_normal(shape, dtype=np.float32) / 3 for name, shape in shapes.items()}
    return NumbaModel(config, arrays, tokenizer.vocab_size)


@pytest.fixture(scope="module")
def engine(tokenizer):
    return engine_of(tokenizer)


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


def test_characters_that_the_vocabulary_drops_are_told(tmp_path, engine):
    """Else a text of which hardly anything counts would stand before others without a word."""
    (tmp_path / "a").write_text("ab€ab€\n€€\nba")
    (tmp_path / "b").write_text("abba\n")
    names = [str(tmp_path / "a"), str(tmp_path / "b")]
    for scored, whole in ((score_files, 12), (score_lines, 10)):
        for tokenizer, unknown in ((CharTokenizer("ab\n", unknown="drop"), None), (CharTokenizer("ab\n"), "drop")):
            model, notices = engine_of(tokenizer), []
            found = list(scored(model, tokenizer, corpora(*names), notices.append, unknown))
            assert {one.name for one in found} == set(names)
            told = f"'{names[0]}': dropped, as the vocabulary has no such characters: 4 of {whole}; no figure speaks"
            assert [notice for notice in notices if "dropped" in notice] == notices
            assert len(notices) == 1
            assert notices[0].startswith(told)


def test_a_line_that_ends_in_a_carriage_return_alone_is_scored_without_it(tmp_path, engine, tokenizer):
    (tmp_path / "a").write_bytes(b"one\r\ntwo\r")
    found = list(score_lines(engine, tokenizer, corpora(str(tmp_path / "a")), print))
    assert [one.text for one in found] == ["one", "two"]


def test_lines_that_have_ended_are_not_read_on(engine, tokenizer, tmp_path, monkeypatch):
    """One line of a million characters among short ones took as long as if all were that long."""
    rows, score = [], type(engine).score
    monkeypatch.setattr(
        type(engine), "score", lambda self, ids, state: rows.append(ids.shape) or score(self, ids, state)
    )
    lines = ["short"] * 63 + ["a" * (3 * STEPS + 5)]
    (tmp_path / "a").write_text("\n".join(lines))
    found = {one.line: one for one in score_lines(engine, tokenizer, corpora(str(tmp_path / "a")), print)}
    assert [count for count, _ in rows] == [64, 1, 1, 1]
    for number in (1, 64):
        ids = np.concatenate([tokenizer.line_end, tokenizer.encode(lines[number - 1])])
        alone = evaluate(engine, tokenizer, ids, split="all").score
        assert found[number].score.total_nats == pytest.approx(alone.total_nats, rel=1e-5)


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
