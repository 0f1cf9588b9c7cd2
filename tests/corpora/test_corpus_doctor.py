"""The corpus doctor finds what is put there for it to find."""

import random

import pytest

from charlm.config import CorpusConfig, TokenizerConfig
from charlm.corpora import check_corpus
from charlm.corpora.overlap import WINDOW, Seen, codes_of
from charlm.runs.data import prepare
from charlm.tokenizers.rare import least_count_of


def random_text(seed, length):
    return "".join(random.Random(seed).choices("abcdefgh \n", k=length))


def check(*paths, **settings):
    return check_corpus(CorpusConfig(corpus=tuple(map(str, paths)), **settings), least_count_of)


def test_a_plain_text_has_nothing_odd(tmp_path):
    (tmp_path / "t").write_text(random_text(1, 300_000))
    report = check(tmp_path / "t")
    assert (report.once_only, report.controls, report.duplicates, report.unseen) == ((), {}, (), ())
    assert (report.crlf, report.cr, report.min_count, report.distinct_characters) == (0, 0, 1, 10)
    assert report.shared == {"validation": 0.0, "test": 0.0}
    assert (report.encodings, report.split, report.preset) == (("utf-8",), "90/5/5", "tiny")
    assert len(report.notes) == 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"aaab", ["4 characters, 4 bytes, 1 document, 2 distinct characters", "1 character occurs once: 'b' U+0062"]),
        (b"a", ["1 character, 1 byte, 1 document, 1 distinct character;"]),
        (b"aab\r\nc", ["1 line end is CRLF", "4 characters occur once"]),
    ],
)
def test_one_is_no_plural(tmp_path, content, words):
    (tmp_path / "t").write_bytes(content)
    notes = "\n".join(check(tmp_path / "t").notes)
    assert [word for word in words if word not in notes] == []


@pytest.mark.parametrize(
    ("content", "ends"),
    [
        (b"a" * 89 + b"\r\n" + b"b" * 9, (1, 0)),
        (b"a\r\nb\r\nc\rd\n" * 50, (100, 50)),
        (b"a" * 89 + b"\r" + b"b" * 9, (0, 1)),
    ],
)
def test_line_ends_that_the_split_cuts_are_counted_whole(tmp_path, content, ends):
    (tmp_path / "t").write_bytes(content)
    report = check(tmp_path / "t", split="90/5/5")
    assert (report.crlf, report.cr) == ends


def test_what_is_odd_is_found(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\r\nthree\rfour\x00\x1b[0m\x1b" + "\u202e".encode() + b"Q\n")
    (tmp_path / "b.txt").write_bytes(b"same")
    (tmp_path / "c.txt").write_bytes(b"same")
    report = check(tmp_path, split="90/10")
    assert (report.crlf, report.cr) == (2, 1)
    assert report.controls == {"\x00": 1, "\x1b": 2, "\u202e": 1}
    assert "Q" in report.once_only
    assert report.duplicates == ((str(tmp_path / "b.txt"), str(tmp_path / "c.txt")),)
    notes = "\n".join(report.notes)
    for words in (
        "2 line ends are CRLF: --newlines unix",
        "1 carriage return stands alone",
        "U+0000 1 time, U+001B 2 times, U+202E 1 time",
        "the same content 2 times:",
        "--split 80/20",
    ):
        assert words in notes
    assert all(note.isprintable() for note in report.notes)


def test_validation_that_stands_in_train(tmp_path):
    train, fresh = random_text(1, 90_000), random_text(2, 10_000)
    (tmp_path / "half").write_text(train + train[500:5_500] + fresh[:5_000])
    report = check(tmp_path / "half", split="90/10")
    assert report.shared["validation"] == pytest.approx(0.5, abs=0.01)
    assert any("of validation" in note and "look better" in note for note in report.notes)


def test_characters_that_train_never_sees(tmp_path):
    (tmp_path / "t").write_text("a" * 95 + "b" * 4 + "ü")
    assert check(tmp_path / "t", split="90/10").unseen == ("b", "ü")


@pytest.mark.parametrize("length", [1, 2, WINDOW - 1, WINDOW, WINDOW + 1])
@pytest.mark.parametrize("split", [None, "100"])
def test_tiny_texts(tmp_path, length, split):
    (tmp_path / "t").write_text("x" * length)
    report = check(tmp_path / "t", split=split)
    assert report.distinct_characters == 1
    assert (report.once_only == ("x",)) is (length == 1)
    assert report.shared == {}
    assert not any("word for word" in note for note in report.notes)


def test_a_part_too_short_for_a_window_is_not_said_to_be_new(tmp_path):
    (tmp_path / "t").write_text("x" * 100)
    assert check(tmp_path / "t", split="60/32/8").shared == {"validation": 1.0}
    assert check(tmp_path / "t", split="20/80").shared == {}  # nor where train is


def test_texts_read_as_bytes_have_no_encoding(tmp_path):
    (tmp_path / "t").write_bytes(bytes(range(256)) * 4)
    report = check(tmp_path / "t", bytes=True)
    assert report.encodings == ()
    assert report.notes[0].endswith("; read as bytes")


def test_shares_of_windows_by_hand():
    train = random_text(3, 5000)
    other = train[100:200] + "#" + train[1000:1050]
    windows = [other[at : at + WINDOW] for at in range(len(other) - WINDOW + 1)]
    expected = sum(window in train for window in windows) / len(windows)
    seen = Seen(map(codes_of, [train]), len(train))
    assert seen.share(map(codes_of, [other])) == expected
    assert seen.share(map(codes_of, other)) == expected, "the same however the text is cut into pieces"
    assert Seen(map(codes_of, train), len(train)).share(map(codes_of, [other])) == expected
    assert Seen([], 0).share(map(codes_of, [other])) == 0
    assert seen.share([]) == 0


def test_a_sample_of_the_windows_of_a_long_text(monkeypatch):
    monkeypatch.setattr("charlm.corpora.overlap._MOST", 1000)
    train = random_text(4, 100_000)
    other = train[:10_000] + random_text(5, 10_000)
    assert Seen([codes_of(train)], len(train)).share([codes_of(other)]) == pytest.approx(0.5, abs=0.15)


def test_a_text_read_as_bytes_leaves_no_byte_out(tmp_path):
    (tmp_path / "t").write_bytes(b"a" * 50_000 + bytes(range(256)))
    report = check_corpus(CorpusConfig(corpus=(str(tmp_path / "t"),), bytes=True, split="100"), lambda counts: 2)
    assert (report.min_count, report.rare) == (1, (0, 0.0))
    assert not any("occur fewer than" in note for note in report.notes)


def test_what_a_training_leaves_out_of_the_vocabulary_is_said(tmp_path):
    once = "".join(map(chr, range(0x4E00, 0x4E00 + 1000)))
    (tmp_path / "t").write_text(random_text(1, 50_000) + once + "\N{GRINNING FACE}")
    report = check(tmp_path / "t", split="100")
    tokenizer = prepare(CorpusConfig(corpus=(str(tmp_path / "t"),), split="100"), TokenizerConfig()).tokenizer
    assert report.min_count == tokenizer.min_count == 2
    assert report.rare == (1001, pytest.approx(1001 / 51_001))
    assert "1,001 characters occur fewer than 2 times in train (1.96 % of it): charlm train" in report.notes[-1]
