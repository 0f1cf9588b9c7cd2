"""charlm's default model against a causal Transformer of equal cost, trained for the same time on the same windows.

    python benchmarks/transformer.py                 about 7 minutes: some six trainings of a minute, and the scoring
    python benchmarks/transformer.py --quick         half a minute
    python benchmarks/transformer.py --minutes 3

The Transformer has 4 layers with 4 heads, torch's own layers and scaled_dot_product_attention, and the width at which
it needs about as many operations for a character as the model that charlm chooses (printed). It is trained once for
each of three learning rates, and for twice the highest or half of the lowest as long as that is the best one; the best
result counts. charlm is trained once, with its defaults. charlm's time
includes its evaluations, checkpoints and the choice of size and number format; the Transformer's is training steps
alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from harness.operations import per_character
from harness.program import finish, options, show
from harness.record import Case
from harness.texts import write_text
from opponents.transformer_model import Transformer, nats_per_character, train

from charlm.config import CHOSEN, Config, CorpusConfig, ModelConfig, TokenizerConfig, TrainingConfig
from charlm.errors import CorpusError
from charlm.evaluation import score_of, score_stream, score_windows
from charlm.models import LanguageModel
from charlm.runs import Data, prepare
from charlm.streams import Lanes
from charlm.training import start_training
from charlm.training.device import choose_machine

LAYERS, HEADS, WIDTHS = 4, 4, range(16, 1025, 16)
RATES, WARMUP = (1e-3, 2e-3, 4e-3), 0.05
LOWEST, HIGHEST = 1e-4, 0.1  # beyond them nothing learns
STRIDE = 16
UNKNOWN = "error"


def open_text(corpus: str, folder: Path, quick: bool) -> tuple[str, Data]:
    """A text and its ids; the made-up one where the other cannot be had, or where it is only to be quick."""
    settings = TokenizerConfig(unknown=UNKNOWN)
    if not quick:
        try:
            return corpus, prepare(CorpusConfig(corpus=(corpus,)), settings, fetch=True)
        except CorpusError as error:
            print(f"the made-up text is taken: {error}", file=sys.stderr)
    corpus = str(write_text(folder, 60_000 if quick else 4_000_000))
    return corpus, prepare(CorpusConfig(corpus=(corpus,)), settings)


def charlm_side(case: Case, data: Data, config: Config, folder: Path) -> ModelConfig:
    """`charlm train` for so many minutes, then its latest weights scored by both protocols; the model it chose."""
    training = start_training(config, run="charlm", root=folder, now=datetime(2000, 1, 1), free=CHOSEN)
    config = training.config
    for event in training.events():
        last = event
    weights = training.run.load("latest").weights
    model = LanguageModel.from_arrays(config.model, data.tokenizer.vocab_size, weights)
    ids = np.asarray(data.store.part("validation"))
    T = config.training.window_length
    for words, predictions in (
        (f"cold windows of {T}", score_windows(model, ids, T)),
        ("stream, memory of all before", score_stream(model, ids)),
    ):
        found = score_of(predictions, ids[1:], data.tokenizer).nats_per_character
        case.figures[f"charlm, {words}, nats"] = f"{found:.4f}"
    case.figures["charlm, characters/s of its steps"] = last.characters / training.trainer.speed.seconds
    case.figures["charlm, characters read"] = float(last.characters)
    return config.model


def operations_of(model: ModelConfig, training: TrainingConfig, V: int) -> float:
    """That charlm's model needs for a character."""
    return per_character(model, V, training.batch_size * training.window_length)


def transformer_of(V: int, window: int, operations: float) -> Transformer:
    """The Transformer that needs about so many operations for a character."""

    def made(width: int) -> Transformer:
        return Transformer(V, window, layers=LAYERS, width=width, heads=HEADS)

    with torch.device("meta"):  # to count them needs no memory
        width = min(WIDTHS, key=lambda width: abs(made(width).operations() - operations))
    return made(width)


