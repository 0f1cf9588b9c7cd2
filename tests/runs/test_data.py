"""From text to ids, once; and the same ids for a run made earlier, or a refusal that says what has changed."""

import dataclasses
import os
import shutil

import numpy as np
import pytest

from charlm.config import Config, CorpusConfig, TokenizerConfig
from charlm.errors import ConfigError, CorpusError, RunError, TokenizerError
from charlm.runs import create_run, open_run, open_run_data, prepare
from charlm.runs.data import refuse_read_once
from charlm.tokenizers import CharTokenizer, Tokenizer

TEXT = "".join(f"line {n}: to be, or not to be\n" for n in range(400))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def poem(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def made(tmp_path, poem):
    """A run of the poem, as training makes it."""
    config = Config(corpus=CorpusConfig(corpus=(str(poem),), split="90/10"))
    data = prepare(config.corpus, config.tokenizer)
    facts = {"corpus": data.facts, "corpus_name": data.corpus_name}
    return create_run(tmp_path / "runs" / "a", config=config, facts=facts, tokenizer=data.tokenizer)


@pytest.mark.parametrize("spec", ["char", "byte", "bpe:300"])
def test_the_parts_decode_to_the_parts_of_the_text(poem, spec):
    data = prepare(CorpusConfig(corpus=(str(poem),), split="80/10/10"), TokenizerConfig(tokenizer=spec))
    parts = [data.tokenizer.decode(data.store.part(part)) for part in ("train", "validation", "test")]
    assert "".join(parts) == TEXT
    assert data.facts["parts"]["test"] == [len(TEXT) - len(parts[2]), len(TEXT)]
    assert data.corpus_name == "poem"
    assert data.facts["characters"] == len(TEXT)


def test_a_text_is_encoded_once(poem, monkeypatch):
    config = CorpusConfig(corpus=(str(poem),))
    first = prepare(config, TokenizerConfig())
    monkeypatch.setattr(Tokenizer, "encode", lambda *_: pytest.fail("encoded again"))
    again = prepare(config, TokenizerConfig())
    assert np.array_equal(again.store.part("train"), first.store.part("train"))
    with pytest.raises(BaseException, match="encoded again"):
        prepare(CorpusConfig(corpus=(str(poem),), split="50/50"), TokenizerConfig())


class ChangesTheText:
    """Progress that writes over the end of a file, in its place, once its beginning has been encoded."""

    def __init__(self, path):
        self.path = path

    def start(self, what, total):
        pass

    def advance(self, n):
        with self.path.open("r+b") as file:
            file.seek(-100, os.SEEK_END)
            file.write(b"e" * 100)

    def finish(self):
        pass


@pytest.mark.parametrize("whole", [True, False])
def test_ids_of_a_text_that_changed_meanwhile_are_not_kept(poem, monkeypatch, tmp_path, whole):
    """Their store would bear the digest of the text before, and be taken for it ever after."""
    for constant in ("corpus.KEPT", "corpus.PIECE", "reading.BLOCK"):
        monkeypatch.setattr(f"charlm.corpora.{constant}", 0 if constant.endswith("KEPT") else 1000)
    config = CorpusConfig(corpus=(str(poem),))
    with pytest.raises(CorpusError, match="was changed while charlm was reading it: start again"):
        prepare(
            config,
            CharTokenizer("".join(sorted(set(TEXT)))),
            whole=whole,
            progress=ChangesTheText(poem),
        )
    assert not list((tmp_path / "cache").rglob("*.json"))
    poem.write_text(TEXT)
    data = prepare(config, TokenizerConfig(), whole=whole)
    assert data.tokenizer.decode(data.store.part("all")) == TEXT


def test_what_a_killed_process_left_goes_also_where_the_ids_are_there(poem, tmp_path):
    config = CorpusConfig(corpus=(str(poem),))
    prepare(config, TokenizerConfig())
    left = tmp_path / "cache" / "tokens" / ".1-0.charlm-tmp"
    left.write_bytes(b"half")
    prepare(config, TokenizerConfig())
    assert not left.exists()


def test_a_damaged_store_is_made_again(poem, tmp_path):
    config = CorpusConfig(corpus=(str(poem),))
    first = prepare(config, TokenizerConfig())
    expected = first.store.part("train").copy()
    for path in (tmp_path / "cache" / "tokens").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    assert np.array_equal(prepare(config, TokenizerConfig()).store.part("train"), expected)


def test_the_vocabulary_is_learnt_from_the_training_part_alone(tmp_path):
    (tmp_path / "a.txt").write_text("ab" * 50 + "é")
    data = prepare(CorpusConfig(corpus=(str(tmp_path / "a.txt"),), split="90/10"), TokenizerConfig())
    assert len(data.tokenizer.encode("é")) == 2  # as bytes
    assert data.tokenizer.decode(data.store.part("validation")).endswith("é")


@pytest.mark.parametrize(("asked", "said"), [(None, 1), (2, 0), (1, 0)])
def test_a_vocabulary_that_leaves_characters_out_unasked_says_so(tmp_path, asked, said):
    (tmp_path / "a.txt").write_text("ab" * 20_000 + "".join(map(chr, range(0x4E00, 0x4E00 + 900))))
    data = prepare(CorpusConfig(corpus=(str(tmp_path / "a.txt"),), split="100"), TokenizerConfig(min_count=asked))
    notices = [line for line in data.notices if line.startswith("min count 2: rarer characters are written as bytes")]
    assert len(notices) == said
    assert data.tokenizer.decode(data.store.part("train")) == (tmp_path / "a.txt").read_text()


@pytest.mark.parametrize("text", ["a", "ab", "abc\n", "aaaa"])
def test_the_shortest_texts_work(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    data = prepare(CorpusConfig(corpus=(str(tmp_path / "a.txt"),)), TokenizerConfig())
    assert "".join(data.tokenizer.decode(data.store.part(part)) for part in data.store.parts) == text


def test_a_character_that_cannot_be_encoded_is_placed_in_the_whole_text(tmp_path, monkeypatch):
    monkeypatch.setattr("charlm.corpora.corpus.PIECE", 100)
    (tmp_path / "a.txt").write_text(TEXT + "→ and so on")  # in the last part, many pieces on
    message = rf"character '→' \(U\+2192\) at position {len(TEXT)} is not in the vocabulary"
    with pytest.raises(TokenizerError, match=message):
        prepare(CorpusConfig(corpus=(str(tmp_path / "a.txt"),)), TokenizerConfig(unknown="error"))


def test_bytes_need_the_byte_tokenizer(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 4)
    config = CorpusConfig(corpus=(str(tmp_path / "a.bin"),), bytes=True, split="90/10")
    with pytest.raises(ConfigError, match="bytes needs the tokenizer byte, was char: add --tokenizer byte, or try"):
        prepare(config, TokenizerConfig())
    with pytest.raises(ConfigError, match="was char: take a run that was trained so, or try --encoding"):
        prepare(config, CharTokenizer("ab"))
    data = prepare(config, TokenizerConfig(tokenizer="byte"))
    found = b"".join(data.tokenizer.decode_bytes(data.store.part(part)) for part in ("train", "validation"))
    assert found == bytes(range(256)) * 4


class Recorder:
    def __init__(self):
        self.told = []

    def start(self, what, total):
        self.told.append((what, total))

    def advance(self, n):
        self.told.append(n)

    def finish(self):
        self.told.append("finish")


def test_progress_counts_every_character(poem):
    recorder = Recorder()
    prepare(CorpusConfig(corpus=(str(poem),)), TokenizerConfig(), progress=recorder)
    start = recorder.told.index(("encoding poem", len(TEXT)))
    assert sum(recorder.told[start + 1 : -1]) == len(TEXT)
    assert recorder.told[-1] == "finish"


def test_a_run_opens_its_own_text_again(made):
    data = open_run_data(open_run(made.folder))
    assert (
        data.tokenizer.decode(data.store.part("train")) + data.tokenizer.decode(data.store.part("validation")) == TEXT
    )
    assert data.facts == made.facts["corpus"]
    assert data.notices == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text + "more\n",
            rf"had {len(TEXT):,} characters, has {len(TEXT) + 5:,}; start a new run with it, "
            "go on with charlm train --resume --run a --accept-change, or measure it with charlm eval TEXT --run a$",
        ),
        (lambda text: text.replace("not", "now", 1), rf"had {len(TEXT):,} characters, has .*, not the same ones"),
    ],
)
def test_a_changed_text_is_refused_and_may_be_accepted(made, poem, change, message, monkeypatch):
    monkeypatch.setenv("CHARLM_CHECKPOINTS", str(made.folder.parent))
    poem.write_text(change(TEXT))
    with pytest.raises(CorpusError, match=f"the corpus poem has changed since run a was made: {message}"):
        open_run_data(made)
    data = open_run_data(made, accept_change=True)
    assert data.facts["characters"] == len(change(TEXT))
    assert "has changed since run a was made" in data.notices[-1]


