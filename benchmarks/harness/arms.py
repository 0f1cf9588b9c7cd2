"""The arms of `quality.py`: what the literature found, each as the settings that differ from charlm's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

REFERENCE = "default"

ZAREMBA = "Zaremba et al., 2014, arXiv:1409.2329"
GAL = "Gal and Ghahramani, 2016, arXiv:1512.05287"
AWD = "Merity et al., 2017, arXiv:1708.02182"
SCALES = "Merity et al., 2018, arXiv:1803.08240"
AVERAGE = "Polyak and Juditsky, 1992; Merity et al., 2017, arXiv:1708.02182"
ADAM = "Kingma and Ba, 2015, arXiv:1412.6980"
RESTARTS = "Loshchilov and Hutter, 2017, arXiv:1608.03983"
REFINED = "Defazio et al., 2023, arXiv:2310.07831"
DECOUPLED = "Loshchilov and Hutter, 2019, arXiv:1711.05101"
MUON = "Jordan et al., 2024; Liu et al., 2025, arXiv:2502.16982"
BATCHES = "McCandlish et al., 2018, arXiv:1812.06162"
TRUNCATED = "Williams and Peng, 1990"
CHO = "Cho et al., 2014, arXiv:1406.1078"
NORM = "Ba et al., 2016, arXiv:1607.06450; Xiong et al., 2020, arXiv:2002.04745"
RESIDUAL = "He et al., 2015, arXiv:1512.03385"
TIED = "Press and Wolf, 2016, arXiv:1608.05859"
MIKOLOV = "Mikolov et al., 2011"
SIZES = "Kaplan et al., 2020, arXiv:2001.08361"


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        settings: those that differ from charlm's defaults, by name.
        source: where it is from.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    source: str = "charlm"

    @property
    def as_dear(self) -> bool:
        """Whether a step takes exactly as long as one of the default: nothing but its size is another."""
        return set(self.settings) <= {"learning_rate", "schedule", "warmup", "weight_decay"}


# To add an arm: a line here, and its name in a section of docs/recipes.md.
ARMS: dict[str, Arm] = {
    REFERENCE: Arm(),
    "dropout-0": Arm({"dropout": 0.0}, ZAREMBA),
    "dropout-0.1": Arm({"dropout": 0.1}, ZAREMBA),
    "dropout-0.2": Arm({"dropout": 0.2}, ZAREMBA),
    "plain-dropout": Arm({"locked_dropout": False}, ZAREMBA),
    "dropconnect-0.1": Arm({"dropout_recurrent": 0.1}, AWD),
    "dropconnect-0.2": Arm({"dropout_recurrent": 0.2}, AWD),
    "dropconnect-0.3": Arm({"dropout_recurrent": 0.3}, AWD),
    "embedding-dropout": Arm({"dropout_embedding": 0.1}, GAL),
    "ar": Arm({"activation_penalty": 2.0}, AWD),
    "tar": Arm({"change_penalty": 1.0}, AWD),
    "awd": Arm(
        {
            "dropout_recurrent": 0.2,
            "dropout_embedding": 0.1,
            "activation_penalty": 2.0,
            "change_penalty": 1.0,
            "window_jitter": 0.25,
        },
        SCALES,
    ),
    "weight-decay-0": Arm({"weight_decay": 0.0}, DECOUPLED),
    "weight-decay-0.05": Arm({"weight_decay": 0.05}, DECOUPLED),
    "weight-decay-0.3": Arm({"weight_decay": 0.3}, DECOUPLED),
    "jitter": Arm({"window_jitter": 0.25}, AWD),
    "window-32": Arm({"window_length": 32}, TRUNCATED),
    "window-128": Arm({"window_length": 128}, TRUNCATED),
    "batch-16": Arm({"batch_size": 16}, BATCHES),
    "batch-64": Arm({"batch_size": 64}, BATCHES),
    "rate-0.004": Arm({"learning_rate": 0.004}, ADAM),
    "rate-0.008": Arm({"learning_rate": 0.008}, ADAM),
    "rate-0.015": Arm({"learning_rate": 0.015}, ADAM),
    "rate-0.03": Arm({"learning_rate": 0.03}, ADAM),
    "linear": Arm({"schedule": "linear"}, REFINED),
    "constant": Arm({"schedule": "constant", "learning_rate": 0.004}, RESTARTS),
    "ema-0.99": Arm({"ema": 0.99}, AVERAGE),
    "ema-0.999": Arm({"ema": 0.999}, AVERAGE),
    "constant-ema-0.999": Arm({"schedule": "constant", "learning_rate": 0.004, "ema": 0.999}, AVERAGE),
    "muon-0.005": Arm({"optimizer": "muon", "learning_rate": 0.005}, MUON),
    "muon-0.015": Arm({"optimizer": "muon", "learning_rate": 0.015}, MUON),
    "size-128": Arm({"hidden_size": 128}, SIZES),
    "size-192": Arm({"hidden_size": 192}, SIZES),
    "size-384": Arm({"hidden_size": 384}, SIZES),
    "layers-1": Arm({"layers": 1}, SIZES),
    "layers-3": Arm({"layers": 3}, RESIDUAL),
    "residual-3": Arm({"layers": 3, "residual": True}, RESIDUAL),
    "layer-norm": Arm({"layer_norm": True}, NORM),
    "tied-64": Arm({"tie_weights": True, "embedding_size": 64}, TIED),
    "attention-64": Arm({"attention_window": 64}, "Merity, 2019, arXiv:1911.11423"),
    "ngrams-0": Arm({"ngram_embedding_size": 0}, MIKOLOV),
    "ngrams-64": Arm({"ngram_embedding_size": 64}, MIKOLOV),
    "ngrams-of-3": Arm({"ngram_order": 3}, MIKOLOV),
    "gru": Arm({"cell": "gru"}, CHO),
    "elman": Arm({"cell": "elman"}, "Elman, 1990"),
    "mogrifier": Arm({"cell": "mogrifier-lstm"}, "Melis et al., 2019, arXiv:1909.01792"),
}

# What `charlm eval` puts on the default's trained models, by the names it has there.
ADDED: dict[str, tuple[tuple[str, ...], str]] = {
    "ngram": (("--mix", "ngram"), "Jelinek and Mercer, 1980"),
    "dynamic": (("--dynamic",), "Krause et al., 2017, arXiv:1709.07432; 2019, arXiv:1904.08378"),
    "cache": (("--cache",), "Grave et al., 2016, arXiv:1612.04426"),
}
