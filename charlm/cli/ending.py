"""The last words of a training: what was saved, how good it is, what to type next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from charlm.cli.facts import Fact
from charlm.cli.figures import figure
from charlm.runs import run_argument
from charlm.training.pace import DEFAULT_MINUTES

if TYPE_CHECKING:
    from pathlib import Path

    from charlm.config import Config
    from charlm.training import Summary


def summary_facts(summary: Summary, config: Config, reason: str, split: str | None = None) -> list[Fact]:
    """The end of a training for a person.

    Args:
        reason: why it ended, as `Stopped` has it.
        split: what an evaluation has to be told to measure.
    """
    facts = [("saved", str(summary.checkpoint))]
    score = summary.score
    if score is not None:
        facts.append(
            (
                "validation",
                f"{figure(score.nats_per_character)} nats per character"
                f" · perplexity {figure(score.perplexity)}{'' if score.tokens == score.characters else ' per token'}"
                f" · {figure(score.bits_per_character)} bits per character",
            )
        )
        facts.append(("split", summary.division))
    if summary.baselines:
        facts.append(("baselines", ranked_baselines(summary.baselines)))
    facts += [("", sentence) for sentence in summary.judgement]
    name = run_argument(summary.run)
    prompt = ' --prompt "ROMEO:"' if config.corpus.corpus == ("shakespeare",) else ""
    return [
        *facts,
        ("", ""),
        ("next", _evaluation(name, split)),
        ("", f"charlm generate --run {name}{prompt}"),
        ("", f"charlm train --resume --run {name} {_longer(config, reason)}"),
    ]


def ranked_baselines(baselines: Mapping[str, float]) -> str:
    """``5-gram 1.539 · xz 1.657``: nats per character, fewest first."""
    ranked = sorted(baselines.items(), key=lambda item: item[1])
    return " · ".join(f"{name} {figure(nats)}" for name, nats in ranked)


def interrupted_facts(run: Path, *, complete: bool, split: str | None = None) -> list[Fact]:
    """The end of a training that was told to stop, or was `complete` by then; `split` as of `summary_facts`."""
    name = run_argument(run)
    if complete:
        return [("stopped", "the training is complete and saved"), ("next", _evaluation(name, split))]
    return [
        ("stopped", "the step is finished and saved"),
        ("next", f"charlm train --resume --run {name}"),
        ("", f"charlm generate --run {name}"),
    ]


def summary_record(summary: Summary) -> dict[str, Any]:
    """The end of a training for a program."""
    score = summary.score
    return {
        "kind": "summary",
        "run": summary.run.name,
        "checkpoint": str(summary.checkpoint),
        "split": "validation",
        "nats_per_character": score.nats_per_character if score else None,
        "perplexity": score.perplexity if score else None,
        "bits_per_character": score.bits_per_character if score else None,
        "bits_per_byte": score.bits_per_byte if score else None,
        "baselines": dict(summary.baselines),
        "judgement": summary.judgement,
    }


def _evaluation(name: str, split: str | None) -> str:
    return f"charlm eval --run {name}" + ("" if split is None else f" --split {split}")


def _longer(config: Config, reason: str) -> str:
    """The flag that makes the training twice as long: of the end that it reached, or of one that it was given."""
    ends = {name: getattr(config.training, name) for name in ("steps", "epochs", "minutes")}
    given = {name: end for name, end in ends.items() if end is not None} or {"minutes": DEFAULT_MINUTES}
    name = reason if reason in given else next(iter(given))
    end = 2 * given[name]
    return f"--{name} {end:g}" if isinstance(end, float) else f"--{name} {end}"
