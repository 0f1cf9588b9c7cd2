"""What ``charlm generate`` does once its flags are read: load, write as the text is made."""

from __future__ import annotations

import dataclasses
import secrets
import sys
from collections.abc import Iterator
from typing import Any

from charlm.api import DRAWN_SEEDS, load
from charlm.cli import console
from charlm.config import SamplingConfig
from charlm.generation import Piece, generate


def write(sampling: SamplingConfig, *, run: str | None, json: bool) -> None:
    """Write the texts to standard output: the first as it is made, others when those before them are done."""
    if sampling.prompt == "-":
        sampling = dataclasses.replace(sampling, prompt=console.read_standard_input())
    model = load(run)
    seed = secrets.randbelow(DRAWN_SEEDS) if sampling.seed is None else sampling.seed
    for notice in model.checkpoint.notices:
        console.note(notice)
    pieces = generate(model.runtime, model.tokenizer, sampling, seed)
    if json:
        facts = {"run": model.run.name, "checkpoint": model.checkpoint.folder.name, "seed": seed}
        write_records(pieces, sampling, facts)
        return
    write_texts(pieces, sampling.samples)
    if sampling.seed is None and console.is_terminal(sys.stderr):
        console.note(f"seed {seed}")


def write_texts(pieces: Iterator[Piece], samples: int) -> None:
    """Text as it comes. Several texts are told apart by a line with their number before each."""
    out = console.DataWriter()
    waiting: list[list[str]] = [[] for _ in range(samples)]
    if samples > 1:
        out.write(_heading(0))
    for piece in pieces:
        if piece.sample == 0:
            out.write(piece.text)
        else:
            waiting[piece.sample].append(piece.text)
    for sample, texts in enumerate(waiting[1:], start=1):
        out.write("\n" + _heading(sample))
        for text in texts:
            out.write(text)
    out.end_line()


def write_records(pieces: Iterator[Piece], sampling: SamplingConfig, facts: dict[str, Any]) -> None:
    """A line of JSON for each text: the text with its prompt, and how to get it again."""
    texts: list[list[str]] = [[] for _ in range(sampling.samples)]
    for piece in pieces:
        texts[piece.sample].append(piece.text)
    for sample, parts in enumerate(texts):
        console.print_json({"sample": sample, "prompt": sampling.prompt, "text": "".join(parts), **facts})


def _heading(sample: int) -> str:
    return f"--- {sample + 1} ---\n"
