"""Is what a model writes whole? Brackets, quotes and comments of C, environments and formulas of LaTeX, the speakers
of plays; and how much of it is copied.

    charlm train c --minutes 10 --run c-10           and so for latex and shakespeare
    python benchmarks/structure.py --runs c=c-10,latex=latex-10,plays=plays-10        about 3 minutes
    python benchmarks/structure.py --quick           half a minute, with models of a moment

Three sides go on from the same places of the run's held-out text, each for as many characters: charlm and the 5-gram
after a prompt, the characters before that place, and the held-out text itself as it went on. All are judged by one
checker, which has read the held-out text up to there: what is open at the place is known. At its other end a piece is
cut as it comes, so its last line is left out if it is not whole, and what it opens in its second half may stay open.
The longest copy is the longest run of characters of a piece that the training text holds verbatim.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from checkers import CHECKERS, Checker, Place
from harness.longest_copy import longest_copies
from harness.made_up_structure import MADE_UP
from harness.program import finish, options, show
from harness.record import Case
from opponents.ngram_engine import NGramEngine

from charlm import api
from charlm.config import Config, CorpusConfig, ModelConfig, SamplingConfig, TokenizerConfig, TrainingConfig
from charlm.generation import Engine, generate
from charlm.runs import open_run_data
from charlm.tokenizers import Tokenizer
from charlm.training import start_training

HELD_OUT = ("test", "validation")
MADE_UP_CHARACTERS = 60_000


def compare(name: str, model: api.Model, asked: argparse.Namespace) -> Case:
    """One kind of text: all sides go on from the same places, and are judged by the same checker."""
    data = open_run_data(model.run)
    tokenizer, store = model.tokenizer, data.store
    training_text = tokenizer.decode(store.part("train"))
    held_out = next(text for part in HELD_OUT if part in store.parts and (text := tokenizer.decode(store.part(part))))
    checker = CHECKERS[name](training_text)
    places = spread_out(checker.places(held_out, asked.prompt), len(held_out), asked)
    prompts = [held_out[place.at - asked.prompt : place.at] for place in places]
    five_gram = NGramEngine(np.asarray(store.part("train")), tokenizer.vocab_size)
    sides = {
        "held-out text": [held_out[place.at : place.at + asked.length] for place in places],
        "charlm": written(model.runtime, tokenizer, prompts, asked),
        "5-gram": written(five_gram, tokenizer, prompts, asked),
    }
    case = Case(title=f"{name}, {model.run.name}: {len(places)} pieces of {asked.length} characters")
    for side, pieces in sides.items():
        judge(case, side, pieces, places, checker, training_text)
    return case


def spread_out(places: Sequence[Place], length: int, asked: argparse.Namespace) -> list[Place]:
    """Places spread evenly, as many as were asked for or as there are, whose pieces do not overlap."""
    fitting = [place for place in places if place.at + asked.length <= length]
    found: list[Place] = []
    apart = max(asked.length, length // asked.pieces)
    for place in fitting:
        if not found or place.at >= found[-1].at + apart:
            found.append(place)
    if not found:
        raise SystemExit(f"the held-out text has no place for a piece of {asked.length} characters: take --length")
    return found[: asked.pieces]


def written(engine: Engine, tokenizer: Tokenizer, prompts: Sequence[str], asked: argparse.Namespace) -> list[str]:
    """What a model writes after each prompt."""
    found = []
    for seed, prompt in enumerate(prompts):
        sampling = SamplingConfig(prompt=prompt, length=asked.length, temperature=asked.temperature, unknown="drop")
        pieces = generate(engine, tokenizer, sampling, seed)
        found.append("".join(piece.text for piece in pieces if not piece.is_prompt))
    return found


def judge(
    case: Case, side: str, pieces: Sequence[str], places: Sequence[Place], checker: Checker, training_text: str
) -> None:
    """The figures of a side: pieces without a fault, in all and in each aspect, and copies."""
    verdicts = [checker.judge(piece, place) for piece, place in zip(pieces, places, strict=True)]
    wanted = {"all of it": set(checker.aspects)} if len(checker.aspects) > 1 else {}
    for name, aspects in (wanted | {aspect: {aspect} for aspect in checker.aspects}).items():
        sound = [not verdict.faults & aspects for verdict in verdicts]
        case.figures[f"{side}, {name}, % of pieces"] = 100 * float(np.mean(sound))
    found, characters = sum(verdict.found for verdict in verdicts), sum(map(len, pieces))
    case.figures[f"{side}, to be judged in 1,000 characters"] = 1000 * found / characters
    copies = longest_copies(pieces, training_text)
    case.figures[f"{side}, longest copy, characters, median piece"] = float(np.median(copies))
    case.figures[f"{side}, longest copy, characters, of all"] = float(max(copies))


def trained(name: str, asked: argparse.Namespace, folder: Path) -> api.Model:
    """The run that was named for a kind of text, or one of a moment on a made-up text."""
    if not asked.quick:
        return api.load(asked.runs[name])
    text = folder / f"{name}.txt"
    text.write_text(MADE_UP[name](MADE_UP_CHARACTERS), encoding="utf-8", newline="")
    config = Config(
        corpus=CorpusConfig(corpus=(str(text),), split="80/20"),
        tokenizer=TokenizerConfig(unknown="error"),
        model=ModelConfig(layers=1, hidden_size=32),
        training=TrainingConfig(steps=40, batch_size=8, window_length=32, device="cpu", kernels="torch"),
    )
    training = start_training(config, run=name, root=folder, now=datetime(2000, 1, 1), samples=False)
    for _ in training.events():
        pass
    return api.load(training.run.folder)


def named_runs(text: str) -> dict[str, str]:
    """``c=RUN,latex=RUN`` as a mapping."""
    found = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if len(found) != text.count(",") + 1 or not set(found) <= set(CHECKERS):
        raise argparse.ArgumentTypeError(f"{text} is not KIND=RUN,...; kinds are {', '.join(CHECKERS)}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Judge the kinds asked for; returns the exit code."""
    parser = options(__doc__, CHECKERS)
    parser.add_argument("--runs", type=named_runs, default={}, help="KIND=RUN,...: whose text is judged, by its kind")
    parser.add_argument("--pieces", type=int, help="pieces of each side, if the held-out text has as many [100]")
    parser.add_argument("--length", type=int, help="characters of a piece [2000]")
    parser.add_argument("--prompt", type=int, default=500, help="characters that come before a piece")
    parser.add_argument("--temperature", type=float, default=0.8, help="of charlm and the 5-gram")
    asked = parser.parse_args(arguments)
    asked.pieces = asked.pieces or (5 if asked.quick else 100)
    asked.length = asked.length or (400 if asked.quick else 2000)
    kinds = [name for name in asked.cases if asked.quick or name in asked.runs]
    if not kinds:
        parser.error("which runs? --runs c=RUN,latex=RUN,plays=RUN, or --quick")
    cases = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in kinds:
            cases[name] = compare(name, trained(name, asked, Path(folder)), asked)
            show(cases[name])
    settings = {name: getattr(asked, name) for name in ("pieces", "length", "prompt", "temperature")}
    return finish("structure", cases, asked, settings)


if __name__ == "__main__":
    sys.exit(main())