def transformer_side(case: Case, data: Data, config: Config, asked: argparse.Namespace) -> None:
    """The Transformer for the same time on the same windows, once a rate; the best, scored as far back as it sees."""
    T = config.training.window_length
    ids = torch.from_numpy(np.asarray(data.store.part("validation")).astype(np.int64))
    found: dict[float, tuple[float, int, Transformer]] = {}
    rates = sorted(asked.rates)
    while rates:
        rate = rates.pop(0)
        model, read = trained_transformer(data, config, rate, asked)
        found[rate] = (nats_per_character(model, ids, T), read, model)
        case.figures[f"Transformer, rate {rate:g}, cold windows of {T}, nats"] = f"{found[rate][0]:.4f}"
        if not rates:
            rates = beyond({rate: nats for rate, (nats, *_) in found.items()})
    nats, read, model = found[min(found, key=lambda rate: found[rate][0])]
    case.figures[f"Transformer, cold windows of {T}, nats"] = f"{nats:.4f}"
    further = nats_per_character(model, ids, STRIDE)
    case.figures[f"Transformer, the last {T - STRIDE} to {T} symbols, nats"] = f"{further:.4f}"
    case.figures["Transformer, characters/s of its steps"] = read / (60 * asked.minutes)
    case.figures["Transformer, characters read"] = float(read)
    case.figures["Transformer, layers and width"] = f"{LAYERS} x {model.embedding.embedding_dim}"
    case.figures["Transformer, operations a character, MF"] = model.operations() / 1e6


def beyond(found: Mapping[float, float]) -> list[float]:
    """The rate to try next, from nats by rate: the best must not be an end of what was tried; none where it is not."""
    best, ends = min(found, key=lambda rate: found[rate]), (min(found), max(found))
    if len(found) == 1 or best not in ends:
        return []
    following = best / 2 if best == ends[0] else 2 * best
    return [following] if LOWEST <= following <= HIGHEST else []


def trained_transformer(data: Data, config: Config, rate: float, asked: argparse.Namespace) -> tuple[Transformer, int]:
    """One training of the Transformer, and the characters it read."""
    training, V = config.training, data.tokenizer.vocab_size
    torch.manual_seed(training.seed)
    model = transformer_of(V, training.window_length, operations_of(config.model, training, V))
    lanes = Lanes(data.store.part("train"), training.batch_size)
    with choose_machine(training, config.model, V).in_use():
        read = train(
            model,
            lanes,
            seconds=60 * asked.minutes,
            rate=rate,
            warmup=WARMUP,
            dtype=getattr(torch, asked.dtype),
            clock=time.perf_counter,
        )
    return model, read


def main(arguments: list[str] | None = None) -> int:
    """Train both, one after the other; returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, help="training time of each side [1]")
    parser.add_argument("--corpus", default="shakespeare", help="named corpus or file")
    parser.add_argument(
        "--rates",
        type=lambda text: [float(rate) for rate in text.split(",")],
        default=RATES,
        help="the Transformer's highest learning rates, the best of which counts",
    )
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"), help="the Transformer's format")
    parser.add_argument("--only", choices=("charlm", "transformer"), help="one side alone, to tune it")
    asked = parser.parse_args(arguments)
    asked.minutes = asked.minutes or (0.05 if asked.quick else 1.0)
    with tempfile.TemporaryDirectory() as name:
        corpus, data = open_text(asked.corpus, Path(name), asked.quick)
        config = Config(
            corpus=CorpusConfig(corpus=(corpus,)),
            tokenizer=TokenizerConfig(unknown=UNKNOWN),
            model=ModelConfig(),
            training=TrainingConfig(minutes=asked.minutes, device="cpu"),
        )
        minutes = f"{asked.minutes:g} minute{'s' * (asked.minutes != 1)}"
        case = Case(title=f"{minutes} on {data.corpus_name}: charlm and a Transformer")
        if asked.only != "transformer":
            model = charlm_side(case, data, config, Path(name))
            config = dataclasses.replace(config, model=model)
            case.figures["charlm, model"] = f"{model.cell} {model.layers} x {model.hidden_size}"
            needed = operations_of(model, config.training, data.tokenizer.vocab_size)
            case.figures["charlm, operations a character, MF"] = needed / 1e6
        if asked.only != "charlm":
            transformer_side(case, data, config, asked)
    show(case)
    settings = {"minutes": asked.minutes, "corpus": data.corpus_name, "rates": list(asked.rates), "dtype": asked.dtype}
    return finish("transformer", {f"minutes-{asked.minutes:g}": case} if not asked.only else {}, asked, settings)


if __name__ == "__main__":
    sys.exit(main())
