"""What ``charlm train`` does once its flags are read: start, resume or plan, watch, and say how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from charlm.cli import console
from charlm.cli.ending import interrupted_facts, summary_facts, summary_record
from charlm.cli.progress import choose_progress
from charlm.cli.signals import stop_requests
from charlm.cli.view import View, choose_view
from charlm.config import Config, Layer, Resolved, file_layer, flag_of, resolve
from charlm.config.shapes import count_parameters
from charlm.errors import ConfigError, OutputError, is_out_of_memory
from charlm.evaluation.of_run import split_to_name
from charlm.runs import checkpoints_folder
from charlm.tokenizers import parse_spec
from charlm.training import Training, plan_training, resume_training, start_training
from charlm.training.events import Stopped
from charlm.training.plan import memory_estimate, memory_of_machine

# Symbols that a vocabulary has where its size is not known: characters of a text, and 256 bytes.
USUAL_VOCABULARY = 400


def start(resolved: Resolved, *, run: str | None, started: float, json: bool, quiet: bool) -> int:
    """Train anew; returns the exit code.

    Args:
        started: when the command began, on `counted_time`: its minutes count from then.
    """
    config = resolved.config
    view = choose_view(json=json, quiet=quiet)

    def prepare() -> Training:
        return start_training(
            config,
            run=run,
            root=checkpoints_folder(),
            now=datetime.now(),
            free=resolved.free,
            progress=choose_progress(quiet=json or quiet),
            samples=view.wants_samples or None,
            started=started,
        )

    with memory_advice(config):
        training = prepare()
    return watch(training, view)


def resume(
    flags: Mapping[str, Any],
    config_file: str | None,
    preset: str | None,
    *,
    run: str | None,
    accept_change: bool,
    plan: bool,
    started: float,
    json: bool,
    quiet: bool,
) -> int:
    """Go on with a run; only flags and --config say what changes. `started` as of `start`; returns the exit code."""
    for name, value in (("--preset", preset), ("--plan", plan)):
        if value:
            raise ConfigError(f"{name} cannot be used with --resume: the run has its settings already")
    from_file = file_layer(Path(config_file)) if config_file else Layer(origin="file", values={})
    resolve([from_file])  # an error of its own, not a setting that cannot change
    changes = {**from_file.values, **flags}
    view = choose_view(json=json, quiet=quiet)
    training = resume_training(
        changes,
        run=run,
        root=checkpoints_folder(),
        accept_change=accept_change,
        progress=choose_progress(quiet=json or quiet),
        samples=view.wants_samples or None,
        started=started,
    )
    return watch(training, view)


def plan(resolved: Resolved, *, run: str | None, started: float, json: bool, quiet: bool) -> int:
    """Print what a training would cost. `started` as of `start`; returns the exit code."""
    with memory_advice(resolved.config):
        found = plan_training(
            resolved.config,
            run=run,
            root=checkpoints_folder(),
            free=resolved.free,
            progress=choose_progress(quiet=json or quiet),
            started=started,
        )
    if json:
        console.print_json(dataclasses.asdict(found))
    else:
        for notice in () if quiet else found.notices:
            console.note(notice)
        for line in found.lines():
            console.print_line(line)
    return 0


def watch(training: Training, view: View) -> int:
    """Show the events as they come, then how it ended; returns the exit code."""
    advice, events = memory_advice(training.config, training.data.tokenizer.vocab_size), training.events()
    with advice, stop_requests(training.request_stop) as received:
        try:
            for notice in training.notices:
                view.notice(notice)
            view.open(title_of(training))
            reason = ""
            for event in events:
                view.show(event)
                if isinstance(event, Stopped):
                    reason = event.reason
                    view.close()  # what comes now is told in a line below
        except (OSError, OutputError):
            # nobody reads any more, or the view's own output is full: what was learnt is saved all the same
            training.request_stop()
            for _ in events:
                pass
            raise
        finally:
            view.close()
        # also where the last step was done when the signal came: what is left to do takes seconds
        if received.number is not None:
            complete = reason != "interrupted"
            view.end(interrupted_facts(training.run.folder, complete=complete, split=split_to_name(training.data)))
            return received.exit_code
    summary = training.summary()
    view.end(summary_facts(summary, training.config, reason, split_to_name(training.data)))
    view.end_record(summary_record(summary))
    return 0


def title_of(training: Training) -> list[str]:
    """What is trained, most important part first."""
    model, vocab_size = training.config.model, training.data.tokenizer.vocab_size
    return [
        training.run.name,
        f"{model.cell} {model.layers} x {model.hidden_size}",
        f"{count_parameters(model, vocab_size):,} parameters",
        f"{training.data.facts['characters']:,} characters",
        training.machine.describe(),
    ]


@contextmanager
def memory_advice(config: Config, vocab_size: int | None = None) -> Iterator[None]:
    """Turn running out of memory into an error that says how much is needed and what to try.

    Args:
        vocab_size: V, once it is known.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        V = vocab_size or parse_spec(config.tokenizer.tokenizer)[1] or USUAL_VOCABULARY
        needed = memory_estimate(config, V)
        raise OutputError(
            f"out of memory: this training needs about {needed / 2**20:,.0f} MB; try {_smaller(config, V, needed)}"
        ) from error


def _smaller(config: Config, vocab_size: int, needed: int) -> str:
    """The flag that saves most, at a value that fits: the batch or the window, whichever is further beyond the usual
    one; or the size of a model whose weights are most of what is needed."""
    training, usual = config.training, Config().training
    longer = training.window_length / usual.window_length > training.batch_size / usual.batch_size
    name = "window_length" if longer else "batch_size"
    if needed - memory_estimate(_halved(config, name), vocab_size) < needed / 4 and config.model.hidden_size > 1:
        name = "hidden_size"
    smaller = _halved(config, name)
    while memory_estimate(smaller, vocab_size) > memory_of_machine() and smaller != _halved(smaller, name):
        smaller = _halved(smaller, name)
    return f"{flag_of(name)} {_of(smaller, name)}"


def _of(config: Config, name: str) -> int:
    """A setting of its model or its training."""
    return int(getattr(config.model if name == "hidden_size" else config.training, name))


def _halved(config: Config, name: str) -> Config:
    """The same with half of that setting, at least 1."""
    half: dict[str, Any] = {name: max(_of(config, name) // 2, 1)}
    if name == "hidden_size":
        return dataclasses.replace(config, model=dataclasses.replace(config.model, **half))
    return dataclasses.replace(config, training=dataclasses.replace(config.training, **half))
