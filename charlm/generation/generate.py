"""Texts from a model, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy.typing as npt

from charlm.config import SamplingConfig
from charlm.errors import ConfigError, RunError
from charlm.generation.beam import beam_search
from charlm.generation.pieces import DrawingEngine, Engine, Piece
from charlm.generation.rows import Pieces, Row, in_chunks, one_by_one
from charlm.generation.sampler import Sampler
from charlm.generation.text import Rules, cut_prompt
from charlm.generation.transform import Learnt, Transform
from charlm.generation.transforms import looked_back, rules_of, transforms_of
from charlm.tokenizers import Tokenizer

# Samples that run side by side.
BATCH = 64
# Characters that may wait for their turn: longer samples run in smaller batches, in the end one by one.
WAITING = 2**22


def generate(
    model: Engine,
    tokenizer: Tokenizer,
    sampling: SamplingConfig,
    seed: int,
    batch_size: int = BATCH,
    training_text: str | None = None,
) -> Iterator[Piece]:
    """Write `sampling.samples` texts; the pieces of sample 0 come first and as they are made, then those of 1, ...

    Sample i depends on the model, the settings, `seed` and i alone: not on how many samples there are or
    how many run side by side. Memory is flat in `sampling.length`. Each sample begins with its prompt as a
    piece of its own (none where the prompt is empty) and ends with a piece that has an `ending`. Bytes at the prompt's
    end that begin a character come with the first piece of text, which may complete it.

    Args:
        sampling: its `seed` is not looked at, and a prompt of ``-`` is a dash.
        batch_size: at most this many samples side by side; a matter of speed only.
        training_text: what the model was trained on, as the tokenizer decodes it; for `sampling.max_copy`.

    Raises:
        ConfigError: settings that exclude each other; `max_copy` without a training text; an empty stop string; a
            negative seed.
        TokenizerError: a prompt that the vocabulary cannot represent, under `sampling.unknown`.
        RunError: model and tokenizer are not of one run, or the model's output is not finite.
    """
    if model.vocab_size != tokenizer.vocab_size:
        raise RunError(
            f"the vocabulary does not match: the model has {model.vocab_size} symbols, "
            f"the tokenizer {tokenizer.vocab_size}"
        )
    if batch_size < 1:
        raise ConfigError(f"batch_size must be a whole number >= 1, was {batch_size}")
    rules = Rules(sampling.length, sampling.stop)
    prompt = first_ids(tokenizer, sampling)
    if sampling.beam is not None:
        return beam_search(model, tokenizer, sampling, rules, prompt)
    transforms = transforms_of(sampling, Learnt(tokenizer, training_text))
    return _sample(model, tokenizer, sampling, transforms, seed, rules, prompt, batch_size)


def first_ids(tokenizer: Tokenizer, sampling: SamplingConfig) -> npt.NDArray[Any]:
    """What the model reads before it writes: the prompt's ids (T,), T >= 1.

    Without a prompt it reads a newline, as if a line had just ended; in a vocabulary that has none, id 0.
    """
    usual = tokenizer.unknown_in_prompts
    ids = tokenizer.encode(sampling.prompt, usual if sampling.unknown is None else sampling.unknown)
    return ids if len(ids) else tokenizer.line_end


def _sample(
    model: Engine,
    tokenizer: Tokenizer,
    sampling: SamplingConfig,
    transforms: Sequence[Transform],
    seed: int,
    rules: Rules,
    prompt: npt.NDArray[Any],
    batch_size: int,
) -> Iterator[Piece]:
    pieces = Pieces(tokenizer)
    size = max(1, min(batch_size, WAITING // max(1, rules.length)))
    back = looked_back(transforms)
    recent = prompt[-back:].tolist() if back else []
    read: Callable[[list[Row]], Iterator[None]] | None = None
    shown, given = cut_prompt(sampling.prompt) if rules.length else (sampling.prompt, b"")
    for start in range(0, sampling.samples, size):
        rows = [
            Row(sample, Sampler(transforms, seed, sample, recent), given)
            for sample in range(start, min(start + size, sampling.samples))
        ]
        read = read or _reader(model, pieces, rules, transforms, prompt)
        yield from _batch(rows, shown, read(rows))


def _reader(
    model: Engine, pieces: Pieces, rules: Rules, transforms: Sequence[Transform], prompt: npt.NDArray[Any]
) -> Callable[[list[Row]], Iterator[None]]:
    """Reads the prompt; the result takes rows on from there, in the way that suits the engine."""
    if rules.length == 0:
        return _ended
    drawing = rules_of(transforms)
    if drawing is not None and isinstance(model, DrawingEngine):
        before = model.read(prompt[:-1])
        return lambda rows: in_chunks(model, pieces, rules, rows, drawing, prompt, before)
    logits, state = model.prime(prompt)
    return lambda rows: one_by_one(model, pieces, rules, rows, logits, state)


def _ended(rows: list[Row]) -> Iterator[None]:
    for row in rows:
        row.reason = "length"
    return iter(())


def _batch(rows: list[Row], prompt: str, steps: Iterator[None]) -> Iterator[Piece]:
    """Take all rows to their ends side by side; pieces leave in the order of the samples."""
    for row in rows:
        if prompt:
            yield Piece(sample=row.sample, text=prompt, is_prompt=True)
        yield from row.flush()
        while row.reason is None:
            next(steps, None)
            yield from row.flush()
