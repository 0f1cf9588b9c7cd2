"""What changes as training goes on, and the one step that changes it.

A `Learner` holds weights, optimiser, averaged weights, carried state and place in the text. `capture`
takes all of it as arrays and JSON, `restore` puts it back: resuming and rolling back are the same act.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from charlm.config import TrainingConfig
from charlm.errors import RunError
from charlm.models import LanguageModel, State, detach, state_from_arrays, state_to_arrays
from charlm.models.whole_stack import join_layers
from charlm.streams import Lanes
from charlm.training.clipping import clip_by_norm, clip_by_value, clipped_parameters, global_norm
from charlm.training.device_step import DeviceStep
from charlm.training.machine import Machine
from charlm.training.optimizers import load_optimizer_arrays, make_optimizers, optimizer_arrays
from charlm.training.windows import divisors, rate_share, window_lengths

Arrays = dict[str, np.ndarray[Any, Any]]

# Symbols after the last one that the training text has are learnt in every so many steps, and stand in the loss of no
# others. Where their probabilities begin, `LanguageModel.start_from_frequencies`, there is hardly any to take away;
# docs/training.md.
ABSENT_EVERY = 16


@dataclass(frozen=True, kw_only=True)
class Capture:
    """Everything of a `Learner` at one step.

    Attributes:
        weights: what evaluation and generation use: the averaged weights where averaging is on.
        training: arrays that only going on needs: optimiser, carried state, the weights as trained.
        progress: JSON-ready counters and positions.
    """

    weights: Arrays
    training: Arrays
    progress: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One step: mean loss per token in nats, norm of the gradients that are clipped, before that, characters read.

    `seconds` is the time that the device took for it, where it was queued there, infinite if unknown; None if
    nobody measured it.
    """

    loss: float
    gradient_norm: float
    characters: int
    applied: bool
    seconds: float | None = None


