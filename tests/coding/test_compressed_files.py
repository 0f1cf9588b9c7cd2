"""Compressed files: any bytes come back, damage is told, and the size is what an evaluation reports."""

import io
import random
import tracemalloc
import zlib

import numpy as np
import pytest

from charlm.coding import Coder, compress, pieces
from charlm.coding.figures import figures_of
from charlm.config import ModelConfig, TokenizerConfig
from charlm.errors import CharlmError, CorpusError, RunError
from charlm.tokenizers import train_tokenizer

ODD = [
    b"",
    b"a",
    b"\n",
    b"\xff",
    b"a\r\nb\rc\n\r",
    bytes(range(256)),
    "漢字 é 😀 \u2028 \ufeff \u2581".encode(),
    "caf\u00e9".encode("latin-1"),
    "naïve ☃".encode("utf-16"),
    b"\xe6\xbc\xa2"[:2] + b"text" + b"\xf0\x9f",
    b"\xed\xa0\x80 half of a pair, and too long \xc0\xaf",
    b"\x00" * 50,
]
CONFIG = ModelConfig(hidden_size=8, layers=1)


def compressed(coder, content):
    out = io.BytesIO()
    sizes = coder.compress(io.BytesIO(content), out)
    assert (sizes.before, sizes.after) == (len(content), len(out.getvalue()))
    return out.getvalue()


def decompressed(coder, packed):
    out = io.BytesIO()
    assert coder.decompress(io.BytesIO(packed), out, "x.charlm") == len(out.getvalue())
    return out.getvalue()


@pytest.fixture(scope="module")
def make_coder(make_arrays):
    def make(tokenizer, seed=3, engine="auto", config=CONFIG):
        return Coder(config, make_arrays(config, tokenizer.vocab_size, seed), tokenizer, engine=engine, threads=1)

    return make


@pytest.fixture(scope="module")
def coder(make_coder, tokenizer):
    return make_coder(tokenizer)


def test_a_thousand_random_texts_come_back(coder, text):
    draws = random.Random(0)
    alphabets = [sorted(set(text)), list("ab"), list("aé☃😀\r\n\t\0"), list(map(chr, range(0x250)))]
    for number in range(1000):
        content = "".join(draws.choices(alphabets[number % 4], k=draws.randrange(60))).encode()
        if number % 8 == 0:
            content = draws.randbytes(draws.randrange(60))
        assert decompressed(coder, compressed(coder, content)) == content


TOKENIZERS = [
    TokenizerConfig(),
    TokenizerConfig(unknown="error"),
    TokenizerConfig(unknown="drop", min_count=20),
    TokenizerConfig(tokenizer="byte"),
    TokenizerConfig(tokenizer="bpe:300"),
]


@pytest.mark.parametrize("config", TOKENIZERS, ids=lambda config: f"{config.tokenizer} {config.unknown}")
def test_any_bytes_come_back_under_any_vocabulary(make_coder, text, config):
    coder = make_coder(train_tokenizer(config, [text]))
    for content in [*ODD, text[:2000].encode(), text[:300].encode() + b"\xff" + "漢".encode() * 3 + text[:50].encode()]:
        assert decompressed(coder, compressed(coder, content)) == content


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_long_texts_are_cut_in_blocks_and_lanes(make_coder, tokenizer, text, engine, monkeypatch):
    coder, content = make_coder(tokenizer, engine=engine), text[:3000].encode() + "é☃".encode() * 100
    monkeypatch.setattr(compress, "LANE", 150)
    monkeypatch.setattr(compress, "LANES_SHARE", 1.0)
    monkeypatch.setattr(pieces.read_pieces, "__defaults__", (1000,))
    assert decompressed(coder, compressed(coder, content)) == content


@pytest.mark.parametrize("most", [5, 64, 1000])
def test_pieces_end_with_a_line_or_a_character(text, most):
    content = "é☃😀\n".encode() * 40 + text[:3000].encode()

    class Pipe(io.BytesIO):
        def read(self, size=-1):  # a pipe gives what it has
            return super().read(min(size, 7))

    found = list(pieces.read_pieces(Pipe(content), most))
    assert b"".join(found) == content
    assert max(map(len, found)) <= most
    for piece in found:
        piece.decode("utf-8")


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_size_is_what_an_evaluation_reports(make_arrays, tokenizer, text, cell):
    config = ModelConfig(cell=cell, hidden_size=24, layer_norm=True)
    arrays, content = make_arrays(config, tokenizer.vocab_size), text.encode()
    arrays["output_weight"] *= 6
    after = len(compressed(Coder(config, arrays, tokenizer), content))
    found = figures_of(io.BytesIO(content), config, arrays, tokenizer)
    assert found.characters == len(text)
    assert abs(after - found.evaluated_bits / 8) < 0.001 * after + 64
    assert 0 < found.xz_bytes < len(content)


