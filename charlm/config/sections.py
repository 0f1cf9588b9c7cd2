"""The sections of a configuration: corpus, tokenizer, model, training; and sampling for generation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charlm.config.cells import GATES
from charlm.config.settings import LARGEST, Section, setting, shown
from charlm.errors import ConfigError

NGRAM_SETTINGS = ("ngram_embedding_size", "ngram_order", "ngram_rows")
CHOSEN = ("batch_size", "hidden_size", "epochs", "learning_rate", "dropout", "weight_decay", *NGRAM_SETTINGS)
"""Settings that `charlm train` chooses by text and end where nobody asked for anything; `charlm.training.choices` and
`ngram_choices`."""

MOST_NGRAM_ROWS = 2**24
"""Of a table of n-grams."""

ADAMW_DECAY = 0.15
"""Where nothing is chosen; docs/recipes.md has what that was found on."""


@dataclass(frozen=True, kw_only=True)
class CorpusConfig(Section):
    """Which texts, and how their bytes become characters and splits."""

    corpus: tuple[str, ...] = setting(
        ("shakespeare",), "named corpora, files, folders, or - for standard input", group="text"
    )
    include: tuple[str, ...] = setting((), "in a folder, only files whose name matches this pattern", group="text")
    encoding: str | None = setting(None, "encoding of the files [UTF-8, or what a byte-order mark says]", group="text")
    bytes: bool = setting(False, "read the files as bytes, not as characters", group="text")
    newlines: str = setting(
        "keep", "keep line ends as they are, or make them all unix", group="text", choices=("keep", "unix")
    )
    boundary: str | None = setting(None, "text put between documents [a newline where one is missing]", group="text")
    split: str | None = setting(
        None,
        "train/validation/test in per cent; two numbers give no test part [90/5/5, or the corpus' own]",
        group="text",
        common=True,
    )


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(Section):
    """How text becomes ids."""

    tokenizer: str = setting("char", "char, byte, unigram:SIZE or bpe:SIZE", group="text", common=True)
    min_count: int | None = setting(
        None,
        "characters rarer than this in the training split are written as bytes [by the text]",
        group="text",
        minimum=1,
    )
    unknown: str = setting(
        "bytes",
        "characters outside the vocabulary: write as bytes, drop, or an error",
        group="text",
        choices=("bytes", "drop", "error"),
    )


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """The recurrent language model. Letters: H hidden_size, E embedding_size, L layers."""

    cell: str = setting("lstm", "equations of a recurrent layer", group="model", common=True, names=tuple(GATES))
    layers: int = setting(2, "recurrent layers, one above the other", group="model", common=True, minimum=1, maximum=64)
    hidden_size: int = setting(
        256,
        "units in each layer [by the minutes, if they are the end]",
        group="model",
        common=True,
        minimum=1,
        maximum=65536,
    )
    embedding_size: int | None = setting(
        None, "size of a symbol's vector [hidden size]", group="model", minimum=1, maximum=65536
    )
    tie_weights: bool = setting(False, "use the embedding as the output layer too", group="model")
    mogrifier_rounds: int = setting(
        5,
        "of mogrifier-lstm: how often input and state change each other in a step",
        group="model",
        minimum=1,
        maximum=100,
    )
    mogrifier_rank: int | None = setting(
        None,
        "of mogrifier-lstm: rank of the matrices for that [full]",
        group="model",
        minimum=1,
        maximum=65536,
    )
    attention_window: int = setting(
        0,
        "past outputs of the last layer that each step attends to; 0 for none",
        group="model",
        minimum=0,
        maximum=65536,
    )
    ngram_embedding_size: int = setting(
        0,
        "size of the last symbols' vector, for layer 0 and the logits; 0 for none [adamw, muon on a CPU: 32]",
        group="model",
        minimum=0,
        maximum=65536,
    )
    ngram_order: int = setting(
        4,
        "symbols of the longest n-gram that has a vector [by what is new in the text]",
        group="model",
        minimum=2,
        maximum=64,
    )
    ngram_rows: int = setting(
        65536,
        "vectors of n-grams, which those of all lengths share [by the length of the text]",
        group="model",
        minimum=1,
        maximum=MOST_NGRAM_ROWS,
    )
    layer_norm: bool = setting(False, "normalise each layer's input", group="model")
    residual: bool = setting(False, "add each layer's input to its output", group="model")
    dropout: float = setting(
        0.1,
        "dropout between the layers and before the output [by the number of passes]",
        group="dropout",
        common=True,
        minimum=0,
        below=1,
    )
    dropout_input: float = setting(0.0, "dropout on the embedded input", group="dropout", minimum=0, below=1)
    dropout_between: float | None = setting(
        None, "dropout between the layers [dropout]", group="dropout", minimum=0, below=1
    )
    dropout_output: float | None = setting(
        None, "dropout before the output layer [dropout]", group="dropout", minimum=0, below=1
    )
    dropout_recurrent: float = setting(
        0.0, "DropConnect on the hidden-to-hidden weights", group="dropout", minimum=0, below=1
    )
    dropout_embedding: float = setting(
        0.0, "dropout of whole rows of the embedding", group="dropout", minimum=0, below=1
    )
    locked_dropout: bool = setting(True, "one dropout mask for all time steps of a window", group="dropout")
    activation_penalty: float = setting(
        0.0, "weight of the last layer's mean squared output in the loss", group="dropout", minimum=0, maximum=1e6
    )
    change_penalty: float = setting(
        0.0,
        "weight of the mean squared change of that output from step to step",
        group="dropout",
        minimum=0,
        maximum=1e6,
    )

    @property
    def embedding(self) -> int:
        """E: `embedding_size`, or `hidden_size` where that is left out."""
        return self.embedding_size or self.hidden_size

    @property
    def between(self) -> float:
        """Rate of dropout between layers: its own setting, or `dropout`."""
        return self.dropout if self.dropout_between is None else self.dropout_between

    @property
    def output(self) -> float:
        """Rate of dropout before the output layer: its own setting, or `dropout`."""
        return self.dropout if self.dropout_output is None else self.dropout_output


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Section):
    """Truncated backpropagation through time. Letters: B batch_size (lanes), T window_length."""

    minutes: float | None = setting(
        None,
        "end after this many minutes [3, when no other end is given]",
        group="length",
        common=True,
        above=0,
        maximum=1e6,
    )
    epochs: float | None = setting(
        None,
        "end after this many passes over the training split [about 10 where the size is chosen too]",
        group="length",
        above=0,
        maximum=1e9,
    )
    steps: int | None = setting(None, "end after this many steps", group="length", minimum=1, maximum=10**12)
    patience: int | None = setting(
        None, "end after this many evaluations without improvement", group="length", minimum=1
    )
    window_length: int = setting(
        64, "time steps backpropagated through (T)", group="batch", common=True, minimum=1, maximum=1_000_000
    )
    window_jitter: float = setting(
        0.0, "vary the window length at random by this share of it", group="batch", minimum=0, below=1
    )
    batch_size: int = setting(
        32,
        "lanes of text read side by side (B) [fewer for a short text]",
        group="batch",
        common=True,
        minimum=1,
        maximum=1_000_000,
    )
    accumulate: int = setting(
        1, "windows whose gradients are added up for one step", group="batch", minimum=1, maximum=1_000_000
    )
    optimizer: str = setting(
        "adamw",
        "how a gradient becomes a step",
        group="optimisation",
        names=("adam", "adamw", "muon", "rmsprop", "sgd"),
    )
    learning_rate: float = setting(
        4e-3,
        "the highest rate of the schedule [adamw, muon with a rate that falls: by units and steps]",
        group="optimisation",
        common=True,
        minimum=1e-30,
        maximum=1e6,
    )
    schedule: str = setting(
        "cosine",
        "how the rate falls",
        group="optimisation",
        names=("cosine", "linear", "constant", "plateau"),
    )
    warmup: int = setting(50, "steps over which the rate rises from zero", group="optimisation", minimum=0)
    weight_decay: float | None = setting(
        None,
        "decoupled for adamw and muon, an L2 term for the others [adamw, muon: by rate, steps and passes; else 0]",
        group="optimisation",
        minimum=0,
        maximum=1e6,
    )
    clip_norm: float = setting(1.0, "longest gradient, by its global norm; 0 for none", group="optimisation", minimum=0)
    clip_value: float = setting(
        0.0, "largest single component of the gradient; 0 for none", group="optimisation", minimum=0
    )
    ema: float = setting(
        0.0,
        "keep an exponential moving average of the weights with this decay; 0 for none",
        group="optimisation",
        minimum=0,
        below=1,
    )
    evaluate_every: int | None = setting(
        None, "steps between evaluations [chosen from the length]", group="saving", minimum=1
    )
    checkpoint_every: int | None = setting(
        None, "steps between checkpoints [at each evaluation]", group="saving", minimum=1
    )
    sample_every: int | None = setting(
        None,
        "steps between samples shown while training [at each evaluation, on a terminal and with --json]",
        group="saving",
        minimum=1,
    )
    keep: int = setting(2, "newest checkpoints kept, beside the best", group="saving", minimum=1)
    seed: int = setting(1, "seed of weights, masks and samples", group="machine", minimum=0, maximum=LARGEST)
    device: str = setting("auto", "where to compute", group="machine", choices=("auto", "cpu", "cuda", "mps"))
    dtype: str = setting(
        "auto", "number format of the products", group="machine", choices=("auto", "float32", "bfloat16")
    )
    kernels: str = setting(
        "auto",
        "loops of the layers: charlm's own, compiled, or torch's [the fastest of a short trial]",
        group="machine",
        choices=("auto", "compiled", "torch"),
    )
    threads: int | None = setting(None, "processor threads [all cores]", group="machine", minimum=1, maximum=4096)

    @property
    def decay(self) -> float:
        """Weight decay: its own setting, or what suits the optimiser."""
        if self.weight_decay is not None:
            return self.weight_decay
        return ADAMW_DECAY if self.optimizer == "adamw" else 0.0


@dataclass(frozen=True, kw_only=True)
class SamplingConfig(Section):
    """How the next symbol is chosen from the model's distribution."""

    temperature: float = setting(
        0.8, "below 1 more likely text, above 1 more surprising; 0 is --greedy", group="sampling", minimum=0
    )
    prompt: str = setting("", "text to go on from; - reads standard input", group="sampling")
    length: int = setting(1000, "characters to write", group="sampling", minimum=0)
    samples: int = setting(1, "how many texts to write", group="sampling", minimum=1)
    seed: int | None = setting(
        None, "same seed, same text [a new one, printed]", group="sampling", minimum=0, maximum=LARGEST
    )
    stop: tuple[str, ...] = setting((), "end a text after this string", group="sampling")
    greedy: bool = setting(False, "always the likeliest symbol", group="sampling")
    top_k: int | None = setting(None, "choose among the k likeliest symbols", group="filters", minimum=1)
    top_p: float | None = setting(
        None, "choose among the likeliest symbols that hold this much probability", group="filters", above=0, maximum=1
    )
    min_p: float | None = setting(
        None, "drop symbols less likely than this share of the likeliest", group="filters", minimum=0, maximum=1
    )
    repetition_penalty: float = setting(
        1.0, "above 1: symbols already written become less likely", group="filters", above=0
    )
    max_copy: int | None = setting(
        None,
        "quote at most this many characters in a row of the training text",
        group="filters",
        minimum=1,
        maximum=1000,
    )
    beam: int | None = setting(
        None, "beam search of this width in place of sampling", group="filters", minimum=1, maximum=4096
    )
    unknown: str | None = setting(
        None,
        "characters of the prompt outside the vocabulary: an error, write as bytes, or drop"
        " [bytes where the vocabulary left rare ones out, else an error]",
        group="sampling",
        choices=("error", "bytes", "drop"),
    )
    engine: str = setting(
        "auto",
        "what computes; numba is a compiled loop",
        group="machine",
        choices=("auto", "numba", "numpy", "torch"),
    )
    precision: str = setting(
        "auto",
        "number format of the weights; auto is the fastest that changes the loss by less than 0.002 nats",
        group="machine",
        choices=("auto", "exact", "int16", "int8"),
    )

    @property
    def draws(self) -> bool:
        """Whether chance has a part in the text."""
        return self.beam is None and not self.greedy and self.temperature > 0


