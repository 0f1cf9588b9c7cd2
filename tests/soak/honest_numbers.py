"""What charlm says of a model, held against what the same words mean elsewhere: torch's layers, a loop, a file's size.

Models and texts are drawn at random; every figure is computed a second time by other means.
"""

from __future__ import annotations

import io
import json
import math
import random
import re
import sys
from typing import Any

import counting
import numpy as np
import numpy.typing as npt
import torch
from counting import Asked, Count
from measured import Place
from sizes import sentences
from torch_layers import LAYERS, nats_of

from charlm.coding import Coder
from charlm.coding.figures import figures_of
from charlm.config import ModelConfig, TokenizerConfig
from charlm.config.shapes import parameter_shapes
from charlm.evaluation import evaluate, parse_protocol
from charlm.models import LanguageModel
from charlm.models.cells import CELLS
from charlm.runtime import NumpyModel, open_engine
from charlm.runtime.quantised import HALVES
from charlm.tokenizers import train_tokenizer

Arrays = dict[str, npt.NDArray[np.float32]]

SHORTEST_FOR_PIECES = 2000
TOLERANCE = 1e-5  # of a loss in nats; of one above 1, as a share: what float32 leaves
TOLERANCE_OF_HALVES = 1e-4
LINE = re.compile(
    r"^step ([\d,]+)  validation (\S+) nats(?:/token)?  perplexity (\S+)  (\S+) bits/character(  best so far)?$"
)
STEP = re.compile(r"^step ([\d,]+) of [\d,]+  epoch (\S+)  train (\S+)  ([\d,]+) characters/s")
ENDED = re.compile(r"(\S+) nats per character · perplexity (\S+)(?: per token)? · (\S+) bits per character")


def drawn_model(draws: random.Random, cells: tuple[str, ...]) -> ModelConfig:
    """Some configuration of these cells."""
    H = draws.randint(3, 24)
    return ModelConfig(
        cell=draws.choice(cells),
        hidden_size=H,
        layers=draws.randint(1, 3),
        embedding_size=draws.choice([None, H, draws.randint(2, 24)]),
        tie_weights=draws.random() < 0.4,
        layer_norm=draws.random() < 0.4,
        residual=draws.random() < 0.4,
        dropout=draws.random() / 2,
        ngram_embedding_size=draws.choice([0, draws.randint(1, 40)]),
        ngram_order=draws.randint(2, 8),
        ngram_rows=draws.randint(1, 300),
    )


def drawn_weights(config: ModelConfig, vocab_size: int, seed: int) -> Arrays:
    """Weights with which a model is surer than chance, and no recurrence grows without bound."""
    draws = np.random.default_rng(seed)
    size = {"output_weight": 2.0, "output_bias": 1.0, "embedding": 1.0}
    return {
        name: (draws.standard_normal(shape) * size.get(name, 1 / math.sqrt(2 * shape[-1]))).astype(np.float32)
        for name, shape in parameter_shapes(config, vocab_size).items()
    }


