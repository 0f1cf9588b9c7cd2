"""A training that is ready to run: from its first step to what is said at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from charlm.config import Config
from charlm.corpora import Progress
from charlm.errors import RunInUseError
from charlm.evaluation.aside import BaselinesAside
from charlm.runs import Data, Run
from charlm.training.events import Event, LogFailed
from charlm.training.machine import Machine
from charlm.training.precision import note_precision
from charlm.training.run_folder import remove_empty
from charlm.training.summary import Summary, summarise
from charlm.training.trainer import Trainer


@dataclass
class Training:
    """A training that is ready to run.

    Attributes:
        config: complete; what the run folder stores.
        data: tokenizer and token store.
        run: the run folder.
        notices: lines for the user from before the first step.
        baselines: on the validation split, computed beside the training.
        progress: told when loops have to be compiled at the end.
        held: keeps the lock of a resumed run from before its checkpoint was read.
        ended: all steps are done and saved.
    """

    config: Config
    data: Data
    run: Run
    machine: Machine
    trainer: Trainer
    notices: list[str]
    baselines: BaselinesAside
    progress: Progress | None = None
    held: ExitStack = field(default_factory=ExitStack)
    ended: bool = False

    def events(self) -> Iterator[Event]:
        """Train, holding the run's lock. A run that fails before its first checkpoint is gone.

        Raises:
            DivergedError, OutputError, RunInUseError: see `Trainer.run`.
        """
        try:
            yield from self._events()
        except RunInUseError:
            raise  # what lies there is another's
        # of whatever kind: a lack of memory is torch's RuntimeError, a signal what the command line makes of it, and
        # whoever asks for no more events has gone
        except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
            remove_empty(self.run)
            raise

    def _events(self) -> Iterator[Event]:
        with self.held, self.run.lock(), self.machine.in_use():
            # of a run that begins again, killed before its first checkpoint, nothing that it told of stays
            self.run.truncate_metrics(self.trainer.learner.steps or -1)
            told = False
            for event in self.trainer.run():
                yield event
                if self.trainer.keeper.trouble and not told:
                    told = True
                    yield LogFailed(**self.trainer.where(), reason=self.trainer.keeper.trouble)
            self.ended = True
            if self.trainer.stop_requested:
                self.baselines.stop()
            else:
                note_precision(self.run, self.data, self.progress)

    def request_stop(self) -> bool:
        """Finish the step, save and end. Safe to call from a signal handler.

        Returns:
            False where there is no step to finish: all are done and saved, what is under way may be cut short.
        """
        self.trainer.request_stop()
        return not self.ended

    def summary(self) -> Summary:
        """The best checkpoint, read back and scored on the whole validation split."""
        epochs = self.trainer.learner.lanes.epoch
        with self.machine.in_use():
            return summarise(self.run, self.config, self.data, self.machine, self.baselines.scores(), epochs)