class Learner:
    """A model in training on lanes of text. One `step` is one optimiser update (B lanes, T steps each).

    On CUDA a step is only queued, see `DeviceStep`: `advance` then gives results some steps late, and `settle` the
    rest. `steps` and the lanes count what is queued, `characters` what is known.
    """

    def __init__(
        self,
        model: LanguageModel,
        lanes: Lanes,
        config: TrainingConfig,
        machine: Machine,
        characters_per_id: np.ndarray[Any, Any],
        *,
        occurring: int | None = None,
        queued: bool | None = None,
    ) -> None:
        """
        Args:
            occurring: how many of the first symbols have all in them that the training text has; None for all.
            queued: whether steps are queued on the device; None for where that is faster, which is CUDA.
        """
        self.model = model.to(machine.device)
        self.lanes = lanes
        self.config = config
        self.machine = machine
        self.characters_per_id = characters_per_id
        self.occurring = model.vocab_size if occurring is None else occurring
        self.parameters = list(model.parameters())
        self._clipped = clipped_parameters(model)
        self.average = [p.detach().clone() for p in self.parameters] if config.ema else None
        self.state: State = model.initial_state(config.batch_size)
        self.masks = torch.Generator(machine.device) if _drops(model) else None
        self.queue: DeviceStep | None = None
        if machine.device.type == "cuda" if queued is None else queued:
            join_layers(model)
            self.queue = DeviceStep(model, lanes, config, machine, torch.from_numpy(characters_per_id), self.masks)
            self.state = self.queue.state
        # what is queued cannot have sparse gradients; elsewhere than on a CPU they were not tried
        self.model.sparse_rows = self.queue is None and machine.device.type == "cpu"
        rate = None if self.queue is None else self.queue.rate
        self.optimizers = make_optimizers(dict(model.named_parameters()), config, machine.device, rate)
        self.steps = 0
        self.characters = 0
        # the last window, as `LanguageModel.loss` takes it, and its loss then
        self._read: tuple[tuple[torch.Tensor, torch.Tensor, State, None, int | None], float] | None = None

    def advance(self, learning_rate: float) -> list[StepResult]:
        """One `step`; the results that are known by now and were not given before, oldest first."""
        if self.queue is None:
            return [self.step(learning_rate)]
        draws = self._draws()
        seed = int(draws.integers(2**63)) if self.masks is not None else 0
        lengths = window_lengths(self.config, draws)
        self.queue.queue(
            self.optimizers,
            self.average,
            rate=learning_rate * rate_share(self.config, lengths),
            average_towards=1 - self._decay(),
            seed=seed,
            lengths=lengths,
        )
        self.steps += 1
        return [self._result(*numbers) for numbers in self.queue.outcomes.overdue()]

    def settle(self) -> list[StepResult]:
        """Wait for the steps that are queued; their results that were not given before, oldest first."""
        return [] if self.queue is None else [self._result(*numbers) for numbers in self.queue.outcomes.all()]

    def _result(self, loss: float, norm: float, characters: float, seconds: float | None) -> StepResult:
        self.characters += int(characters)
        applied = bool(np.isfinite(loss) and np.isfinite(norm))
        return StepResult(loss=loss, gradient_norm=norm, characters=int(characters), applied=applied, seconds=seconds)

    def step(self, learning_rate: float) -> StepResult:
        """Read the next window(s), backpropagate, clip and update.

        The update is left out (`applied` is False) when loss or gradient is not finite.
        """
        if self.queue is not None:
            return (self.advance(learning_rate) + self.settle())[-1]
        with self.machine.stepping(self.model):
            return self._step(learning_rate)

    def _step(self, learning_rate: float) -> StepResult:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        draws = self._draws()
        if self.masks is not None:
            # subtle: seeded per step, not carried on, so that a resumed run draws the same masks
            self.masks.manual_seed(int(draws.integers(2**63)))
        lengths = window_lengths(self.config, draws)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * rate_share(self.config, lengths)
        loss, characters, all_symbols = 0.0, 0, False
        for length, divisor in zip(lengths, divisors(lengths), strict=True):
            window_loss, window_characters, symbols = self._window(length, divisor)
            loss += window_loss / divisor
            characters += window_characters
            all_symbols = all_symbols or symbols is None
        gradients = [p.grad for p in self._clipped if p.grad is not None]
        norm = global_norm(gradients).item()
        applied = np.isfinite(loss) and np.isfinite(norm)
        if applied:
            with contextlib.nullcontext() if all_symbols else self._absent_kept():
                self._update(gradients, norm)
            if self.average is not None:
                torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - self._decay())
        self.steps += 1
        self.characters += characters
        return StepResult(loss=loss, gradient_norm=norm, characters=characters, applied=bool(applied))

    def last_window(self) -> tuple[float, float] | None:
        """Mean loss per token, in nats, of the last window in its step, which is of the weights before that, and with
        those after it, without dropout. None before the first step, and where steps are queued."""
        if self._read is None:
            return None
        window, before = self._read
        with torch.no_grad(), self.machine.stepping(self.model), self.machine.autocast():
            loss, _ = self.model.loss(*window)
        return before, loss.item()

    def _draws(self) -> np.random.Generator:
        """What is random in the next step: nothing of it needs saving."""
        return np.random.default_rng([self.config.seed, self.steps])

    def _decay(self) -> float:
        """Of the averaged weights: a short memory at first, so that the average forgets the random start."""
        return min(self.config.ema, (1 + self.steps) / (10 + self.steps))

    def _window(self, length: int, divisor: float) -> tuple[float, int, int | None]:
        """Forward and backward over one window; gradients of its loss divided by `divisor` add up. Returns mean loss,
        characters, and how many symbols stood in the loss."""
        inputs, targets = self.lanes.next(length)
        symbols = self._symbols(targets)
        wanted = torch.from_numpy(targets).to(self.machine.device)
        with self.machine.autocast():
            ids = torch.from_numpy(inputs).to(self.machine.device)
            loss, state = self.model.loss(ids, wanted, self.state, self.masks, symbols)
        before = self.state
        # truncated backpropagation: the state goes on into the next window, its gradient does not
        self.state = detach(state)
        (loss / divisor).backward()  # type: ignore[no-untyped-call]
        self._read = (ids, wanted, before, None, symbols), loss.item()
        return self._read[1], int(self.characters_per_id[targets].sum()), symbols

    def _symbols(self, targets: np.ndarray[Any, Any]) -> int | None:
        """How many symbols stand in the loss of a window of this step; None for all."""
        some = self.occurring < self.model.vocab_size and self.steps % ABSENT_EVERY
        return self.occurring if some and targets.max() < self.occurring else None

    @contextlib.contextmanager
    def _absent_kept(self) -> Iterator[None]:
        """Whatever happens in here, the output layer's rows of symbols that do not occur stay as they are.

        Else weight decay, which is in every step, would win over gradients, which are in few.
        """
        rows = [part.detach()[self.occurring :] for part in self.model.head_of()]
        before = [part.clone() for part in rows]
        yield
        torch._foreach_copy_(rows, before)

    def _update(self, gradients: list[torch.Tensor], norm: float) -> None:
        if self.config.clip_norm:
            clip_by_norm(gradients, norm, self.config.clip_norm)
        if self.config.clip_value:
            clip_by_value(gradients, self.config.clip_value)
        for optimizer in self.optimizers:
            optimizer.step()

    @contextlib.contextmanager
    def averaged(self) -> Iterator[LanguageModel]:
        """The model with its averaged weights in place, where averaging is on."""
        if self.average is None:
            yield self.model
            return
        trained = [p.detach().clone() for p in self.parameters]
        self._write(self.average)
        try:
            yield self.model
        finally:
            self._write(trained)

    def _write(self, values: list[torch.Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_([p.detach() for p in self.parameters], values)

    def capture(self) -> Capture:
        """A copy of all that training has changed so far. Call `settle` first: its results are part of it."""
        training = {f"optimizer.{key}": array for key, array in optimizer_arrays(self.optimizers).items()}
        training |= {f"state.{key}": array for key, array in state_to_arrays(self.state).items()}
        if self.average is not None:
            training |= {f"trained.{key}": array for key, array in self.model.to_arrays().items()}
        with self.averaged() as model:
            weights = model.to_arrays()
        progress = {"steps": self.steps, "characters": self.characters, "lanes": self.lanes.state_dict()}
        return Capture(weights=weights, training=training, progress=progress)

    def restore(self, capture: Capture) -> None:
        """Put back what `capture` took.

        Raises:
            RunError: arrays or counters that do not fit this model.
        """
        if self.average is not None:
            self.model.load_arrays(capture.weights)
            torch._foreach_copy_(self.average, [p.detach() for p in self.parameters])
            self.model.load_arrays(_prefixed(capture.training, "trained."))
        else:
            self.model.load_arrays(capture.weights)
        load_optimizer_arrays(self.optimizers, _prefixed(capture.training, "optimizer."))
        like = self.model.initial_state(self.config.batch_size)
        state = state_from_arrays(_prefixed(capture.training, "state."), like)
        if self.queue is None:
            self.state = state
        else:
            self.queue.restart(state)
        try:
            self.steps = int(capture.progress["steps"])
            self.characters = int(capture.progress["characters"])
            self.lanes.load_state_dict(capture.progress["lanes"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"checkpoint: progress is incomplete: {error!r}") from None


def _prefixed(arrays: Arrays, prefix: str) -> Arrays:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


def _drops(model: LanguageModel) -> bool:
    config = model.config
    rates = (config.dropout_input, config.between, config.output, config.dropout_recurrent, config.dropout_embedding)
    return any(rates)
