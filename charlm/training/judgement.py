"""How good a model is, in words: against the baselines, and between its two splits."""

from __future__ import annotations

import math
from collections.abc import Mapping

# A validation loss this much above the training loss (share of it) means the text was partly learnt by heart.
OVERFITTING = 0.12
# Up to this many times a baseline's loss a model is about as good, and until it has less than this share of it.
LEVEL, AHEAD = 1.03, 0.995
# The baseline that a model has to beat.
YARDSTICK = "5-gram"
# A dropout this far below the rule's is too low: passes are estimated when it is chosen, and then some more are made.
CLEARLY = 0.05
# Nats per character below which a text is all but one symbol after the other.
NOTHING = 0.01
# Below this many passes nothing is learnt by heart yet, and more time helps.
FEW_PASSES = 3.0


def judge(
    *,
    validation: float,
    training: float | None,
    epochs: float,
    baselines: Mapping[str, float],
    dropout: float,
    enough_dropout: float,
    improving: bool,
) -> list[str]:
    """Sentences for the end of a training, most important first.

    Args:
        validation: nats per character on the validation split.
        training: nats per character on a part of the training split, without dropout; None when not scored.
        epochs: passes over the training split.
        baselines: nats per character by name, on the validation split.
        dropout: the highest rate of dropout in the model.
        enough_dropout: what the rule by the number of passes asks for: more of it does not help.
        improving: whether the model was best at the end of its training, so that to stop earlier would not help.
    """
    if not math.isfinite(validation):
        return ["the validation loss is not a number: this model is of no use"]
    apart = training is not None and validation - training > OVERFITTING * training
    overfits = apart and epochs >= FEW_PASSES
    sentences = _against(validation, baselines, overfits=overfits) if baselines else []
    if training is None:
        return sentences
    if validation < NOTHING:
        return sentences
    mean = f"training loss {training:.3f}{' without dropout' if dropout else ''}"
    losses = f"{mean}, validation loss {validation:.3f}"
    behind = validation > AHEAD * baselines.get(YARDSTICK, math.inf)
    if overfits:
        cure = _cure(dropout, enough_dropout, behind=behind, improving=improving)
        return [*sentences, f"it has learnt part of the training text by heart ({losses}): {cure}"]
    # of a model that is not ahead of the yardstick there is no more to say
    return sentences if behind else [*sentences, _between(losses, epochs, apart=apart)]


def _against(validation: float, baselines: Mapping[str, float], *, overfits: bool) -> list[str]:
    """Beside the 5-gram, and beside a compressor that remembers the training text word for word."""
    name = YARDSTICK if YARDSTICK in baselines else min(baselines, key=baselines.__getitem__)
    mark = baselines[name]
    if max(mark, validation) < NOTHING:
        return [f"there is next to nothing to learn: the {name} needs {mark:.3f} nats"]
    if AHEAD * mark < validation <= LEVEL * mark:
        cure = "" if overfits else ": train it longer"
        return [f"about level with the {name} ({mark:.3f} nats), which takes seconds{cure}"]
    if validation > mark:
        cure = "" if overfits else ": this model has learned little; train it longer"
        return [f"{validation - mark:.3f} nats more than the {name} ({mark:.3f}), which takes seconds{cure}"]
    gain = 100 * (1 - validation / mark)
    sentences = [f"{gain:.1f} % fewer bits than the {name} ({mark:.3f} nats): it has learned the text"]
    copied = baselines.get("xz", math.inf)
    if copied < validation:
        sentences.append(
            f"xz needs fewer still ({copied:.3f}): much of this text stands in the training text word for word"
        )
    return sentences


def _cure(dropout: float, enough_dropout: float, *, behind: bool, improving: bool) -> str:
    """What to do about a model that overfits."""
    earlier = "" if improving else ", or stop earlier with --patience 2"
    if dropout < enough_dropout - CLEARLY:
        return f"raise --dropout{earlier}"
    if behind and not improving:
        return f"use a smaller --hidden-size{earlier}"
    if behind:
        return "more text would help most; the validation loss was still falling, so a longer training will help too"
    return "more text would help most"


def _between(losses: str, epochs: float, *, apart: bool) -> str:
    """What the two splits say together of a model that does not overfit."""
    if apart:
        return f"the validation text is another kind of text ({losses}): a longer training will make both better"
    if epochs < FEW_PASSES:
        return f"it still underfits ({losses}, {epochs:.1f} passes): a longer training will make it better"
    return f"the two splits agree ({losses}): a larger --hidden-size or a longer training may make it better"
