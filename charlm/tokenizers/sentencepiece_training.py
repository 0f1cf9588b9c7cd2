"""Training of sentencepiece models from a bounded, evenly spaced sample of the text."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from charlm.errors import ConfigError, TokenizerError
from charlm.tokenizers.byte import BYTE_IDS

#: Characters learnt from, by id of the vocabulary: with more of them, time and memory grow, the pieces hardly change.
SAMPLE_PER_ID = 1 << 10
SMALLEST_SAMPLE = 1 << 21
LARGEST_SAMPLE = 1 << 25
_BLOCK = 1 << 15
_LONGEST_LINE = 4096
#: Never learnt from: sentencepiece's signs for a space and for the unknown, NUL; and what ends a line.
_RESERVED = "\0\n\u2581\u2585"


def train_model(kind: str, size: int, min_count: int, chunks: Iterable[str]) -> bytes:
    """The serialised model with exactly `size` ids beside "unknown".

    Raises:
        ConfigError: a vocabulary larger than the text can fill; the message says what fits.
        TokenizerError: a text with nothing to learn from.
    """
    blocks = sample(chunks, min(max(size * SAMPLE_PER_ID, SMALLEST_SAMPLE), LARGEST_SAMPLE))
    characters = _characters(blocks, min_count)
    # Where not all characters fit, half of the ids go to the frequent ones and half to pieces of them ...
    room = size - BYTE_IDS
    count = len(characters) if len(characters) <= room else max(1, room // 2)
    model = _learn(kind, size, blocks, characters[:count])
    held = _ids(model)
    while held < size and count < len(characters):
        # ... but where too few pieces are found, characters take their place: of those that are new, some may be in
        # pieces that are lost by it
        count += size - held
        model = _learn(kind, size, blocks, characters[:count])
        held = _ids(model)
    if held != size:
        raise ConfigError(f"tokenizer {kind}:{size} is too large for this text: the largest that fits is {kind}:{held}")
    return model


def sample(chunks: Iterable[str], characters: int) -> list[str]:
    """Blocks of the text, evenly spaced over it, of at most so many characters in all.

    The same text gives the same sample only in the same chunks; corpora cut theirs always alike.
    """
    kept: list[str] = []
    stride = 1
    number = 0
    for chunk in chunks:
        for at in range(0, len(chunk), _BLOCK):
            if number % stride == 0:
                kept.append(chunk[at : at + _BLOCK])
                if len(kept) > characters // _BLOCK:
                    # Full: keep every second block, and from here on half as many.
                    kept, stride = kept[::2], stride * 2
            number += 1
    return kept


def _characters(blocks: list[str], min_count: int) -> list[str]:
    """The characters that may be learnt, the most frequent first, ties by code point."""
    counts: Counter[str] = Counter()
    for block in blocks:
        counts.update(block)
    learnable = (
        c for c, n in counts.items() if n >= min_count and c not in _RESERVED and not "\ud800" <= c <= "\udfff"
    )
    return sorted(learnable, key=lambda c: (-counts[c], c))


def _learn(kind: str, size: int, blocks: list[str], characters: list[str]) -> bytes:
    """The model of these characters: the text is cut at all others."""
    lines = list(_lines(blocks, set(characters)))
    if not lines:
        raise TokenizerError(f"this text has nothing to learn {kind} pieces from; use --tokenizer byte")
    try:
        return _train(kind, size + 1, lines)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise TokenizerError(
            f"sentencepiece can learn nothing from this text: {reason.rstrip('.')}; use --tokenizer byte"
        ) from None


def _lines(blocks: list[str], learnt: set[str]) -> Iterator[str]:
    """Lines for sentencepiece, cut where a character is not to be learnt."""
    for block in blocks:
        breaks = {ord(c): "\n" for c in set(block) - learnt}
        for line in block.translate(breaks).split("\n"):
            # subtle: an empty line gives nothing here, as it should
            yield from (line[at : at + _LONGEST_LINE] for at in range(0, len(line), _LONGEST_LINE))


def _train(kind: str, size: int, lines: list[str]) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type=kind,
        vocab_size=size,
        hard_vocab_limit=False,  # the largest that fits is found out from what it could fill
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,  # indentation
        byte_fallback=True,
        character_coverage=1.0,  # the characters were chosen above
        max_sentence_length=_LONGEST_LINE * 4,
        unk_piece="\ue000unknown\ue000",  # "<unk>" is a word of some corpora
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        num_threads=1,  # more are no faster here, and the sums of several differ in their last digits
        minloglevel=2,
    )
    return model.getvalue()


def _ids(model: bytes) -> int:
    import sentencepiece

    processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
    return int(processor.vocab_size()) - 1
