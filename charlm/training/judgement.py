"""How good a model is, in words: against the baselines, and between its two splits."""

from __future__ import annotations

import math
from collections.abc import Mapping

# A validation loss this much above the training loss (share of it) means the text was partly learnt by heart.
OVERFITTING = 0.12
# Up to this many times a baseline's loss a model is about as good.
LEVEL = 1.03
# The baseline that a model has to beat.
YARDSTICK = "5-gram"
# Below this many passes nothing is learnt by heart yet, and more time helps.
FEW_PASSES = 3.0


def judge(
    *, validation: float, training: float | None, epochs: float, baselines: Mapping[str, float], dropout: float
) -> list[str]:
    """Sentences for the end of a training, most important first.

    Args:
        validation: nats per character on the validation split.
        training: nats per character on a part of the training split, without dropout; None when not scored.
        epochs: passes over the training split.
        baselines: nats per character by name, on the validation split.
        dropout: the highest rate of dropout in the model.
    """
    if not math.isfinite(validation):
        return ["the validation loss is not a number: this model is of no use"]
    sentences = _against(validation, baselines) if baselines else []
    if training is not None:
        behind = validation > baselines.get(YARDSTICK, math.inf)
        sentences += _between(validation, training, epochs, dropout, behind=behind)
    return sentences


def _against(validation: float, baselines: Mapping[str, float]) -> list[str]:
    """Beside the 5-gram, and beside a compressor that remembers the training text word for word."""
    name = YARDSTICK if YARDSTICK in baselines else min(baselines, key=baselines.__getitem__)
    mark = baselines[name]
    if mark < validation <= LEVEL * mark:
        return [f"about level with the {name} ({mark:.3f} nats), which takes seconds: train it longer"]
    if validation > mark:
        return [
            f"{validation - mark:.3f} nats more than the {name} ({mark:.3f}), which takes seconds: "
            "this model has learned little; train it longer"
        ]
    gain = 100 * (1 - validation / mark) if mark else 0.0
    sentences = [f"{gain:.1f} % fewer bits than the {name} ({mark:.3f} nats): it has learned the text"]
    copied = baselines.get("xz", math.inf)
    if copied < validation:
        sentences.append(
            f"xz needs fewer still ({copied:.3f}): much of this text stands in the training text word for word"
        )
    return sentences


def _between(validation: float, training: float, epochs: float, dropout: float, *, behind: bool) -> list[str]:
    """What the two splits say together; of a model `behind` a baseline, only whether it overfits."""
    losses = f"training loss {training:.3f}, validation loss {validation:.3f}"
    apart = validation - training > OVERFITTING * training
    if apart and epochs >= FEW_PASSES:
        cure = "raise --dropout" if dropout < 0.5 else "use a smaller --hidden-size"
        return [f"it overfits ({losses}): {cure}, or stop earlier with --patience 2"]
    if behind:
        return []
    if apart:
        return [f"the validation text is another kind of text ({losses}): a longer training will make both better"]
    if epochs < FEW_PASSES:
        return [f"it still underfits ({losses}, {epochs:.1f} passes): a longer training will make it better"]
    return [f"the two splits agree ({losses}): a larger --hidden-size or a longer training may make it better"]
