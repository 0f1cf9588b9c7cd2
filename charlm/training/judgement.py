"""How good a model is, in words: against the baselines, and between its two splits."""

from __future__ import annotations

import math
from collections.abc import Mapping

# A validation loss this much above the training loss (share of it) means the text was partly learnt by heart.
OVERFITTING = 0.12
# Below this many passes, a model whose two losses agree would still gain from more time or size.
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
    sentences = [_against(validation, baselines)] if baselines else []
    behind = bool(baselines) and validation > min(baselines.values())
    if training is not None:
        sentences += _between(validation, training, epochs, dropout, behind=behind)
    return sentences


def _against(validation: float, baselines: Mapping[str, float]) -> str:
    name, best = min(baselines.items(), key=lambda item: item[1])
    if validation <= best:
        gain = 100 * (1 - validation / best) if best else 0.0
        return f"{gain:.1f} % fewer bits than the best baseline ({name}, {best:.3f} nats): it has learned the text"
    return (
        f"{validation - best:.3f} nats more than the {name} ({best:.3f}), which takes seconds: "
        "this model has learned little; train it longer"
    )


def _between(validation: float, training: float, epochs: float, dropout: float, *, behind: bool) -> list[str]:
    """What the two splits say together; of a model `behind` a baseline, only whether it overfits."""
    losses = f"training loss {training:.3f}, validation loss {validation:.3f}"
    if validation - training > OVERFITTING * training and epochs > 1:
        cure = "raise --dropout" if dropout < 0.5 else "use a smaller --hidden-size"
        return [f"it overfits ({losses}): {cure}, or stop earlier with --patience 2"]
    if behind:
        return []
    if epochs < FEW_PASSES:
        return [f"it still underfits ({losses}, {epochs:.1f} passes): a longer training will make it better"]
    return [f"the two splits agree ({losses}): a larger --hidden-size or a longer training may make it better"]