def drawn_text(draws: random.Random, characters: int) -> str:
    """Words, now and then with what takes several bytes, is rare, or comes out of order."""
    text = sentences(characters, draws.randrange(2**30))
    places = draws.sample(range(characters), characters // 50)
    for place in places if draws.random() < 0.5 else []:
        text = text[:place] + draws.choice("é☃😀\t\r\0") + text[place + 1 :]
    return text


def engines(config: ModelConfig, arrays: Arrays, V: int) -> dict[str, Any]:
    """Whoever scores: torch, and the compiled loop where it computes such a model, in float32 and as `charlm eval`."""
    found: dict[str, Any] = {"torch": LanguageModel.from_arrays(config, V, arrays)}
    for name, halves in (("compiled", False), ("what eval takes", True)):
        engine = open_engine(config, arrays, V, precision="exact", threads=1, halves=halves)
        if not isinstance(engine, NumpyModel):
            found[name] = engine
    return found


def tolerance(engine: Any) -> float:
    """Nats that a mean may be off by."""
    return TOLERANCE_OF_HALVES if getattr(engine, "precision", None) == HALVES else TOLERANCE


def independent(asked: Asked) -> Count:
    """Perplexity of every cell and option that torch has a layer for, in float64."""
    count = Count(
        what="perplexities of random models on random texts",
        promise="that of torch's own layers in float64, to 1e-5, in halves 1e-4",
    )
    draws, worst = random.Random(asked.seed), 0.0
    for number in range(asked.of(400, 4)):
        config = drawn_model(draws, (list(LAYERS)[number % len(LAYERS)],))
        text = drawn_text(draws, asked.of(draws.randint(2, 6000), 700))
        tokenizer = train_tokenizer(TokenizerConfig(tokenizer=draws.choice(["char", "byte"])), [text])
        ids, V = tokenizer.encode(text), tokenizer.vocab_size
        arrays = drawn_weights(config, V, number)
        expected = nats_of(config, arrays, ids).mean()
        for name, engine in engines(config, arrays, V).items():
            with count.attempt(f"{number} {name} {config}"):
                for protocol in ("stream", "stream:1", "windows:100000"):
                    found = evaluate(engine, tokenizer, ids, split="all", protocol=parse_protocol(protocol)).score
                    assert found.perplexity is not None
                    off = abs(math.log(found.perplexity) - expected) / max(1.0, expected)
                    worst = max(worst, off if protocol == "stream:1" else 0.0)
                    # lanes side by side agree to what the documentation promises
                    allowed = 1e-3 if protocol == "stream" else tolerance(engine)
                    assert off < allowed, f"{protocol}: off by {off:.2e} of {expected:.3f} nats"
                assert found.characters == len(text) - 1
    count.notes["largest difference, nats"] = f"{worst:.1e}"
    return count


def stream(asked: Asked) -> Count:
    """The stream protocol of every cell and engine against a loop that shows one character at a time."""
    count = Count(what="texts scored one character at a time", promise="the stream protocol says the same")
    draws, worst = random.Random(asked.seed + 1), 0.0
    for number in range(asked.of(200, 2)):
        config = drawn_model(draws, (list(CELLS)[number % len(CELLS)],))
        text = drawn_text(draws, asked.of(draws.randint(1500, 5000), 300))
        tokenizer = train_tokenizer(TokenizerConfig(), [text])
        ids = tokenizer.encode(text)
        arrays = drawn_weights(config, tokenizer.vocab_size, number)
        expected = one_by_one(config, arrays, tokenizer.vocab_size, ids)
        for name, engine in engines(config, arrays, tokenizer.vocab_size).items():
            with count.attempt(f"{number} {name} {config}"):
                exact = evaluate(engine, tokenizer, ids, split="all", protocol=parse_protocol("stream:1")).score
                side_by_side = evaluate(engine, tokenizer, ids, split="all").score
                assert exact.tokens == side_by_side.tokens == len(ids) - 1
                scale = max(float(len(ids)), expected)
                off, off_in_lanes = (abs(score.total_nats - expected) / scale for score in (exact, side_by_side))
                worst = max(worst, off_in_lanes)
                assert off < 2 * tolerance(engine), f"{exact.total_nats} for {expected}"
                assert off_in_lanes < 1e-3, f"{side_by_side.total_nats} for {expected}"
    count.notes["largest difference of lanes, nats"] = f"{worst:.1e}"
    return count


@torch.no_grad()
def one_by_one(config: ModelConfig, arrays: Arrays, vocab_size: int, ids: npt.NDArray[Any]) -> float:
    """Nats of all ids but the first, by steps of the readable cells in float64."""
    model = LanguageModel.from_arrays(config, vocab_size, arrays).double()
    state, total = None, 0.0
    for symbol, target in zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True):
        logits, state = model(torch.tensor([[symbol]]), state)
        total -= torch.log_softmax(logits[0, 0], 0)[target].item()
    return total


