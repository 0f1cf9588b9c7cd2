"""Named starting points. A preset is a plain table of settings; flags, files and environment override it."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"layers": 1, "hidden_size": 128, "dropout": 0.0},
    "small": {"layers": 2, "hidden_size": 256, "dropout": 0.1},
    "medium": {"layers": 2, "hidden_size": 512, "dropout": 0.2, "learning_rate": 3e-3},
    "large": {"layers": 3, "hidden_size": 1024, "dropout": 0.3, "batch_size": 64, "learning_rate": 2e-3},
    # The medium LSTM of Zaremba et al. (2014, arXiv:1409.2329) with tied weights, as textbooks train it.
    "textbook": {
        "layers": 2,
        "hidden_size": 650,
        "tie_weights": True,
        "dropout": 0.5,
        "dropout_input": 0.5,
        "window_length": 35,
        "batch_size": 20,
        "optimizer": "sgd",
        "learning_rate": 20.0,
        "schedule": "plateau",
        "warmup": 0,
        "clip_norm": 0.25,
    },
    # The defaults of Karpathy's char-rnn (2015).
    "char-rnn": {
        "layers": 2,
        "hidden_size": 128,
        "dropout": 0.0,
        "window_length": 50,
        "batch_size": 50,
        "optimizer": "rmsprop",
        "learning_rate": 2e-3,
        "schedule": "constant",
        "warmup": 0,
        "clip_norm": 0.0,
        "clip_value": 5.0,
    },
}
