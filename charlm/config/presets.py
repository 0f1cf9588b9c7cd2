"""Named fixed points. A preset is a plain table of settings; flags, files and environment override it.

A preset says all that decides what is learnt, also where it agrees with today's default: a default, or a rule that
chooses by budget, may become another, and a training with a preset stays what it was. What it leaves open is the text,
the end of the training, the seed and the machine.
"""

from __future__ import annotations

from typing import Any

# What every preset sets unless it says otherwise: a plain LSTM, trained as charlm's own recipes are.
EVERY: dict[str, Any] = {
    "cell": "lstm",
    "tie_weights": False,
    "mogrifier_rounds": 5,
    "attention_window": 0,
    "ngram_embedding_size": 0,
    "ngram_order": 4,
    "ngram_rows": 65536,
    "layer_norm": False,
    "residual": False,
    "dropout_input": 0.0,
    "dropout_recurrent": 0.0,
    "dropout_embedding": 0.0,
    "locked_dropout": False,
    "activation_penalty": 0.0,
    "change_penalty": 0.0,
    "window_length": 64,
    "window_jitter": 0.0,
    "batch_size": 32,
    "accumulate": 1,
    "optimizer": "adamw",
    "learning_rate": 4e-3,
    "schedule": "cosine",
    "warmup": 50,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "clip_value": 0.0,
    "ema": 0.0,
}

# What each preset says of its own; docs/settings.md has where that is from.
OWN: dict[str, dict[str, Any]] = {
    "tiny": {"layers": 1, "hidden_size": 128, "dropout": 0.0},
    "small": {"layers": 2, "hidden_size": 256, "dropout": 0.1},
    "medium": {"layers": 2, "hidden_size": 512, "dropout": 0.2, "learning_rate": 3e-3},
    "large": {"layers": 3, "hidden_size": 1024, "dropout": 0.3, "batch_size": 64, "learning_rate": 2e-3},
    # The medium LSTM of Zaremba et al. (2014, arXiv:1409.2329) with tied weights, as PyTorch's word_language_model
    # example trains it, from which many a textbook has its recipe.
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
    # The defaults of train.lua in Karpathy's char-rnn (2015).
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
        # its 5, of gradients that are summed over the 50 steps of a window; ours are means
        "clip_value": 0.1,
    },
}

PRESETS: dict[str, dict[str, Any]] = {name: {**EVERY, **own} for name, own in OWN.items()}
