"""charlm from Python: train, load, generate, evaluate.

import charlm

model = charlm.train("notes.txt", minutes=3, hidden_size=256)
print(model.generate("It was ", temperature=0.8, length=500, seed=1))
print(model.evaluate().score.bits_per_character)

model = charlm.load("notes-20261121-1432")     # a run's name or folder; none: the latest
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlm.config import (
    PRESETS,
    Config,
    CorpusConfig,
    Layer,
    SamplingConfig,
    TrainingConfig,
    call_layer,
    resolve,
    settings_of,
)
from charlm.errors import ConfigError, CorpusError
from charlm.registry import lookup
from charlm.runs import RunAt, checkpoints_folder, find_run, open_run_data
from charlm.runs.precision import measured_precisions

if TYPE_CHECKING:
    from charlm.coding import Coder
    from charlm.corpora import Progress
    from charlm.evaluation import Evaluation
    from charlm.evaluation.compare import RunComparison
    from charlm.evaluation.surprisal import Surprisal
    from charlm.generation import Engine
    from charlm.runs import Checkpoint, Run
    from charlm.tokenizers import Tokenizer
    from charlm.training.events import Event

# Seeds that are drawn, not given, are short enough to be typed again.
DRAWN_SEEDS = 2**32


class Model:
    """A trained model: a run at one of its checkpoints. Weights are read when they are first needed."""

    def __init__(self, at: RunAt) -> None:
        self._at = at

    def __getstate__(self) -> dict[str, Any]:
        """Where it is, alone: a copy, in another process too, reads what it needs."""
        return {"_at": self._at}

    @property
    def run(self) -> Run:
        """The run folder, opened."""
        return self._at.run

    @property
    def config(self) -> Config:
        """The settings it was trained with."""
        return self.run.config

    @property
    def tokenizer(self) -> Tokenizer:
        """The run's own tokenizer."""
        return self.run.tokenizer

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Its weights, verified. Raises `RunError` when none is sound."""
        return self._at.load()

    @cached_property
    def runtime(self) -> Engine:
        """The model for generation, on what is fastest here; needs no torch."""
        return self.engine()

    def engine(
        self, engine: str = "auto", precision: str = "auto", on_compile: Callable[[], None] | None = None
    ) -> Engine:
        """The model for generation.

        Args:
            engine: auto, numba, numpy or torch.
            precision: auto, exact, int16 or int8: see `charlm.runtime.open_engine`.
            on_compile: told when a loop has to be compiled, which takes seconds, once on a machine.

        Raises:
            ConfigError: an engine that there is not, that cannot be had, or not in this precision.
        """
        known = settings_of(SamplingConfig)
        known["engine"].check(engine)
        known["precision"].check(precision)
        weights, vocab_size = self.checkpoint.weights, self.tokenizer.vocab_size
        if engine == "torch":
            from charlm.kernels.devices import choose_device
            from charlm.models.torch_engine import TorchModel

            if precision not in ("auto", "exact"):
                raise ConfigError(f"precision must be exact with engine torch, was {precision}: take engine numba")
            device = choose_device("auto")
            if device.type != "cuda":
                device = choose_device("cpu")  # what it draws with is in float64, which MPS does not have
            # one row at a time on a CPU: a product of several would sum each in another order
            rows = 64 if device.type == "cuda" else 1
            return TorchModel(self.config.model, weights, vocab_size, device=device, rows=rows)
        from charlm.runtime import open_engine

        return open_engine(
            self.config.model,
            weights,
            vocab_size,
            engine=engine,
            precision=precision,
            measured=measured_precisions(self.run.facts, self.checkpoint.step),
            on_compile=on_compile,
        )

    def generate(self, prompt: str = "", **settings: Any) -> str:
        """Write a text; returns `prompt` and what follows it.

        Args:
            prompt: text to go on from.
            settings: fields of `SamplingConfig`: temperature, length, top_k, top_p, min_p, seed, stop, beam, ...

        Raises:
            ConfigError: a setting out of range.
            TokenizerError: the prompt has a character that is not in the vocabulary, unless `unknown` or a vocabulary
                that left rare ones out says otherwise.
        """
        return "".join(self.stream(prompt, **settings))

    def stream(self, prompt: str = "", **settings: Any) -> Iterator[str]:
        """As `generate`, piece by piece as it is made."""
        from charlm.generation import generate

        sampling = SamplingConfig.from_mapping({"prompt": prompt, **settings}, "generate")
        if sampling.samples != 1:
            raise ConfigError("generate writes one text; call it with seeds of your own for more")
        seed = secrets.randbelow(DRAWN_SEEDS) if sampling.seed is None else sampling.seed
        usual = (sampling.engine, sampling.precision) == ("auto", "auto")
        engine = self.runtime if usual else self.engine(sampling.engine, sampling.precision)
        text = self.training_text() if sampling.max_copy is not None else None
        return (piece.text for piece in generate(engine, self.tokenizer, sampling, seed, training_text=text))

    def training_text(self) -> str:
        """The characters that the run was trained on.

        Raises:
            CorpusError: the text is gone with its ids, or is another now.
        """
        try:
            data = open_run_data(self.run)
        except CorpusError as error:
            raise CorpusError(f"max_copy needs the text that run {self.run.name} was trained on: {error}") from None
        return self.tokenizer.decode(data.store.part("train"))

    def coder(
        self, engine: str = "auto", threads: int | None = None, on_compile: Callable[[], None] | None = None
    ) -> Coder:
        """The model as a compressor of texts, in whole numbers: the same bytes on every machine; needs no torch.

        Args:
            engine: auto, numba or numpy.
            threads: at most so many work on a text; None for all processors.
            on_compile: told when a loop has to be compiled, which takes seconds, once on a machine.

        Raises:
            ConfigError: a model that cannot be computed in whole numbers, or an engine that cannot be had.
        """
        from charlm.coding import Coder

        _check_threads(threads)
        return Coder(
            self.config.model,
            self.checkpoint.weights,
            self.tokenizer,
            engine=engine,
            threads=threads,
            on_compile=on_compile,
        )

    def compress(self, content: bytes) -> bytes:
        """Any bytes, best a text of the model's kind, compressed; `decompress` gives them again."""
        packed = io.BytesIO()
        self.coder().compress(io.BytesIO(content), packed)
        return packed.getvalue()

    def decompress(self, packed: bytes) -> bytes:
        """What `compress` was given.

        Raises:
            CorpusError: nothing that `compress` wrote, or damaged.
            RunError: compressed with another model.
        """
        content = io.BytesIO()
        self.coder().decompress(io.BytesIO(packed), content)
        return content.getvalue()

    def evaluate(
        self,
        corpus: CorpusConfig | str | Path | None = None,
        *,
        split: str | None = None,
        protocol: str = "stream",
        unknown: str | None = None,
        baselines: bool = True,
        device: str = "auto",
        threads: int | None = None,
        engine: str = "auto",
        precision: str = "exact",
        additions: Iterable[str] = (),
        surprisal: Callable[[Surprisal], None] | None = None,
        progress: Progress | None = None,
        on_compile: Callable[[], None] | None = None,
    ) -> Evaluation:
        """Score every character of a text once.

        Args:
            corpus: a named corpus, file or folder, or settings that say how to read it; None for the run's own.
            split: train, validation, test or all; None for the run's test split (validation where it has none),
                and for all of another text.
            protocol: ``stream``, ``stream:LANES`` or ``windows:LENGTH``.
            unknown: what to do with characters outside the vocabulary; None for what the run does.
            baselines: compare with what the run's training split teaches simpler models.
            device: auto, cpu, cuda or mps.
            threads: at most so many compute; None for all processors.
            engine: auto, numba (on a CPU) or torch.
            precision: exact, int16, int8 or auto, with numba; all but exact move the result a little.
            additions: of `charlm.evaluation.ADDITIONS`: what to put on the model, for figures beside its own.
            surprisal: told of every symbol of the text, in order, under the model itself.
            progress: told of what takes long.
            on_compile: told when a loop has to be compiled, which takes seconds, once on a machine.

        Raises:
            CorpusError: a text that cannot be read, or that changed since training; a split it does not have.
            ConfigError: a protocol or device that there is not, or that the additions cannot be put on.
        """
        from charlm.evaluation.of_run import evaluate_run

        _check_threads(threads)
        return evaluate_run(
            self.run,
            self.checkpoint,
            corpus=_corpus_of(corpus),
            split=split,
            protocol=protocol,
            unknown=unknown,
            baselines=baselines,
            device=device,
            threads=threads,
            engine=engine,
            precision=precision,
            additions=additions,
            surprisal=surprisal,
            progress=progress,
            on_compile=on_compile,
        )

    def compare(
        self,
        other: Model | str | Path,
        corpus: CorpusConfig | str | Path | None = None,
        *,
        split: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        progress: Progress | None = None,
        on_compile: Callable[[], None] | None = None,
    ) -> RunComparison:
        """Score one text with this model and another, and say where which one is better.

        Args:
            other: a model, or a run: its name, if it lies beside this one, or its folder.
            corpus: a text; None for the runs' own, which must be the same.
            split: of it; None for test (validation where there is none), and for all of another text.
            device, threads, progress: as of `evaluate`.
            on_compile: told when a loop has to be compiled, which takes seconds, once on a machine.

        Raises:
            ConfigError: no text given, and the runs' own differ.
            CorpusError: a text that cannot be read, or that a tokenizer does not keep whole.
        """
        from charlm.evaluation.compare import compare_runs

        _check_threads(threads)
        rival = other if isinstance(other, Model) else load(other, root=self.run.folder.parent)
        return compare_runs(
            ((self.run, self.checkpoint), (rival.run, rival.checkpoint)),
            corpus=_corpus_of(corpus),
            split=split,
            device=device,
            threads=threads,
            progress=progress,
            on_compile=on_compile,
        )