@pytest.mark.parametrize(("sure", "lanes"), [(0.0, 6), (9.0, 1)])
def test_a_sure_model_has_no_more_lanes_than_its_bits_pay_for(make_arrays, tokenizer, monkeypatch, sure, lanes):
    """Sixteen lanes of 4,096 symbols would be as long as a text of a hundredth of a bit a symbol."""
    monkeypatch.setattr(compress, "LANE", 2**12)
    config = ModelConfig(hidden_size=8, layers=1)
    arrays = {name: np.zeros_like(array) for name, array in make_arrays(config, tokenizer.vocab_size).items()}
    arrays["output_bias"][tokenizer.encode("a")] = sure
    content = b"a" * 2**16
    packed = compressed(Coder(config, arrays, tokenizer), content)
    found = figures_of(io.BytesIO(content), config, arrays, tokenizer)
    assert packed[len(compress.MAGIC) + compress.IDENTITY + 1 + 3] == lanes
    assert abs(len(packed) - found.evaluated_bits / 8) < 0.001 * len(packed) + 64
    assert decompressed(Coder(config, arrays, tokenizer), packed) == content


def test_every_truncation_and_bit_flip_is_refused(coder):
    packed = compressed(coder, b"It is dawn. \xff\r\n")
    for size in range(len(packed)):
        with pytest.raises(CharlmError, match=r"x.charlm"):
            decompressed(coder, packed[:size])
    for place in range(8 * len(packed)):
        damaged = bytearray(packed)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises((CorpusError, RunError), match=r"x.charlm"):
            decompressed(coder, bytes(damaged))
    with pytest.raises(CorpusError, match="something follows its end"):
        decompressed(coder, packed + b"\0")


def number(value):
    return bytes([value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128, value >> 21])


def sealed(start, *parts):
    content = start + b"".join(parts)
    return content + zlib.crc32(content).to_bytes(4, "little")


BOMB = zlib.compress(b"\1\0\0\0" + bytes(2**27), 9)
HOSTILE = {
    "a count that no block has": (number(2**27), number(1), number(0), number(0)),
    "more lanes than there may be": (number(2**22), number(65), *(number(0) for _ in range(66))),
    "lanes without symbols": (number(0), number(2), number(0), number(0), number(0)),
    "symbols without a lane": (number(5), number(0), number(0)),
    "a lane too many": (number(9), number(8), *(number(0) for _ in range(9))),
    "others that grow without end": (number(0), number(0), number(len(BOMB)), BOMB),
    "others that stand nowhere": (number(0), number(0), number(40), pieces.pack([(7, b"x" * 90)]).ljust(40, b"\0")),
    "others of no kind": (number(0), number(0), number(3), b"abc"),
    "a number that never ends": (b"\xff" * 40,),
    "no such stream": (number(40), number(1), number(7), number(0), b"\xff" * 7),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_blocks_with_the_right_checksum_are_refused_in_little_memory(coder, name):
    start = compressed(coder, b"")[:20]
    packed = sealed(start, b"\1", *HOSTILE[name]) + b"\0" * 20
    tracemalloc.start()
    try:
        with pytest.raises(CorpusError, match=r"x.charlm' is (damaged|cut short)"):
            decompressed(coder, packed)
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()


def test_another_model_is_refused(make_coder, coder, tokenizer, text):
    packed = compressed(coder, b"the text")
    others = [make_coder(tokenizer, seed=4), make_coder(train_tokenizer(TokenizerConfig(), [text[:-1] + "☃"]))]
    for other in others:
        with pytest.raises(RunError, match="compressed with another model"):
            decompressed(other, packed)


def test_rounding_that_changes_no_whole_number_changes_no_identity(make_arrays, tokenizer):
    """What must be equal is the numbers that are computed with."""
    arrays = make_arrays(CONFIG, tokenizer.vocab_size)
    packed = compressed(Coder(CONFIG, arrays, tokenizer), b"text")
    arrays["output_bias"] = np.nextafter(arrays["output_bias"], np.float32(9))
    assert decompressed(Coder(CONFIG, arrays, tokenizer), packed) == b"text"