def test_a_text_that_is_gone_is_replaced_by_its_ids_with_a_notice(made, poem, tmp_path):
    poem.unlink()
    data = open_run_data(made)
    assert data.tokenizer.decode(data.store.part("train")) == TEXT[: made.facts["corpus"]["parts"]["train"][1]]
    assert data.notices[0].endswith("the ids kept from the first time are used")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(
        CorpusError, match=rf"the text of run a is not here, nor are its ids: .*{poem.name}.* eval TEXT"
    ):
        open_run_data(made)


@pytest.mark.parametrize("corpus", [("-", "poem.txt"), ("gone.txt", "poem.txt")])
def test_one_text_of_several_that_is_gone_is_replaced_too(made, poem, monkeypatch, corpus):
    """Whether others are there still or not: what standard input held can be had nowhere else."""
    monkeypatch.chdir(poem.parent)
    config = dataclasses.replace(made.config, corpus=CorpusConfig(corpus=corpus))
    monkeypatch.setattr(made, "config", config)
    data = open_run_data(made)
    assert data.tokenizer.decode(data.store.part("train")) == TEXT[: made.facts["corpus"]["parts"]["train"][1]]
    assert data.notices[0].endswith("the ids kept from the first time are used")


def test_a_pipe_is_not_waited_for_again(made, tmp_path, monkeypatch):
    """Nobody writes to it any more: the ids are kept, as those of standard input are."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(made, "config", dataclasses.replace(made.config, corpus=CorpusConfig(corpus=(str(pipe),))))
    data = open_run_data(made)
    assert data.tokenizer.decode(data.store.part("train")) == TEXT[: made.facts["corpus"]["parts"]["train"][1]]
    assert data.notices[0].startswith(f"the text came from {str(pipe)!r}, which is not read again")


def test_what_can_be_read_once_is_refused_by_who_reads_it_twice(poem, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for name, words in (("-", "standard input"), (str(pipe), repr(str(pipe)))):
        with pytest.raises(ConfigError, match=f"^compare reads its text more than once: save {words} to a file first$"):
            refuse_read_once(CorpusConfig(corpus=(str(poem), name)), "compare")
    refuse_read_once(CorpusConfig(corpus=(str(poem), str(tmp_path), "shakespeare")), "compare")


def test_a_text_that_was_emptied_is_no_text_that_is_gone(made, poem):
    poem.write_text("")
    with pytest.raises(CorpusError, match="empty"):
        open_run_data(made)


def test_a_run_whose_vocabulary_is_damaged_says_so(made):
    (made.folder / "tokenizer.json").write_text("{}")
    with pytest.raises(RunError, match=r"tokenizer\.json"):
        open_run_data(open_run(made.folder))
