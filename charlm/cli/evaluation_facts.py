"""An evaluation in words and aligned figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charlm.cli.facts import Fact
from charlm.cli.figures import figure
from charlm.plurals import counted

if TYPE_CHECKING:
    from charlm.evaluation import Evaluation, Score
    from charlm.evaluation.added import Added


def evaluation_facts(found: Evaluation, tokenizer: str) -> list[Fact]:
    """The figures for a person.

    Args:
        tokenizer: what the run's ids are, named where perplexity is per token.
    """
    score = found.score
    facts = {
        "run": f"{found.run}, {found.checkpoint}",
        "text": f"{_part(found)}, {counted(score.characters, 'character')}, {counted(score.tokens, 'prediction')}",
        "nats": f"{figure(score.nats_per_character)} per character{_interval(found.interval)}",
        "perplexity": _perplexity(found, tokenizer),
        "bits": f"{figure(score.bits_per_character)} per character, {figure(score.bits_per_byte)} per byte",
        "accuracy": "-" if found.accuracy is None else f"{100 * found.accuracy:.1f} %",
        "protocol": f"{found.protocol.name}: {found.protocol.words}",
        "baselines": _baselines(found),
    }
    lines = list(facts.items())
    for place, (name, added) in enumerate(found.additions.items()):
        lines += _addition(f"+ {name}" if place else name, added, score)
    if not score.tokens:  # nothing to predict: there is no figure, and none is made up
        lines = [(name, facts[name]) for name in ("run", "text")]
    return [(name, value) for name, value in lines if value]


def _part(found: Evaluation) -> str:
    text = found.text or "it"
    if found.split == "all":
        return f"all of {text}"
    return f"{found.split} split of {text}" + (f" ({found.division})" if found.division else "")


def _addition(name: str, added: Added, static: Score) -> list[Fact]:
    """What a model reaches with an addition and those before it, beside what it reaches alone."""
    score, alone = added.score, static.nats_per_character
    nats = score.nats_per_character
    if nats is None or alone is None:
        return []
    difference = f", {figure(abs(nats - alone))} {'less' if nats <= alone else 'more'} than the model alone"
    figures = f"{figure(nats)} nats per character{_interval(added.interval)}{difference}"
    more = f"perplexity {figure(score.perplexity)}, {figure(score.bits_per_character)} bits per character"
    return [(name, figures), ("", more), ("", added.words), ("", f"tuned on {added.tuned_on}")]


def _interval(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return ""
    low, high = interval
    return f" (95 % interval {figure(low)} to {figure(high)})"


def _perplexity(found: Evaluation, tokenizer: str) -> str:
    score = found.score
    if score.tokens == score.characters:
        return f"{figure(score.perplexity)} per character"
    if score.nats_per_character is None:
        return f"{figure(score.perplexity)} per token ({tokenizer})"
    # per token it can only be compared among models of one tokenizer
    per_character = figure(score.perplexity_per_character)
    return f"{figure(score.perplexity)} per token ({tokenizer}); {per_character} per character"


def _baselines(found: Evaluation) -> str:
    known = {name: score.nats_per_character for name, score in found.baselines.items()}
    ranked = sorted((nats, name) for name, nats in known.items() if nats is not None)
    text = " · ".join(f"{name} {figure(nats)}" for nats, name in ranked)
    return f"{text} (nats per character)" if text else ""
