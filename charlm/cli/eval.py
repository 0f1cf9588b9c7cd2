"""``charlm eval``: measure a model on a text."""

from __future__ import annotations

import sys
from typing import Any

import click

from charlm.cli import console
from charlm.cli.command import Command, Option
from charlm.cli.completion import complete_texts
from charlm.cli.evaluation_facts import evaluation_facts
from charlm.cli.facts import fact_lines, print_facts, width_for
from charlm.cli.figures import figure
from charlm.cli.layers import machine_settings
from charlm.cli.options import SettingType, given, json_option, run_option, setting_options
from charlm.cli.progress import choose_progress, note_compiling
from charlm.config import CorpusConfig, SamplingConfig, TokenizerConfig, TrainingConfig, flag_of, settings_of
from charlm.config.parts import SCORING_ENGINES, SPLITS
from charlm.errors import ConfigError

EXAMPLES = (
    ("charlm eval", "the latest run on its own test text"),
    ("charlm eval --run mine@1200 --split validation", "a run at a step"),
    ("charlm eval other.txt --run mine --perplexity", "another text, and one figure first"),
    ("charlm eval --protocol windows:256 --json", "as others measure, for a program"),
    ("charlm eval --dynamic --cache --mix ngram", "how far the same model goes with help, beside its own figures"),
    ("charlm eval verse.txt --surprisal -", "the text, coloured by how surprising each character was"),
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("text", nargs=-1, shell_complete=complete_texts)
@run_option("which model: a run, RUN@STEP, or a folder [the latest run]", group="common")
@click.option(
    "--split",
    cls=Option,
    group="common",
    metavar="|".join(SPLITS),
    help="which part of the text [test, or validation where there is no test; all of a TEXT]",
)
@click.option("--perplexity", cls=Option, group="common", is_flag=True, help="print the perplexity as the headline")
@click.option(
    "--protocol",
    cls=Option,
    group="common",
    metavar="stream|windows:N",
    help="carry the memory through the whole text, or begin anew every N symbols [stream]",
)
@click.option("--dynamic", cls=Option, group="additions", is_flag=True, help="go on learning from what has been scored")
@click.option(
    "--cache", cls=Option, group="additions", is_flag=True, help="look up what followed similar contexts shortly before"
)
@click.option(
    "--mix",
    cls=Option,
    group="additions",
    type=click.Choice(["ngram"]),
    metavar="ngram",
    help="interpolate with the 5-gram of the training text",
)
@click.option(
    "--surprisal",
    cls=Option,
    metavar="FILE",
    help="write the nats of every symbol as lines of JSON; -: show the text in colours, in a pipe the lines",
)
@setting_options(CorpusConfig, without=("corpus", "split"))
@setting_options(TokenizerConfig, "unknown", usual={"unknown": "the run's own"})
@setting_options(TrainingConfig, "device", "threads")
@setting_options(SamplingConfig, "engine", choices={"engine": SCORING_ENGINES})
@click.option(
    "--precision",
    cls=Option,
    group="machine",
    type=SettingType(settings_of(SamplingConfig)["precision"]),
    metavar="auto|exact|int16|int8",
    help="number format of the weights; all but exact move the figures a little [exact]",
)
@json_option("the figures in JSON")
def evaluate(
    text: tuple[str, ...],
    run: str | None,
    split: str | None,
    perplexity: bool,
    protocol: str | None,
    dynamic: bool,
    cache: bool,
    mix: str | None,
    surprisal: str | None,
    unknown: str | None,
    device: str | None,
    threads: int | None,
    engine: str | None,
    precision: str | None,
    json: bool,
    **reading: Any,
) -> None:
    """Measure a model on TEXT: named corpora, files, folders, or - for standard input.

    Without TEXT: on the run's own test text. Every character is predicted once; the baselines are
    measured on the same text. Additions give figures of their own, beside the model's; they are tuned on other text.
    """
    from charlm.api import load
    from charlm.cli.surprisal import writing_surprisals

    corpus = corpus_asked(text, given(reading), unknown)
    machine = machine_settings(given({"device": device, "threads": threads}))
    model = load(run)
    chosen = {"dynamic": dynamic, "cache": cache, str(mix): mix is not None}
    with writing_surprisals(surprisal) as watch:
        found = model.evaluate(
            corpus,
            split=split,
            protocol=protocol or "stream",
            unknown=unknown,
            device=machine.device,
            threads=machine.threads,
            engine=engine or "auto",
            precision=precision or "exact",
            additions=[name for name, wanted in chosen.items() if wanted],
            surprisal=watch,
            # a bar has no place in a text that is on its way to the same terminal
            progress=choose_progress(quiet=json or (surprisal == "-" and console.is_terminal(sys.stdout))),
            on_compile=note_compiling,
        )
    for notice in (*model.checkpoint.notices, *found.notices):
        console.note(notice)
    if found.note:
        console.note(found.note)
    if json:
        console.print_json(found.to_json())
        return
    facts = evaluation_facts(found, model.tokenizer.name)
    if surprisal == "-" and not console.has_colours(sys.stdout):
        console.note("\n".join(fact_lines(facts, width_for(sys.stderr))))  # what reads the lines wants nothing else
        return
    if perplexity:
        console.print_line(f"perplexity {figure(found.score.perplexity)}\n")
    print_facts(facts)


def corpus_asked(text: tuple[str, ...], reading: dict[str, Any], unknown: str | None) -> CorpusConfig | None:
    """How to read the texts; None for the run's own.

    Raises:
        ConfigError: flags that say how to read a TEXT without one.
    """
    if text:
        return CorpusConfig(corpus=text, **reading)
    if reading or unknown:
        flag = flag_of(next(iter(reading), "unknown"))
        raise ConfigError(f"{flag} says how to read a TEXT: give one (the run's own text is read as it was)")
    return None
