"""The end of a training: the best checkpoint scored on the whole validation split, beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from charlm.config import Config
from charlm.evaluation import evaluate
from charlm.evaluation.passages import passages
from charlm.evaluation.score import Score
from charlm.models import LanguageModel
from charlm.runs import Data, Run, run_argument
from charlm.training.choices import dropout_for, multiplied_weights
from charlm.training.judgement import judge
from charlm.training.machine import Machine

# So much of the training split is scored, to tell over- from underfitting.
TRAIN_SYMBOLS = 2**15
# And no more than this of the validation split: a long one would take longer than a short training.
MOST_SCORED = 2**19
# A model that was best in so late a part of its training was getting better until the end: at one of its last two
# evaluations, of some twenty.
LATE = 0.95


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a training ended.

    Attributes:
        run: its folder.
        checkpoint: the folder of the best checkpoint, which evaluation and generation take.
        score: of that checkpoint on the validation split (on passages of one longer than MOST_SCORED), stream
            protocol, float32; None without one.
        training: of that checkpoint on passages of the training split, without dropout.
        baselines: nats per character by name, on the very same symbols.
        judgement: sentences.
        division: how the text was split, in words.
    """

    run: Path
    checkpoint: Path
    score: Score | None
    training: Score | None
    baselines: dict[str, float]
    judgement: list[str]
    division: str


def summarise(
    run: Run, config: Config, data: Data, machine: Machine, baselines: Mapping[str, Score], epochs: float
) -> Summary:
    """Load the best checkpoint back from the disk and score it."""
    checkpoint = run.load(None)
    V, tokens = data.tokenizer.vocab_size, max(1, len(data.store.part("train")) - 1)
    model = LanguageModel.from_arrays(config.model, V, checkpoint.weights)
    model.to(machine.device)
    score = _score(model, data, "validation", machine, most=MOST_SCORED)
    training = _score(model, data, "train", machine, most=TRAIN_SYMBOLS)
    nats, judgement = _nats(baselines), ["nothing was measured: the validation split has nothing to predict"]
    if score is not None and score.nats_per_character is not None:
        judgement = judge(
            validation=score.nats_per_character,
            training=training.nats_per_character if training else None,
            epochs=epochs,
            baselines=nats,
            dropout=max(config.model.between, config.model.output, config.model.dropout_input),
            enough_dropout=dropout_for(epochs, multiplied_weights(config.model, V) / tokens),
            improving=checkpoint.step >= LATE * max(found.step for found in run.checkpoints()),
        )
        whole = len(data.store.part("validation"))
        if whole > MOST_SCORED:
            judgement.append(
                f"measured on {score.tokens:,} of {whole:,} validation symbols, in evenly spaced passages; "
                f"charlm eval --run {run_argument(run.folder)} --split validation measures all"
            )
    return Summary(
        run=run.folder,
        checkpoint=checkpoint.folder,
        score=score,
        training=training,
        baselines=nats,
        judgement=judgement,
        division=data.facts["split"],
    )


def _score(model: LanguageModel, data: Data, part: str, machine: Machine, most: int) -> Score | None:
    text = passages(data.store.part(part), most)
    if len(text) < 2:
        return None
    return evaluate(model, data.tokenizer, text, split=part, device=machine.device).score


def _nats(baselines: Mapping[str, Score]) -> dict[str, float]:
    nats = {name: score.nats_per_character for name, score in baselines.items()}
    return {name: value for name, value in nats.items() if value is not None}
