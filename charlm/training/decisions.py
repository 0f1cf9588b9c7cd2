"""The text of a training, and what is decided by it and by the machine: the settings that nobody asked for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection
from typing import Any

from charlm.config import Config
from charlm.corpora import Progress
from charlm.kernels.devices import choose_device
from charlm.runs import Data, prepare, refuse_unkept
from charlm.training.assembly import count_training_symbols, first_occurring, lanes_of
from charlm.training.choices import (
    passes_of,
    with_batch_that_fits,
    with_lanes,
    with_passes,
    with_rates,
    with_size,
)
from charlm.training.device import choose_machine
from charlm.training.machine import Machine
from charlm.training.ngram_choices import LEAST_ORDER, new_ngrams, with_ngrams, with_ngrams_short_enough
from charlm.training.pace import Pace
from charlm.training.plan import memory_estimate, memory_of_machine
from charlm.training.trial import symbols_per_second


def read_text(config: Config, free: Collection[str], progress: Progress | None) -> tuple[Config, Data]:
    """The text, a named corpus fetched where it is not here, and the settings with a batch that fits it.

    Args:
        free: names of settings that nobody asked for, as `Resolved.free` has them.

    Raises:
        CharlmError: of the kind that fits, for a text that nothing can be learnt from too.
    """
    refuse_unkept(config)
    data = prepare(config.corpus, config.tokenizer, progress=progress, fetch=True)
    notice = None
    if "batch_size" in free:
        config, notice = with_batch_that_fits(config, len(data.store.part("train")))
    # what cannot be cut in lanes is refused before anything is compiled for it
    lanes_of(config, data)
    data, training = _noted(data, notice), config.training
    if len(data.store.part("validation")) < 2 and (training.patience is not None or training.schedule == "plateau"):
        data = _noted(data, "there is nothing to validate on, so --patience and the schedule plateau have no effect")
    return config, data


def decide(
    config: Config, free: Collection[str], data: Data, spent: Callable[[], float], progress: Progress | None
) -> tuple[Config, Data, Machine]:
    """The machine, and the settings with what depends on how fast it is.

    Args:
        free: as of `read_text`.
        spent: seconds of a time budget that are over.
    """
    V, tokens = data.tokenizer.vocab_size, len(data.store.part("train")) - 1
    counts = count_training_symbols(data)
    # what n-grams bring elsewhere is not measured
    ngrams = choose_device(config.training.device).type == "cpu"
    if ngrams:
        new = new_ngrams(data.store.part("train")) if "ngram_order" in free else []
        config = with_ngrams(config, free, tokens + 1, new)
    machine = choose_machine(config.training, config.model, V, progress=progress)
    if tokens < 1:
        return config, data, machine
    # on CUDA all steps have all symbols in the output layer; elsewhere nearly all steps have these alone
    symbols = V if machine.device.type == "cuda" else first_occurring(counts)
    pace = Pace.of(config.training, tokens)
    speeds: dict[Any, float] = {}  # what was measured once is not measured again

    def speed(config: Config) -> float:
        # how long n-grams are hardly matters
        key = machine, dataclasses.replace(config.model, ngram_order=LEAST_ORDER), config.training.batch_size
        if key not in speeds:
            speeds[key] = symbols_per_second(machine, config.training, config.model, symbols)
        return speeds[key]

    def passes(config: Config) -> float:
        per_second = math.inf if pace.seconds is None else speed(config)
        return passes_of(pace, Pace.tokens_per_step(config.training), tokens, per_second, spent())

    if "hidden_size" in free:
        tried = config.model, config.training.batch_size
        memory = memory_of_machine()
        config, size = with_size(config, V, tokens, passes, lambda tried: memory_estimate(tried, V) < memory / 2)
        data = _noted(data, size)
        if "batch_size" in free and pace.steps is None:
            config, lanes = with_lanes(config, tokens)
            data = _noted(data, lanes)
        if "epochs" in free:
            config, end = with_passes(config, tokens, passes(config))
            data = _noted(data, end)
        if (config.model, config.training.batch_size) != tried:
            machine = choose_machine(config.training, config.model, symbols, progress=progress)
        pace = Pace.of(config.training, tokens)
    if ngrams:
        config, notice = with_ngrams_short_enough(config, free, new, passes)
        data = _noted(data, notice)
    config, notice = with_rates(config, free, V, tokens, passes)
    return config, _noted(data, notice), machine


def _noted(data: Data, notice: str | None) -> Data:
    return data if notice is None else dataclasses.replace(data, notices=(*data.notices, notice))
