"""One training step that the host only queues: window, forward, backward, clip, update and average on the device.

On CUDA the whole of it is recorded once in a graph and replayed, so a step costs the host a few calls whatever the
model is. Nothing in it asks the device for a number: the place in the text, the learning rate and the seed of the
masks go in through tensors and the generator, loss, norm and characters come out some steps later (`Outcomes`), and
a step that must not be applied is left out by the device itself.

Without a graph (on any device, and where windows vary in length) the same code runs as it stands; that is how it
is tested on a CPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import compress

import torch
from torch import Tensor

from charlm.config import TrainingConfig
from charlm.kernels.devices import STEPS_BEFORE_GRAPH
from charlm.models import LanguageModel, State, detach
from charlm.streams import Lanes
from charlm.training.clipping import clip_by_device_norm, clip_by_value, clipped_parameters, global_norm
from charlm.training.device_lanes import DeviceLanes, fits
from charlm.training.machine import Machine
from charlm.training.optimizers import step_unless
from charlm.training.outcomes import Outcomes
from charlm.training.windows import divisors

# More windows a step than this would make a graph too large to be worth it.
LONGEST_GRAPH = 16


class DeviceStep:
    """Queues steps of a learner. Letters: B lanes, T window length.

    Attributes:
        rate: () float32, the learning rate of the step under way; the optimiser was made with it.
        outcomes: (loss, gradient norm, characters) of queued steps.
        state: the carried state, in tensors that stay where they are.
        record: whether steps are to be recorded; set to False before the first one to run them as they stand.
        graph: what is replayed, once it is recorded.
    """

    def __init__(
        self,
        model: LanguageModel,
        lanes: Lanes,
        config: TrainingConfig,
        machine: Machine,
        characters_per_id: Tensor,
        masks: torch.Generator | None,
    ) -> None:
        device = machine.device
        self.model, self.lanes, self.config, self.machine, self.masks = model, lanes, config, machine, masks
        self.parameters = list(model.parameters())
        clipped = {id(parameter) for parameter in clipped_parameters(model)}
        self._is_clipped = [id(parameter) in clipped for parameter in self.parameters]
        self.characters_per_id = characters_per_id.to(device)
        self.rate = torch.zeros((), dtype=torch.float32, device=device)
        zeros = model.initial_state(config.batch_size)
        # subtle: the tensors of a first state may be one and the same
        self.state: State = tuple(type(layer)(*(tensor.clone() for tensor in layer)) for layer in zeros)
        self.outcomes = Outcomes(device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self._begun: torch.cuda.CUDAGraph | None = None
        self._average_towards = torch.zeros((), dtype=torch.float32, device=device)
        self._position = torch.zeros((), dtype=torch.int64, device=device)
        self._outcome = torch.zeros(3, dtype=torch.float64, device=device)
        self._text = DeviceLanes(lanes, device) if fits(lanes.ids, device) else None
        self._steps_run = 0
        fixed = not config.window_jitter and config.accumulate <= LONGEST_GRAPH and self._text is not None
        self.record = fixed and device.type == "cuda"
        self._aside = _stream(device) if self.record else None

    def queue(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        average: list[Tensor] | None,
        *,
        rate: float,
        average_towards: float,
        seed: int,
        lengths: list[int],
    ) -> None:
        """Queue one step over windows of `lengths`; the lanes go on by them.

        Args:
            average_towards: the share of the new weights in `average`.
            seed: of the masks.
        """
        self.rate.fill_(rate)
        self._average_towards.fill_(average_towards)
        self._position.fill_(self.lanes.position)
        if self.masks is not None:
            self.masks.manual_seed(seed)
        compute = self._computation(optimizers, average, lengths)
        if self.record and self.graph is None and self._steps_run >= STEPS_BEFORE_GRAPH:
            self._try_to_record(compute)
        if self.graph is not None:
            self.graph.replay()
        else:
            self._run_aside(compute)
        self._steps_run += 1
        self.outcomes.push(self._outcome)

    def restart(self, state: State) -> None:
        """Go on from `state`, with optimiser tensors that may be new ones; what is pending is forgotten."""
        for layer, layer_new in zip(self.state, state, strict=True):
            for tensor, new in zip(layer, layer_new, strict=True):
                tensor.copy_(new)
        self.outcomes.forget()
        # a graph holds the addresses of the tensors that it was recorded with, and must not be at work when it goes
        if self.graph is not None:
            torch.cuda.synchronize(self.machine.device)
        self.graph, self._steps_run = None, 0

    def _computation(
        self, optimizers: Sequence[torch.optim.Optimizer], average: list[Tensor] | None, lengths: list[int]
    ) -> Callable[[], None]:
        """The step as a function without arguments, its windows chosen."""
        windows: list[Callable[[], tuple[Tensor, Tensor]]] = []
        ahead = 0
        for length in lengths:
            if self._text is None:
                windows.append(self._from_host(length))
            else:
                windows.append(self._from_device(self._text, ahead, length))
                self.lanes.skip(length)
            ahead += length
        return lambda: self._compute(optimizers, average, windows, divisors(lengths))

    def _from_device(self, text: DeviceLanes, ahead: int, length: int) -> Callable[[], tuple[Tensor, Tensor]]:
        return lambda: text.window(self._position + ahead, length)

    def _from_host(self, length: int) -> Callable[[], tuple[Tensor, Tensor]]:
        """A window read here; its copy does not wait, because the memory that it leaves from is pinned."""
        pair = [torch.from_numpy(array).t().contiguous() for array in self.lanes.next(length)]
        if self.machine.device.type == "cuda":
            pair = [tensor.pin_memory() for tensor in pair]
        inputs, targets = (tensor.to(self.machine.device, non_blocking=True) for tensor in pair)
        return lambda: (inputs, targets)

    def _compute(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        average: list[Tensor] | None,
        windows: list[Callable[[], tuple[Tensor, Tensor]]],
        divided_by: list[float],
    ) -> None:
        state: State = self.state
        gradients: list[Tensor] = []
        loss = torch.zeros((), dtype=torch.float32, device=self.machine.device)
        characters = torch.zeros((), dtype=torch.int64, device=self.machine.device)
        for window, divisor in zip(windows, divided_by, strict=True):
            inputs, targets = window()
            window_loss, window_gradients, state = self._backpropagate(inputs, targets, state, divisor)
            loss = loss + window_loss / divisor
            characters = characters + self.characters_per_id[targets].sum()
            if gradients:
                torch._foreach_add_(gradients, window_gradients)
            else:
                gradients = window_gradients
        norm = global_norm(self._clipped(gradients))
        skip = (~(loss.isfinite() & norm.isfinite())).float()
        self._update(optimizers, average, gradients, norm, skip)
        with torch.no_grad():
            for layer, layer_after in zip(self.state, state, strict=True):
                torch._foreach_copy_(list(layer), list(layer_after))
            self._outcome.copy_(torch.stack((loss.double(), norm.double(), characters.double())))

    def _backpropagate(
        self, inputs: Tensor, targets: Tensor, state: State, divisor: float
    ) -> tuple[Tensor, list[Tensor], State]:
        """One window, (T, B): its mean loss, the gradients of its share of the step, the state after it."""
        with self.machine.autocast():
            loss, after = self.model.loss(inputs.t(), targets.t(), state, self.masks)
        gradients = torch.autograd.grad(loss / divisor, self.parameters)
        return loss.detach(), _each_its_own(gradients), detach(after)

    def _update(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        average: list[Tensor] | None,
        gradients: list[Tensor],
        norm: Tensor,
        skip: Tensor,
    ) -> None:
        if self.config.clip_norm:
            clip_by_device_norm(self._clipped(gradients), norm, self.config.clip_norm)
        if self.config.clip_value:
            clip_by_value(self._clipped(gradients), self.config.clip_value)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate  # loading a checkpoint puts a copy in its place
            step_unless(optimizer, skip)
        if average is not None:
            difference = torch._foreach_sub([p.detach() for p in self.parameters], average)
            torch._foreach_mul_(difference, self._average_towards * (1 - skip))
            torch._foreach_add_(average, difference)

    def _clipped(self, gradients: list[Tensor]) -> list[Tensor]:
        return list(compress(gradients, self._is_clipped))

    def _run_aside(self, compute: Callable[[], None]) -> None:
        """Run it now: on a stream beside the main one where it is to be recorded, as torch asks for."""
        if self._aside is None:
            compute()
            return
        self._aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._aside):
            compute()
        torch.cuda.current_stream().wait_stream(self._aside)

    def _try_to_record(self, compute: Callable[[], None]) -> None:
        try:
            self._record(compute)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # recording changes no number, so the training can go on without it
            self.record = False
            reason = str(error).partition("\n")[0]
            warnings.warn(f"the training step cannot be recorded and will be slower: {reason}", stacklevel=2)

    def _record(self, compute: Callable[[], None]) -> None:
        # subtle: the memory pool of a recording that failed refers to its graph, and its stream is left in use
        stream, self._begun = torch.cuda.current_stream(self.machine.device), torch.cuda.CUDAGraph()
        if self.masks is not None:
            # subtle: at each replay the graph reads the seed that the generator then has, from its beginning
            self._begun.register_generator_state(self.masks)
        try:
            with torch.cuda.graph(self._begun):
                compute()
        except BaseException:
            torch.cuda.set_stream(stream)
            raise
        self.graph = self._begun


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _each_its_own(gradients: Sequence[Tensor]) -> list[Tensor]:
    """A kernel may give one tensor for both biases of a layer; what is changed in place must be there once. And a part
    of a larger tensor may be a gradient; torch's fused optimisers take any to lie in one piece."""
    seen: set[int] = set()
    own = []
    for gradient in gradients:
        own.append(gradient.clone() if gradient.data_ptr() in seen else gradient.contiguous())
        seen.add(gradient.data_ptr())
    return own
