"""One training of an arm: what its steps cost beside the default's, and `charlm train` in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charlm.config import Config, CorpusConfig, Layer, resolve
from charlm.corpora import open_corpus
from charlm.errors import DivergedError
from charlm.runs import Data, prepare
from charlm.training.assembly import make_learner
from charlm.training.choices import with_rates
from charlm.training.device import choose_machine
from charlm.training.ngram_choices import new_ngrams, with_ngrams, with_ngrams_short_enough
from harness.arms import ADDED
from harness.command import charlm
from harness.timing import Side, measure

Settings = Mapping[str, Any]
TRAINED = 0.9  # of a text, by the usual split
BYTES = 256  # symbols that stand for what is not in the vocabulary
EVALUATED = ("--run", "arm", "--split", "test", "--threads", "1", "--device", "cpu", "--json")
MACHINE = ("dtype", "kernels")
FOLDERS = ("CHARLM_CACHE", "CHARLM_CORPORA")


@dataclass(frozen=True, kw_only=True)
class Text:
    """The beginning of a corpus, as a file.

    Attributes:
        name: short.
        path: of the file.
        characters: that it has.
        vocabulary: symbols of a tokenizer of its characters.
        new: of its training part the shares of n-grams that `new_ngrams` tells.
        digest: of its bytes, so that another text of the same name is not taken for it.
    """

    name: str
    path: Path
    characters: int
    vocabulary: int
    new: tuple[float, ...]
    digest: str

    @classmethod
    def of(cls, corpus: str, folder: Path, characters: int) -> Text:
        """At most so many characters of a file or named corpus, in `folder`."""
        opened = open_corpus(CorpusConfig(corpus=(corpus,)), fetch=True)
        pieces, count = [], 0
        for piece in opened.chunks("all"):
            pieces.append(piece)
            count += len(piece)
            if count >= characters:
                break
        content = "".join(pieces)[:characters]
        path = folder / f"{opened.name}.txt"
        path.write_bytes(content.encode())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        return cls(
            name=opened.name,
            path=path,
            characters=len(content),
            vocabulary=len(set(content)) + BYTES,
            new=tuple(new_ngrams(np.frombuffer(content[: _trained(len(content))].encode("utf-32-le"), np.uint32))),
            digest=digest,
        )


def _trained(characters: int) -> int:
    """How many of so many characters are its training part."""
    return int(TRAINED * characters)


def arm_config(text: Text, settings: Settings, steps: int) -> Config:
    """What `charlm train` makes of an arm's settings, with the n-grams of the text and the rates of so many steps."""
    values = {"corpus": [str(text.path)], "device": "cpu", "threads": 1, "steps": steps, **settings}
    resolved = resolve([Layer(origin="arm", values=values)])
    tokens = _trained(text.characters)
    config = with_ngrams(resolved.config, resolved.free, tokens, text.new)
    training = config.training
    passes = steps * training.batch_size * training.window_length / tokens
    config, _ = with_ngrams_short_enough(config, resolved.free, text.new, lambda config: passes)
    free = {"learning_rate", "dropout", "weight_decay"} & set(resolved.free)
    return with_rates(config, free, text.vocabulary, tokens, lambda config: passes)[0]


def machine_for(config: Config, vocab_size: int) -> dict[str, Any]:
    """``dtype`` and ``kernels`` that are the fastest: what a training would choose, by processor time."""
    facts = choose_machine(config.training, config.model, vocab_size, clock=time.process_time).to_json()
    return {name: facts[name] for name in MACHINE}


def cost_of_arm(
    text: Text, settings: Settings, reference: Settings, steps: int, *, repeats: int, seconds: float
) -> dict[str, Any]:
    """How many ``times`` the reference's steps are done in the same time, found in turns; and the arm's own machine.

    Args:
        reference: its settings, those of its machine among them.
        steps: of the reference, which decide the rates of both.
    """
    machine = machine_for(arm_config(text, settings, steps), text.vocabulary)
    configs = {
        "reference": arm_config(text, reference, steps),
        "arm": arm_config(text, {**settings, **machine}, steps),
    }
    data = prepare(configs["arm"].corpus, configs["arm"].tokenizer)
    sides = {name: Side(_steps(config, data)) for name, config in configs.items()}
    # processor time: a step on one thread costs what it computes, also while others keep this process waiting
    rates = measure(sides, repeats=repeats, seconds=seconds, clock=time.process_time)
    return {"times": rates["arm"].over(rates["reference"]).median, **machine}


def _steps(config: Config, data: Data) -> Callable[[int], object]:
    """Does so many steps of a training, evaluations left out."""
    machine = choose_machine(config.training, config.model, data.tokenizer.vocab_size)
    learner = make_learner(config, data, machine)

    def run(count: int) -> None:
        with machine.in_use():
            for _ in range(count):
                learner.step(config.training.learning_rate)

    return run


def trained_arm(text: Text, settings: Settings, steps: int, seed: int, folder: Path, added: Sequence[str]) -> Settings:
    """`charlm train` with these settings for so many steps, alone in its process, on one thread.

    Args:
        folder: for its run, which is removed again.
        added: what `charlm eval` puts on it, one at a time, on the test split.

    Returns:
        ``nats`` (the figure at the end of the training, None if it diverged), ``steps``, ``passes``, ``5-gram``, and
        ``added`` with, by name, nats ``without`` and ``with``.

    Raises:
        RuntimeError: it failed for another reason.
    """
    folder.mkdir(parents=True)
    try:
        config = folder / "arm.toml"
        config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
        flags = ("--steps", str(steps), "--seed", str(seed), "--threads", "1", "--device", "cpu", "--run", "arm")
        code, said = _run(folder, "train", str(text.path), "--config", str(config), *flags, "--json")
        if code == DivergedError.exit_code:
            return {"nats": None, "steps": steps}
        events = {event["kind"]: event for event in map(json.loads, said.splitlines())}
        summary = events["summary"]
        found = {"nats": summary["nats_per_character"], "steps": steps, "passes": events["stop"]["epoch"]}
        return {**found, "5-gram": summary["baselines"].get("5-gram"), "added": _added(folder, added)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _added(folder: Path, added: Sequence[str]) -> dict[str, dict[str, float]]:
    """Figures of the trained model without and with each addition, on text that it was neither trained nor tuned on."""
    figures = {}
    for name in added:
        flags, _ = ADDED[name]
        evaluation = json.loads(_run(folder, "eval", *EVALUATED, *flags)[1])
        with_it = evaluation["additions"][name]["nats_per_character"]
        figures[name] = {"without": evaluation["nats_per_character"], "with": with_it}
    return figures


def _run(folder: Path, *arguments: str) -> tuple[int, str]:
    """A command of charlm to its end: exit code and standard output. Settings in the environment do not reach it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHARLM_") or name in FOLDERS}
    own = {"CHARLM_CHECKPOINTS": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(charlm(*arguments), env=kept | own, capture_output=True, text=True, check=False)
    if done.returncode not in (0, DivergedError.exit_code):
        raise RuntimeError(f"charlm {arguments[0]} ended with {done.returncode}: {done.stderr[-500:].strip()}")
    return done.returncode, done.stdout
