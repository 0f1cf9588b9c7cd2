"""The parts of a training put together: model and lanes, trainer and run folder, settings old and new."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from charlm import __version__
from charlm.config import Config
from charlm.config.parts import ENDS
from charlm.corpora import Progress
from charlm.errors import ConfigError, CorpusError, RunError, UnavailableError
from charlm.kernels.devices import choose_device
from charlm.models import LanguageModel
from charlm.plurals import counted
from charlm.runs import Data, Run
from charlm.streams import Lanes, count_symbols
from charlm.timing import paused_seconds
from charlm.training.device import choose_machine
from charlm.training.keeper import RunKeeper
from charlm.training.learner import Capture, Learner
from charlm.training.machine import Machine
from charlm.training.pace import Pace
from charlm.training.scoring import sampler, scoring_timer, validation_scorer
from charlm.training.summary import MOST_SCORED, TRAIN_SYMBOLS
from charlm.training.trainer import Trainer
from charlm.training.watch import LossWatch

# What may change when a run is resumed. All else decides what the checkpoint's numbers mean.
CHANGEABLE = frozenset(
    {"minutes", "epochs", "steps", "patience", "learning_rate", "schedule"}
    | {"evaluate_every", "checkpoint_every", "sample_every", "keep"}
    | {"device", "dtype", "kernels", "threads"}
)
# So many symbols are enough to know how frequent each one is.
MOST_COUNTED = 2**24
CHECKPOINT = "checkpoint [training]"  # where settings of an earlier sitting are from
# seconds of compiling and fetching that are worth a word
SHORTEST_PAUSE = 1.0


def lanes_of(config: Config, data: Data) -> Lanes:
    """The lanes of the training split.

    Raises:
        ConfigError: a batch larger than the text.
        CorpusError: a training split with nothing to predict.
    """
    text = data.store.part("train")
    if len(text) < 2:
        share = ", or a larger first share in --split" if len(data.store.part("all")) > 1 else ""
        raise CorpusError(
            f"the training split of {data.corpus_name} has {counted(len(text), 'symbol')}, "
            f"2 are the least to learn from: give a longer text{share}"
        )
    return Lanes(text, config.training.batch_size)


def make_learner(config: Config, data: Data, machine: Machine) -> Learner:
    """A new model on the training split, its first weights drawn from the seed.

    Raises:
        ConfigError: a name in no table, or a batch larger than the text.
        CorpusError: a training split with nothing to predict.
    """
    lanes = lanes_of(config, data)
    generator = torch.Generator().manual_seed(config.training.seed)
    model = LanguageModel(config.model, data.tokenizer.vocab_size, generator)
    counts = count_training_symbols(data)
    model.start_from_frequencies(counts)
    characters, occurring = data.tokenizer.characters_per_id, first_occurring(counts)
    return Learner(model, lanes, config.training, machine, characters, occurring=occurring)


def first_occurring(counts: npt.NDArray[np.int64]) -> int:
    """How many of the first symbols have all in them that occur, by how often each does (V,): at least one."""
    return int(np.flatnonzero(counts).max(initial=0)) + 1


def count_training_symbols(data: Data) -> npt.NDArray[np.int64]:
    """How often each symbol occurs in the training split, or in the beginning of a long one: (V,)."""
    return count_symbols(data.store.part("train")[:MOST_COUNTED], data.tokenizer.vocab_size)


def make_trainer(
    run: Run,
    config: Config,
    data: Data,
    machine: Machine,
    learner: Learner,
    *,
    samples: bool | None,
    clock: Callable[[], float],
    started: float,
    figures: Mapping[str, Any] | None = None,
) -> Trainer:
    """The trainer of `learner`, with everything it looks at and saves to.

    Args:
        samples: as `start_training` has it.
        figures: as `RunKeeper` has them.
    """
    validation = data.store.part("validation")
    if samples is None:
        samples = config.training.sample_every is not None
    return Trainer(
        learner,
        config.training,
        keeper=RunKeeper(run, config, machine, figures or {}),
        pace=Pace.of(config.training, len(data.store.part("train")) - 1),
        evaluate=validation_scorer(validation, data.tokenizer, machine),
        sample=sampler(config.model, data.tokenizer, config.training.seed) if samples else None,
        time_last_scoring=scoring_timer(validation, final_tokens(data), machine, clock),
        clock=clock,
        started=started,
    )


def final_tokens(data: Data) -> int:
    """How many symbols `charlm.training.summary` scores after the last step."""
    return min(len(data.store.part("validation")), MOST_SCORED) + min(len(data.store.part("train")), TRAIN_SYMBOLS)


def run_facts(data: Data, machine: Machine) -> dict[str, Any]:
    """What a run folder notes beside its settings."""
    return {
        "corpus": data.facts,
        "corpus_name": data.corpus_name,
        "vocab_size": data.tokenizer.vocab_size,
        "versions": {"charlm": __version__, "torch": torch.__version__},
        "machine": machine.describe(),
    }


def changed_config(last: Config, changes: Mapping[str, Any]) -> Config:
    """The settings to resume with: those of the last sitting, and `changes` over them.

    A new end (minutes, epochs or steps) takes the place of all old ones.

    Raises:
        ConfigError: a change of what cannot change, naming both values.
    """
    own = {name: value for section in last.to_json().values() for name, value in section.items()}
    for name, value in changes.items():
        # a file has lists where flags have tuples
        asked = tuple(value) if isinstance(value, list) else value
        if name not in CHANGEABLE and own.get(name) != asked:
            raise ConfigError(
                f"{name} cannot change in a run that is resumed (it is {_typed(own.get(name))}, asked for "
                f"{_typed(asked)}): leave it out, or start a new run"
            )
    wanted = {name: value for name, value in changes.items() if name in CHANGEABLE}
    ends = dict.fromkeys(ENDS) if set(ENDS) & set(wanted) else {}
    return last.with_training(ends | wanted, CHECKPOINT)


def _typed(value: Any) -> str:
    """A value as one would type it: several texts or patterns side by side."""
    if value is None:
        return "not set"
    return " ".join(map(repr, value)) if isinstance(value, tuple) and value else repr(value)


def onto_another_text(capture: Capture, data: Data) -> Capture:
    """A capture of training on an earlier state of the text, fit for this one: at the same share of a pass, and
    with no best so far, for losses on two texts cannot be compared.

    Raises:
        RunError: its progress is incomplete.
    """
    predictions = len(data.store.part("train")) - 1
    try:
        lanes, standing = capture.progress["lanes"], capture.progress["standing"]
        position = lanes["position"] * predictions // lanes["predictions"]
        progress = {
            "lanes": {**lanes, "position": position, "predictions": predictions},
            "standing": {**standing, "best_nats": None, "without_improvement": 0},
            "watch": LossWatch().state_dict(),
        }
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise RunError(f"checkpoint: progress is incomplete: {error!r}") from None
    return dataclasses.replace(capture, progress={**capture.progress, **progress})


def machine_again(
    config: Config, before: Mapping[str, Any] | None, vocab_size: int, progress: Progress | None = None
) -> Machine:
    """What the last sitting ran on, so that numbers stay the same; settings other than ``auto`` go first.

    Raises:
        UnavailableError: it had something that is not available here.
    """
    training, then = config.training, dict(before or {})
    if training.device not in ("auto", then.get("device")):
        # another device has number formats and kernels of its own
        then = {name: value for name, value in then.items() if name == "threads"}
    for name, value in then.items():
        if getattr(training, name) in ("auto", None):
            training = dataclasses.replace(training, **{name: value})
    if training.device == then.get("device"):
        try:
            choose_device(training.device)
        except UnavailableError:
            raise UnavailableError(
                f"the run was trained on {training.device}, which is not available here", "--device cpu goes on without"
            ) from None
    return choose_machine(training, config.model, vocab_size, progress=progress)


def notices_of_pauses(config: Config, before: float) -> list[str]:
    """What to say of pauses since the clock had stood for `before` seconds, where minutes end the training."""
    seconds = paused_seconds() - before
    if seconds < SHORTEST_PAUSE or Pace.of(config.training, 1).seconds is None:
        return []
    return [f"compiling and fetching took {seconds:.0f} seconds, once: --minutes does not count them"]
