"""What a compressed file is put beside: the bits that an evaluation reports, and xz."""

from __future__ import annotations

import lzma
import math
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.coding.pieces import make_piece, read_pieces
from charlm.config import ModelConfig
from charlm.evaluation.baselines import XZ_PRESET
from charlm.evaluation.evaluate import evaluate
from charlm.evaluation.scoring_engine import ScoringEngine
from charlm.runtime import open_engine
from charlm.tokenizers import Tokenizer


class Figures(NamedTuple):
    """Of a text: its characters and how many of them the vocabulary drops, the bits that `charlm eval` reports for the
    others (None without Numba) and for how many characters, as nothing predicts the first, its size in xz."""

    characters: int
    dropped: int
    evaluated_bits: float | None
    evaluated_characters: int
    xz_bytes: int


def figures_of(
    source: BinaryIO,
    config: ModelConfig,
    arrays: Mapping[str, npt.NDArray[Any]],
    tokenizer: Tokenizer,
    *,
    threads: int | None = None,
    on_compile: Callable[[], None] | None = None,
) -> Figures:
    """Read `source` to its end, as `Coder.compress` does; its ids are held in memory.

    Args:
        threads: that score, at most; None for all processors.
        on_compile: told when a loop has to be compiled, which takes seconds.
    """
    packer, characters, xz_bytes, ids = lzma.LZMACompressor(preset=XZ_PRESET), 0, 0, [np.empty(0, tokenizer.dtype)]
    spelled = 0
    for content in read_pieces(source):
        characters += int(np.count_nonzero(np.frombuffer(content, dtype=np.uint8) & 0xC0 != 0x80))
        xz_bytes += len(packer.compress(content))
        ids.append(make_piece(tokenizer, content).ids)
        spelled += int(tokenizer.characters_per_id[ids[-1]].sum(dtype=np.int64))
    engine = open_engine(
        config, arrays, tokenizer.vocab_size, precision="exact", threads=threads, on_compile=on_compile, halves=True
    )
    bits, predicted = None, 0
    if isinstance(engine, ScoringEngine):
        score = evaluate(engine, tokenizer, np.concatenate(ids), split="all").score
        bits, predicted = score.total_nats / math.log(2), score.characters
    return Figures(characters, characters - spelled, bits, predicted, xz_bytes + len(packer.flush()))
