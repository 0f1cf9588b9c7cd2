"""Files to text: encodings, marks, gzip, pipes, odd paths; what is no text is told in one line."""

import codecs
import gzip
import io
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import CorpusConfig
from charlm.corpora import open_corpus, reading
from charlm.corpora.reading import Document, Form, read_text
from charlm.errors import ConfigError, CorpusError

ODD = "NUL \x00 CRLF \r\n CR \r LS \u2028 FF \f \u2581 e\u0301 👩‍👩‍👧 ﬁ \ufeff end"


def text_of(*paths, part="all", **settings):
    return "".join(open_corpus(CorpusConfig(corpus=tuple(map(str, paths)), **settings)).chunks(part))


def document_of(content, **form):
    return Document(name="doc", open=lambda: io.BytesIO(content), form=Form(**form))


def test_odd_characters_are_kept(tmp_path):
    (tmp_path / "odd.txt").write_bytes(ODD.encode())
    assert text_of(tmp_path / "odd.txt") == ODD
    unix = ODD.replace("\r\n", "\n").replace("\r", "\n")
    assert text_of(tmp_path / "odd.txt", newlines="unix") == unix


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_is_decoded_with_one_notice(tmp_path, mark, encoding):
    (tmp_path / "a.txt").write_bytes(mark + ODD.encode(encoding))
    corpus = open_corpus(CorpusConfig(corpus=(str(tmp_path / "a.txt"),)))
    assert "".join(corpus.chunks("all")) == ODD
    (notice,) = corpus.notices
    assert f"decoded as {encoding.upper()}, as its byte-order mark says" in notice
    assert text_of(tmp_path / "a.txt", encoding=encoding) == ODD
    assert text_of(tmp_path / "a.txt", bytes=True).encode("utf-8", "surrogateescape") == mark + ODD.encode(encoding)


def test_a_given_encoding_wins_over_a_mark_of_another(tmp_path):
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF8 + b"abc")
    assert text_of(tmp_path / "a.txt", encoding="latin-1") == "ï»¿abc"


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (
            b"one\ntwo\n\xff",
            None,
            r"'bad': byte 0xFF at offset 8, line 3 is not UTF-8; try --encoding, or --bytes with --tokenizer byte",
        ),
        (b"caf\xe9\n", None, r"byte 0xE9 at offset 3, line 1 is not UTF-8"),
        (b"ends early \xe2\x82", None, r"byte 0xE2 at offset 11, line 1 is not UTF-8"),
        (b"\xed\xa0\x80 surrogate", None, r"byte 0xED at offset 0, line 1"),
        (codecs.BOM_UTF8 + b"a\n\xff", None, r"byte 0xFF at offset 5, line 2"),
        (
            codecs.BOM_UTF16_LE + "a\nb".encode("utf-16-le") + b"\x00\xd8x\x00",
            None,
            r"at offset 8, line 2 is not UTF-16-LE",
        ),
        (b"a\r\nb\x81", "cp1252", r"byte 0x81 at offset 4, line 2 is not CP1252"),
        (b"\n\n\x80", "ascii", r"byte 0x80 at offset 2, line 3 is not ASCII"),
        (b"\n\xff\xff", "gb18030", r"at offset 1, line 2 is not GB18030"),
    ],
)
@pytest.mark.parametrize("block", [1, 3, 4096])
def test_a_bad_byte_is_named(tmp_path, monkeypatch, content, encoding, message, block):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reading, "BLOCK", block)
    Path("bad").write_bytes(content)
    with pytest.raises(CorpusError, match=message) as caught:
        text_of("bad", encoding=encoding)
    assert "\n" not in str(caught.value)


def test_a_bad_byte_far_into_a_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc\n" * 2_000_000 + b"ab\x80")
    with pytest.raises(CorpusError, match="byte 0x80 at offset 8000002, line 2000001"):
        text_of(tmp_path / "a.txt")


@given(st.binary(max_size=60), st.integers(1, 9))
def test_bytes_survive_whatever_they_are(content, block):
    size, reading.BLOCK = reading.BLOCK, block
    try:
        text = "".join(read_text(document_of(content, as_bytes=True)))
    finally:
        reading.BLOCK = size
    assert text == content.decode("utf-8", "surrogateescape")
    assert text.encode("utf-8", "surrogateescape") == content


@given(st.text(max_size=40), st.integers(1, 9), st.sampled_from(["utf-8", "utf-16", "utf-32-be", "utf-7", "gb18030"]))
def test_text_survives_any_cut_into_blocks(text, block, encoding):
    text = text.encode("utf-8", "ignore").decode()
    size, reading.BLOCK = reading.BLOCK, block
    try:
        assert "".join(read_text(document_of(text.encode(encoding), encoding=encoding))) == text
    finally:
        reading.BLOCK = size


@pytest.mark.parametrize("name", ["klingon", "", "base64", "zip", "rot13", "undefined", "utf-8\x00", "ütf"])
def test_an_unknown_encoding(tmp_path, name):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ConfigError, match="encoding must be one that Python knows"):
        text_of(tmp_path / "a.txt", encoding=name)