def coded(asked: Asked) -> Count:
    """Compressed sizes beside the bits that an evaluation reports."""
    count = Count(
        what="texts compressed",
        promise="no more bytes than the reported bits, and 0.1 % and 64 bytes; the text comes back",
    )
    draws, worst = random.Random(asked.seed + 2), 0.0
    for number in range(asked.of(200, 2)):
        config = ModelConfig(
            cell=draws.choice(["lstm", "gru", "elman"]),
            hidden_size=draws.randint(4, 32),
            layers=1,
            ngram_embedding_size=draws.choice([0, draws.randint(1, 40)]),
            ngram_rows=draws.randint(1, 300),
        )
        text = drawn_text(draws, asked.of(int(10 ** draws.uniform(1, 5.3)), 1000))
        # a short text has too few pieces
        kinds = ["char", "byte", "bpe:300"] if len(text) > SHORTEST_FOR_PIECES else ["char", "byte"]
        tokenizer = train_tokenizer(TokenizerConfig(tokenizer=draws.choice(kinds)), [text * 3])
        arrays = drawn_weights(config, tokenizer.vocab_size, number)
        with count.attempt(f"{number} {tokenizer.name} {len(text)} characters, {config}"):
            coder, packed, again = Coder(config, arrays, tokenizer, threads=1), io.BytesIO(), io.BytesIO()
            coder.compress(io.BytesIO(text.encode()), packed)
            size = len(packed.getvalue())
            coder.decompress(io.BytesIO(packed.getvalue()), again, "x")
            assert again.getvalue() == text.encode(), "another text came back"
            bits = figures_of(io.BytesIO(text.encode()), config, arrays, tokenizer).evaluated_bits
            assert bits is not None
            # fewer where these random models are surprised by more than whole numbers can say
            assert size - bits / 8 < 0.001 * size + 64, f"{size} bytes for {bits / 8:.0f}"
            worst = max(worst, (size - bits / 8 - 64) / size)
    count.notes["most bytes too many beyond 64, in per cent"] = round(100 * worst, 3)
    return count


def screen(asked: Asked) -> Count:
    """What a training says while it goes on, what it notes, and what measuring it again gives."""
    count = Count(what="trainings that are read along", promise="metrics.jsonl, screen, summary and eval say the same")
    draws, place = random.Random(asked.seed + 3), Place(asked.folder, forked=asked.quick)
    for number in range(asked.of(20, 1)):
        text = place.write(f"{number}.txt", drawn_text(draws, asked.of(draws.randint(3000, 60_000), 2000)))
        often = ("--evaluate-every", draws.randint(3, 9), "--checkpoint-every", 4, "--dtype", "float32")
        cell = (
            "--cell",
            draws.choice(["lstm", "gru", "elman"]),
            "--tokenizer",
            ["char", "byte", "bpe:300"][number % 3],
        )
        with count.attempt(f"{number}"):
            arguments = ("train", text, *place.tiny, *often, *cell, "--steps", asked.of(60, 12), "--run", f"r{number}")
            said = place.run(*arguments).errors
            agree(said, place.records(f"r{number}"))
            ended = ENDED.search(said)
            assert ended is not None, said
            found = place.json("eval", "--run", f"r{number}", "--split", "validation")
            for one, key in zip(
                ended.groups(), ("nats_per_character", "perplexity", "bits_per_character"), strict=True
            ):
                assert abs(float(one.replace(",", "")) - found[key]) < 0.0015 * max(1.0, found[key]), (said, found)
    return count


def agree(said: str, records: list[dict[str, Any]]) -> None:
    """Hold every line of a training that has figures against what it noted."""
    evaluations = {one["step"]: one for one in records if one["kind"] == "evaluate"}
    steps = {one["step"]: one for one in records if one["kind"] == "train"}
    lines = [match for line in said.splitlines() if (match := LINE.match(line))]
    assert {int(line[1].replace(",", "")) for line in lines} == set(evaluations), said
    for line in lines:
        record = evaluations[int(line[1].replace(",", ""))]
        nats = record["validation_nats"]
        assert line[2] == f"{nats:,.3f}"
        assert line[3] == f"{math.exp(nats):,.3f}" == f"{record['perplexity']:,.3f}"
        assert line[4] == f"{record['bits_per_character']:,.3f}"
        assert bool(line[5]) == record["best"]
        assert record["best"] == all(
            nats < one["validation_nats"] for one in evaluations.values() if one["step"] < record["step"]
        )
    for line in (match for one in said.splitlines() if (match := STEP.match(one))):
        record = steps[int(line[1].replace(",", ""))]
        assert line[3] == f"{record['train_nats']:,.3f}"
        assert line[4] == f"{record['characters_per_second']:,.0f}"
    assert json.dumps(records, allow_nan=False)


PARTS = {"independent": independent, "stream": stream, "coded": coded, "screen": screen}

if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(counting.main("honest_numbers", PARTS, __doc__))
