"""A fetched text that was changed since: never trained on, however it is read; and files that are no texts at all."""

import json
import os

import pytest

from charlm.config import CorpusConfig
from charlm.corpora import find_installed, install, open_corpus, read_recipe
from charlm.corpora.folders import text_folder
from charlm.errors import CharlmError, ConfigError, CorpusError

RECIPE = f'title = "T"\nlicence = "L"\n[[source]]\nurl = "https://example.invalid/t.txt"\nsha256 = "{"a" * 64}"\n'
TEXTS = [("one", "train", "to be\nor not\n"), ("two", "validation", "that is\n"), ("three", "test", "the question\n")]


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """The folder of the text of a corpus called poems, as a fetch leaves it."""
    path = tmp_path / "corpora" / "poems" / "corpus.toml"
    path.parent.mkdir(parents=True)
    path.write_text(RECIPE)
    monkeypatch.setenv("CHARLM_CORPORA", str(tmp_path / "corpora"))
    recipe = read_recipe(path)
    folder = text_folder(path) / recipe.key
    folder.mkdir(parents=True)
    install._write(recipe, [install.Made(*text) for text in TEXTS], folder)
    return folder


def read(**settings):
    corpus = open_corpus(CorpusConfig(**{"corpus": ("poems",), **settings}))
    corpus.measure()
    return "".join(corpus.chunks("all"))


@pytest.mark.parametrize("how", ["alone", "unix", "boundary", "split", "beside"])
def test_a_changed_text_is_refused_however_it_is_read(fetched, tmp_path, how):
    (tmp_path / "more.txt").write_text("and more\n")
    settings = {
        "alone": {},
        "unix": {"newlines": "unix"},
        "boundary": {"boundary": "\n--\n"},
        "split": {"split": "50/50"},
        "beside": {"corpus": ("poems", str(tmp_path / "more.txt"))},
    }[how]
    assert "or not" in read(**settings)
    path = fetched / "text.txt"
    path.write_bytes(path.read_bytes().replace(b"or not", b"or now"))
    with pytest.raises(
        CorpusError, match="the text of corpus 'poems' is damaged: get it again: charlm corpora get poems"
    ):
        read(**settings)


def changed(record, name, value):
    """The record with a value of its first document, or of its own, replaced."""
    if name in record:
        return {**record, name: value}
    first, *others = record["documents"]
    return {**record, "documents": [{**first, name: value}, *others]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("part", "tsain"),
        ("part", 3),
        ("part", ["train"]),
        ("start", 1),
        ("start", "0"),
        ("end", 11),
        ("end", None),
        ("end", 12.0),
        ("characters", 11),
        ("characters", True),
        ("name", 5),
        ("sha256", "0" * 64),
        ("documents", []),
        ("documents", 7),
        ("documents", [[]]),
        ("more", 1),
    ],
)
def test_a_damaged_record_of_the_documents_is_no_text(fetched, name, value):
    path = fetched / "documents.json"
    path.write_text(json.dumps(changed(json.loads(path.read_text()), name, value)))
    with pytest.raises(CorpusError, match=r"is not here: get it with|is damaged: get it again"):
        read()


@pytest.mark.parametrize("content", [b"[" * 100_000, b"", b"[]", b'{"documents": [' + b"{}," * 10**6 + b"{}]}"])
def test_a_record_of_something_else_is_no_text(fetched, content):
    (fetched / "documents.json").write_bytes(content)
    assert find_installed(read_recipe(fetched.parents[1] / "corpus.toml")) is None


@pytest.mark.parametrize(
    ("encoding", "content", "message"),
    [
        ("utf-16", b"plain text", "'x.txt': UTF-16 stream does not start with BOM; try --encoding UTF-16-LE or"),
        ("utf-32", b"p\0\0\0l\0\0\0", "try --encoding UTF-32-LE or UTF-32-BE"),
        (
            "utf-32",
            bytes.fromhex("00000000 00010061 20fe086e"),
            "is not UTF-32; try --encoding, or --bytes with --tokenizer byte",
        ),
        ("punycode", b"plain text", "encoding must be one that Python knows"),
    ],
)
def test_an_encoding_that_does_not_fit_is_named(tmp_path, monkeypatch, encoding, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(CharlmError, match=message):
        open_corpus(CorpusConfig(corpus=("x.txt",), encoding=encoding)).measure()


def test_a_pattern_that_is_none_is_named(tmp_path):
    (tmp_path / "x.txt").write_text("text")
    with pytest.raises(ConfigError, match=r"the pattern '\[z-a\]' cannot be used: bad character range z-a"):
        open_corpus(CorpusConfig(corpus=(os.fspath(tmp_path),), include=("[z-a]",)))
