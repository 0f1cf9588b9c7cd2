"""Sub-word tokenizers: sizes that fit, sampling, silence, the same result every time."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from charlm.config import TokenizerConfig
from charlm.errors import ConfigError, TokenizerError
from charlm.tokenizers import Tokenizer, train_tokenizer
from charlm.tokenizers.sentencepiece_training import sample

KINDS = ["bpe", "unigram"]
_CHANCE = random.Random(7)
_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
RICH = "\n".join("".join(_CHANCE.choices(_SYLLABLES, k=_CHANCE.randint(1, 4))) for _ in range(2000))
TEXTS = {
    "repeated": "the cat sat on the mat, the cat sat.\n" * 30,
    "code": "\t\tif (x) {\n\t\t\treturn y;\n\t\t}\n    int z = 0;\n" * 30,
    "indented": "    x\n\t\ty\n        z\n" * 30 + "    {\n" * 10,
    "chinese": "".join(chr(0x4E00 + (i * i) % 997) for i in range(4000)),
    "names of bytes": "<0x41>a 0x41> 0x41>\n" * 100,
    "one line": RICH.replace("\n", " "),
    "one symbol": "aaaa",
    "words of other tools": "<unk> <s> </s> <pad> [UNK]\n" * 50,
}


def train(spec: str, text: str, **settings: int) -> Tokenizer:
    return train_tokenizer(TokenizerConfig(tokenizer=spec, **settings), [text])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TEXTS)
def test_too_large_says_what_fits_and_that_fits(kind: str, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{kind}:9000 is too large .* largest that fits is {kind}:\d+$") as raised:
        train(f"{kind}:9000", TEXTS[name])
    size = int(re.search(r"(\d+)$", str(raised.value)).group(1))
    tokenizer = train(f"{kind}:{size}", TEXTS[name])
    assert tokenizer.vocab_size == size
    assert tokenizer.name == f"{kind}:{size}"
    assert tokenizer.decode(tokenizer.encode(TEXTS[name])) == TEXTS[name]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["hello world\r\nfoo bar\r\n" * 60, "hello\0world\r\nfoo\0 bar\r\n" * 60, "zipf"])
def test_all_sizes_up_to_the_largest_can_be_had(kind: str, text: str) -> None:
    """Characters that take the place of pieces may take more of them: it was refused in between."""
    if text == "zipf":
        draws = random.Random(1)
        signs = [chr(0x4E00 + number) for number in range(700)]
        text = "".join(draws.choices(signs, [1 / (1 + number) for number in range(700)], k=3899))
    with pytest.raises(ConfigError, match="largest that fits") as raised:
        train(f"{kind}:60000", text)
    largest = int(re.search(r"(\d+)$", str(raised.value)).group(1))
    for size in sorted({257, 260, largest - 1, largest, *range(300, largest, max(97, largest // 8))}):
        assert train(f"{kind}:{size}", text).vocab_size == size
    with pytest.raises(ConfigError, match=f"largest that fits is {kind}:{largest}$"):
        train(f"{kind}:{largest + 1}", text)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_learnt(kind: str) -> None:
    tokenizer = train(f"{kind}:400", RICH)
    ids = tokenizer.encode(RICH)
    assert len(ids) < 0.6 * len(RICH)
    assert any(len(piece) > 3 for piece in tokenizer.pieces(ids))


@pytest.mark.parametrize(("kind", "size"), [("bpe", 271), ("unigram", 263)])
def test_indentation_and_marks_are_pieces(kind: str, size: int) -> None:
    tokenizer = train(f"{kind}:{size}", TEXTS["indented"])
    assert "    " in tokenizer.pieces(tokenizer.encode("\n    x"))
    # an id below 256 is a byte: nothing of what was learnt from
    assert tokenizer.encode("\t\ty").min() >= 256
    words = train(f"{kind}:273", TEXTS["words of other tools"])
    assert words.encode("<unk> <s> </s>").min() >= 256


@pytest.mark.parametrize("kind", KINDS)
def test_more_characters_than_ids(kind: str) -> None:
    # 499 characters, 44 ids beside the bytes: some of the characters are written as bytes
    tokenizer = train(f"{kind}:300", TEXTS["chinese"])
    ids = tokenizer.encode(TEXTS["chinese"])
    assert tokenizer.vocab_size == 300
    assert ids.min() < 256 < ids.max()
    assert tokenizer.decode(ids) == TEXTS["chinese"]


@pytest.mark.parametrize("kind", KINDS)
def test_min_count_keeps_rare_characters_out(kind: str) -> None:
    with_it = train(f"{kind}:400", RICH + "Q")
    without = train(f"{kind}:400", RICH + "Q", min_count=2)
    assert with_it.encode("Q").tolist() != [ord("Q")]
    assert without.encode("Q").tolist() == [ord("Q")]


@pytest.mark.parametrize("kind", KINDS)
def test_long_lines_are_cut_without_harm(kind: str) -> None:
    tokenizer = train(f"{kind}:400", TEXTS["one line"])
    ids = tokenizer.encode(TEXTS["one line"])
    # one id for a byte here would be one for a newline or for what sentencepiece never saw
    assert ids.min() >= 256
    assert tokenizer.decode(ids) == TEXTS["one line"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_space_that_was_never_seen(kind: str) -> None:
    tokenizer = train(f"{kind}:300", RICH)
    for text in (" ", "a b", "  ke  su\u2581 \n "):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", "\n\n", "\0", "\u2581\u2581\n"])
def test_nothing_to_learn_from(kind: str, text: str) -> None:
    with pytest.raises(TokenizerError, match=f"nothing to learn {kind} pieces from; use --tokenizer byte"):
        train(f"{kind}:300", text)


def test_training_and_encoding_say_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for kind in KINDS:
        train(f"{kind}:400", RICH).encode("a b \u2581")
        with pytest.raises(ConfigError):
            train(f"{kind}:9000", TEXTS["repeated"])
    assert capfd.readouterr() == ("", "")


def test_the_same_in_every_process() -> None:
    program = (
        "import sys; from charlm.config import TokenizerConfig; from charlm.tokenizers import train_tokenizer\n"
        "for kind in ('bpe', 'unigram'):\n"
        "    print(train_tokenizer(TokenizerConfig(tokenizer=f'{kind}:400'), [sys.argv[1]]).fingerprint)"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program, RICH],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert len(printed.pop().split()) == 2


def test_a_sample_is_bounded_and_spread_evenly() -> None:
    block = 1 << 15

    def chunks() -> Iterator[str]:
        for number in range(40):
            yield chr(0x100 + 2 * number) * block + chr(0x101 + 2 * number) * block

    kept = sample(chunks(), 16 * block)
    numbers = [ord(text[0]) - 0x100 for text in kept]
    assert 8 <= len(kept) <= 16
    assert numbers == list(range(0, 80, numbers[1]))
    assert sum(map(len, kept)) <= 16 * block
    assert sample(["short", "texts"], 16 * block) == ["short", "texts"]
