"""Evaluate a saved run: on its own splits, or on any other text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from charlm.config import CorpusConfig
from charlm.config.parts import SPLITS
from charlm.corpora import NoProgress, Progress
from charlm.errors import CorpusError
from charlm.evaluation.added import check_additions, score_added
from charlm.evaluation.baselines import baseline_scores
from charlm.evaluation.evaluate import Evaluation, evaluate
from charlm.evaluation.familiar import NOT_AT_ALL, Familiar, familiar
from charlm.evaluation.predictions import Ids
from charlm.evaluation.protocols import StreamProtocol, parse_protocol
from charlm.evaluation.remembered import remembered_baselines
from charlm.evaluation.score import Score
from charlm.evaluation.scorers import open_scorer, torch_scorer
from charlm.evaluation.surprisal import Watch
from charlm.evaluation.tuning import TuningText, choose_tuning_text
from charlm.evaluation.unknown import drops, words_of_dropped, words_of_spelled
from charlm.registry import lookup
from charlm.runs import Checkpoint, Data, Run, open_run_data, prepare


def evaluate_run(
    run: Run,
    checkpoint: Checkpoint,
    *,
    corpus: CorpusConfig | None,
    split: str | None,
    protocol: str,
    unknown: str | None,
    baselines: bool,
    device: str,
    threads: int | None,
    engine: str,
    precision: str,
    additions: Iterable[str],
    surprisal: Watch | None,
    progress: Progress | None,
    on_compile: Callable[[], None] | None,
) -> Evaluation:
    """Score a text with the weights of `checkpoint`; the arguments are those of `charlm.api.Model.evaluate`.

    Raises:
        CorpusError: a text that cannot be read, or a split that it does not have.
        ConfigError: a protocol, split, device or engine that there is not, or that additions cannot be put on.
    """
    chosen = parse_protocol(protocol)
    names = check_additions(additions, chosen, precision)
    check_split(split)
    own = corpus is None
    data, split = _text_of(run, corpus, split, unknown, progress)
    ids = ids_of(data, split)
    home = _home(run, data, own, progress) if names or baselines else data
    known = _known(home, data, ids)
    tuning = _tuning_text(home, data, split, known) if names else None
    scorer = open_scorer(run, checkpoint, device, threads, engine, precision, on_compile)
    compared, notices = _baselines(run, home, data, split, ids, known) if baselines else ({}, ())
    report = progress or NoProgress()
    report.start("scoring", max(0, len(ids) - 1))
    with scorer.in_use():
        found = evaluate(
            scorer.model,
            run.tokenizer,
            ids,
            split=split,
            protocol=chosen,
            baselines=compared,
            run=run.name,
            checkpoint=checkpoint.folder.name,
            advance=report.advance,
            surprisal=surprisal,
        )
    report.finish()
    if tuning is not None and isinstance(chosen, StreamProtocol) and len(ids) > 1:
        added = score_added(
            names,
            ids,
            run.tokenizer,
            tuning,
            protocol=chosen,
            scorer=scorer,
            inside=lambda: torch_scorer(run, checkpoint, device, threads),
            progress=progress,
        )
        found = dataclasses.replace(found, additions=added)
    left_out = _left_out(run, data, split, ids, found, None if own else unknown)
    if not own and (said := words_of_spelled(run.tokenizer, ids)):
        left_out = (*left_out, said)
    notices = (*data.notices, *known.notices, *left_out, *notices, *scorer.notices)
    return dataclasses.replace(found, notices=notices, text=data.corpus_name, division=data.facts["split"])


def _text_of(
    run: Run, corpus: CorpusConfig | None, split: str | None, unknown: str | None, progress: Progress | None
) -> tuple[Data, str]:
    """The text to score, the run's own where none is named, and which of its splits."""
    if corpus is None:
        data = open_run_data(run, progress=progress)
        return data, split or first_that_predicts(data)
    split = split or "all"
    return prepare(corpus, run.tokenizer, unknown=unknown, whole=split == "all", progress=progress), split


def _left_out(run: Run, data: Data, split: str, ids: Ids, found: Evaluation, unknown: str | None) -> tuple[str, ...]:
    """A notice of the characters that a vocabulary without bytes drops, which no figure speaks of."""
    if not drops(run.tokenizer, unknown):
        return ()
    start, end = (0, data.facts["characters"]) if split == "all" else data.facts["parts"][split]
    kept = found.score.characters + int(run.tokenizer.characters_per_id[ids[:1]].sum())
    said = words_of_dropped(end - start, kept)
    return (said,) if said else ()


def _home(run: Run, data: Data, own: bool, progress: Progress | None) -> Data | CorpusError:
    """The run's own text, or why it is not to be had."""
    try:
        return data if own else open_run_data(run, progress=progress)
    except CorpusError as error:
        return error


def _known(home: Data | CorpusError, data: Data, ids: Ids) -> Familiar:
    """How much of a text is in the run's own, where it is another one, or cut into other parts."""
    if isinstance(home, CorpusError) or all(home.facts[name] == data.facts[name] for name in ("sha256", "parts")):
        return NOT_AT_ALL
    return familiar(home, ids)


def _tuning_text(home: Data | CorpusError, data: Data, split: str, known: Familiar) -> TuningText:
    """Of the run's own text.

    Raises:
        CorpusError: that text is gone, or is another now.
        ConfigError: what is scored leaves none of it.
    """
    if isinstance(home, CorpusError):
        raise CorpusError(f"additions learn from the run's own text: {home}") from None
    return choose_tuning_text(home, data, split, known)


def first_that_predicts(data: Data) -> str:
    """The run's own split to report: test, or validation where there is no test."""
    there = [part for part in ("test", "validation") if part in data.store.parts]
    return next((part for part in there if len(data.store.part(part)) > 1), there[-1])


def split_to_name(data: Data) -> str | None:
    """The split that `charlm eval` has to be told: train, where test and validation have nothing to predict."""
    return None if len(data.store.part(first_that_predicts(data))) > 1 else "train"


def check_split(split: str | None) -> None:
    """Let only what a split can be called pass; None for the usual one. Raises `UnknownNameError`."""
    if split is not None:
        lookup(dict.fromkeys(SPLITS), split, "split")


def ids_of(data: Data, split: str) -> Ids:
    """The ids (N,) of a split of a text, or of all of it. Raises `CorpusError` where it has none of that name."""
    if split != "all" and split not in data.store.parts:
        raise CorpusError(f"{data.corpus_name} has no {split} split: choose {', '.join(data.store.parts)} or all")
    return data.store.part(split)


def _baselines(
    run: Run, home: Data | CorpusError, data: Data, split: str, ids: Ids, known: Familiar
) -> tuple[dict[str, Score], tuple[str, ...]]:
    """The baselines on `ids`, learnt from the run's training split, and notices of why there are none."""
    own = home is data
    learnt_by_heart = own or data.facts["sha256"] == run.facts.get("corpus", {}).get("sha256")
    if (learnt_by_heart and split in ("train", "all")) or known.is_training_text:
        return {}, (f"no baselines: what they learn from is part of this text ({split}), so they would say nothing",)
    if own:
        return remembered_baselines(data, split), ()
    if isinstance(home, CorpusError):
        return {}, (f"no baselines, they learn from the run's own text: {home}",)
    return baseline_scores(home.store.part("train"), ids, run.tokenizer), ()