def test_gzip_is_opened_on_the_way(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(ODD.encode()) + gzip.compress(b"more"))
    assert text_of(tmp_path / "a.txt.gz") == ODD + "more"
    assert text_of(tmp_path / "a.txt.gz", bytes=True) == ODD + "more"


@pytest.mark.parametrize(
    "content",
    [
        b"not gzip",
        gzip.compress(b"a" * 10**6)[:-20],
        gzip.compress(b"a" * 10**6)[:-8] + b"\0" * 8,
        gzip.compress(os.urandom(999))[:40] + b"?" * 999,
    ],
)
def test_a_damaged_gzip_file(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(CorpusError, match=r"a\.gz' is not a sound gzip file"):
        text_of(tmp_path / "a.gz")


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (gzip.compress(b"text", mtime=0), "gzip, not text: end its name in .gz"),
        (b"PK\x03\x04\x14\x00", "a zip archive"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF, not text: convert it"),
        (b"\x7fELF\x02\x01\x01", "an executable"),
        (b"MZ\x90\x00\x03", "an executable"),
        (b"\xfd7zXZ\x00\x00", "xz"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"x" * 257 + b"ustar\x0000", "a tar archive"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"SQLite format 3\x00", "an SQLite database"),
        (b"GIF89a\x01\x00", "a GIF picture"),
        (b"PAR1\x15\x04", "a Parquet file"),
    ],
)
def test_what_is_no_text(tmp_path, content, looks_like):
    path = tmp_path / "input"
    path.write_bytes(content + b"\xff" * 600)
    with pytest.raises(CorpusError, match=f"input' looks like {looks_like}"):
        open_corpus(CorpusConfig(corpus=(str(path),)))
    assert text_of(path, bytes=True).encode("utf-8", "surrogateescape") == content + b"\xff" * 600
    (tmp_path / "twice.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(CorpusError, match=f"twice.gz' looks like {looks_like.partition(',')[0]}"):
        open_corpus(CorpusConfig(corpus=(str(tmp_path / "twice.gz"),)))


@pytest.mark.parametrize("content", ["GIF89a is a format.", "PAR1 is a gene: " + "ö" * 600])
def test_a_text_may_begin_with_the_letters_of_a_mark(tmp_path, content):
    (tmp_path / "input").write_text(content)
    assert text_of(tmp_path / "input") == content


ODD_NAMES = [b"a b", "Füße".encode(), b"line\nend", b"-rf", b"[/x]", b"x" * 255, b"\xff\xfe", b"\x1b[31m", b"%s{}"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_work_and_are_escaped_in_messages(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = os.fsdecode(name)
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_bytes(b"text\xff")
    assert text_of(path, encoding="latin-1") == "textÿ"
    with pytest.raises(CorpusError) as caught:
        text_of(path)
    assert str(caught.value).isprintable()
    assert repr(path) in str(caught.value)
    corpus = open_corpus(CorpusConfig(corpus=(path,), bytes=True))
    assert corpus.name.isascii()
    assert corpus.name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    assert len(corpus.name) <= 30


@pytest.mark.parametrize("name", ["missing", "a\x00b", "x" * 300, "no/such/file", "\udcff"])
def test_what_is_not_there(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="no corpus or file ") as caught:
        text_of(name)
    assert str(caught.value).isprintable()


def test_a_misspelt_corpus_is_suggested():
    with pytest.raises(CorpusError, match=r"no corpus or file 'shakespere' \(did you mean shakespeare\?\); named"):
        text_of("shakespere")


def test_a_loop_of_links_and_a_device(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CorpusError, match=r"cannot read .*loop"):
        text_of(tmp_path / "loop")
    with pytest.raises(CorpusError, match="'/dev/zero' is a device, not a text"):
        text_of("/dev/zero")


@pytest.mark.parametrize("name", ["pipe", "pipe.gz"])
def test_a_pipe_is_read_once_and_kept(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    content = gzip.compress(ODD.encode()) if name.endswith(".gz") else ODD.encode()
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    corpus = open_corpus(CorpusConfig(corpus=(str(path),)))
    writer.join()
    assert "".join(corpus.chunks("all")) == ODD
    assert "".join(corpus.chunks("all")) == ODD


def test_standard_input_is_read_once_and_kept(monkeypatch):
    corpus = open_corpus(CorpusConfig(corpus=("-",)), stdin=io.BytesIO(ODD.encode()))
    assert corpus.name == "stdin"
    assert "".join(corpus.chunks("all")) == "".join(corpus.chunks("all")) == ODD
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(CorpusError, match="standard input is closed"):
        text_of("-")


def test_a_file_changed_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("charlm.corpora.corpus.KEPT", 0)
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc\n" * 100)
    corpus = open_corpus(CorpusConfig(corpus=(str(path),)))
    corpus.measure()
    path.write_bytes(b"abc\n" * 99)
    with pytest.raises(CorpusError, match="was changed while charlm was reading it: start again"):
        list(corpus.chunks("train"))