@dataclass(frozen=True, kw_only=True)
class Config:
    """All that a training is made of; what a run folder stores."""

    corpus: CorpusConfig = CorpusConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Plain mappings, one a section, with every value."""
        return dataclasses.asdict(self)

    def with_training(self, values: Mapping[str, Any], where: str) -> Config:
        """With these settings of training; `where` names their origin in errors."""
        training = TrainingConfig.from_mapping(dataclasses.asdict(self.training) | dict(values), where)
        return dataclasses.replace(self, training=training)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str) -> Config:
        """The configuration that `to_json` wrote; `where` names the file in errors."""
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where}: a configuration must be a table of sections")
        sections: dict[str, Any] = {}
        for name, section in values.items():
            if name not in SECTIONS:
                raise ConfigError(f"{where}: no section {shown(name)}: choose {', '.join(SECTIONS)}")
            if not isinstance(section, Mapping):
                raise ConfigError(f"{where}: [{name}] must be a table")
            sections[name] = SECTIONS[name].from_mapping(section, f"{where} [{name}]")
        return cls(**sections)


SECTIONS: dict[str, type[Section]] = {
    "corpus": CorpusConfig,
    "tokenizer": TokenizerConfig,
    "model": ModelConfig,
    "training": TrainingConfig,
}