def _corpus_of(corpus: CorpusConfig | str | Path | None) -> CorpusConfig | None:
    """How to read a text that is named; raises `ConfigError` for what names none."""
    if isinstance(corpus, str | Path):
        return CorpusConfig(corpus=(str(corpus),))
    if corpus is None or isinstance(corpus, CorpusConfig):
        return corpus
    raise ConfigError(f"corpus must be a name, a path or a CorpusConfig, was {corpus!r:.60}")


def _check_threads(threads: int | None) -> None:
    """Raises `ConfigError` for a number that no machine has."""
    if threads is not None:
        settings_of(TrainingConfig)["threads"].check(threads)


def load(run: str | Path | None = None, *, root: str | Path | None = None) -> Model:
    """A trained model.

    Args:
        run: name or folder of a run, with ``@STEP``, ``@best`` or ``@latest`` behind it if wanted; None for the
            latest run. The best checkpoint is taken where nothing else is said.
        root: the folder of runs; None for ./checkpoints or what CHARLM_CHECKPOINTS names.

    Raises:
        RunError: there is no such run, or it is damaged.
    """
    return Model(find_run(None if run is None else str(run), _folder_of_runs(root)))


def train(
    *texts: str,
    run: str | None = None,
    root: str | Path | None = None,
    preset: str | None = None,
    on_event: Callable[[Event], None] | None = None,
    **settings: Any,
) -> Model:
    """Train a new model and return it, at its best checkpoint.

    Args:
        texts: named corpora (fetched when absent), files or folders; none for ``shakespeare``.
        run: the new run's name; None makes one of corpus and time.
        root: the folder of runs; None for ./checkpoints or what CHARLM_CHECKPOINTS names.
        preset: a name in `charlm.config.PRESETS`.
        on_event: called with each event of `charlm.training.events` as it happens; without it no samples are written.
        settings: any setting of `Config` by its name: minutes, hidden_size, dropout, ...

    Raises:
        CharlmError: of the kind that fits; see `charlm.errors`.
    """
    from charlm.training import start_training

    layers = [Layer(origin=f"preset {preset}", values=lookup(PRESETS, preset, "preset"))] if preset else []
    resolved = resolve([*layers, call_layer(texts, settings)])
    training = start_training(
        resolved.config,
        run=run,
        root=_folder_of_runs(root),
        now=datetime.now(),
        free=resolved.free,
        samples=on_event is not None,
    )
    for event in training.events():
        if on_event is not None:
            on_event(event)
    return Model(RunAt(run=training.run, which=None))


def _folder_of_runs(root: str | Path | None) -> Path:
    return checkpoints_folder() if root is None else Path(root)
