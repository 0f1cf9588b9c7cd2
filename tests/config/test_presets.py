"""Presets are fixed points: they resolve to exactly these values, whatever the defaults are."""

import dataclasses

import pytest

from charlm.config import PRESETS, Layer, ModelConfig, TrainingConfig, resolve, settings_of

# cell, layers, hidden_size, tie_weights, dropout, dropout_input, window_length, batch_size
MODELS = {
    "tiny": ("lstm", 1, 128, False, 0.0, 0.0, 64, 32),
    "small": ("lstm", 2, 256, False, 0.1, 0.0, 64, 32),
    "medium": ("lstm", 2, 512, False, 0.2, 0.0, 64, 32),
    "large": ("lstm", 3, 1024, False, 0.3, 0.0, 64, 64),
    "textbook": ("lstm", 2, 650, True, 0.5, 0.5, 35, 20),
    "char-rnn": ("lstm", 2, 128, False, 0.0, 0.0, 50, 50),
}
# optimizer, learning_rate, schedule, warmup, clip_norm, clip_value
RECIPES = {
    "tiny": ("adamw", 4e-3, "cosine", 50, 1.0, 0.0),
    "small": ("adamw", 4e-3, "cosine", 50, 1.0, 0.0),
    "medium": ("adamw", 3e-3, "cosine", 50, 1.0, 0.0),
    "large": ("adamw", 2e-3, "cosine", 50, 1.0, 0.0),
    "textbook": ("sgd", 20.0, "plateau", 0, 0.25, 0.0),
    "char-rnn": ("rmsprop", 2e-3, "constant", 0, 0.0, 0.1),
}
# What decides what is learnt; the other groups are of text, end, saving and machine.
GROUPS = ("model", "dropout", "batch", "optimisation")
DECISIVE = {
    name: known
    for section in (ModelConfig, TrainingConfig)
    for name, known in settings_of(section).items()
    if known.group in GROUPS
}

# and these are off in all of them
OFF = {
    "layer_norm",
    "residual",
    "attention_window",
    "ngram_embedding_size",
    "dropout_recurrent",
    "dropout_embedding",
    "locked_dropout",
    "activation_penalty",
    "change_penalty",
    "window_jitter",
    "weight_decay",
    "ema",
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_resolves_to_exactly_its_values(preset):
    config = resolve([Layer(origin="preset", values=PRESETS[preset])]).config
    model, training = config.model, config.training
    assert MODELS[preset] == (
        *(model.cell, model.layers, model.hidden_size, model.tie_weights, model.dropout, model.dropout_input),
        *(training.window_length, training.batch_size),
    )
    assert RECIPES[preset] == (
        *(training.optimizer, training.learning_rate, training.schedule, training.warmup),
        *(training.clip_norm, training.clip_value),
    )
    assert (model.embedding, model.between, model.output) == (model.hidden_size, model.dropout, model.dropout)
    values = dataclasses.asdict(model) | dataclasses.asdict(training)
    assert [name for name in OFF if values[name]] == []


@pytest.mark.parametrize("preset", PRESETS)
def test_no_default_moves_a_preset(preset):
    open_to_defaults = [name for name, known in DECISIVE.items() if known.default is not None]
    missing = [name for name in open_to_defaults if name not in PRESETS[preset]]
    assert missing == [], "say in EVERY of charlm/config/presets.py what presets have of it"
    assert set(PRESETS[preset]) <= set(DECISIVE)
