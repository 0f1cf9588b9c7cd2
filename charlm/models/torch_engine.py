"""Many streams of text at once on a GPU: one step, or one step with its draw, recorded in a graph and replayed.

`TorchModel` has the methods of `charlm.runtime.NumpyModel`, so generation can ask it as it asks that; its states are
tensors that stay on the device. It runs on any device that torch has: without a graph on all but CUDA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.config import ModelConfig
from charlm.errors import ConfigError, RunError
from charlm.kernels.devices import STEPS_BEFORE_GRAPH
from charlm.models.device_draws import LONGEST_BLOCK, Draws, Rules, Texts
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams import embed_ngrams
from charlm.models.stack import Layer
from charlm.models.state import AttentionState, NgramState

Array = npt.NDArray[Any]
EngineState = Sequence[Sequence[Tensor]]  # of each layer, of attention and n-grams, tensors (N, ...)


class TorchModel:
    """A model at work on a device. Letters: N rows, R rows computed at once, V, H.

    Every step computes R rows, whatever N is, so row i of a result does not depend on the other rows or on how many
    there are, but in its last digits on R.
    """

    def __init__(
        self,
        config: ModelConfig,
        arrays: Mapping[str, Array],
        vocab_size: int,
        *,
        device: torch.device,
        rows: int = 64,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """
        Args:
            arrays: all tensors by name, as `LanguageModel.to_arrays` gives them.
            rows: R.
            dtype: format of weights and states; logits are float32.

        Raises:
            ConfigError: `rows` is no count.
            RunError: naming a tensor that is missing, one too many, misshapen, not of floats or not finite.
            UnknownNameError: `config.cell` is no cell.
        """
        if rows < 1:
            raise ConfigError(f"rows must be a whole number >= 1, was {rows}")
        self.config, self.vocab_size, self.rows, self.device = config, vocab_size, rows, device
        self._model = LanguageModel.from_arrays(config, vocab_size, arrays).to(device, dtype).requires_grad_(False)
        self._ids = torch.zeros(rows, dtype=torch.int64, device=device)
        self._state = [[part.clone() for part in layer] for layer in self._model.initial_state(rows)]
        self._logits = torch.zeros((rows, vocab_size), dtype=torch.float32, device=device)
        self._draws: Draws | None = None  # made where something is drawn
        self._graphs: dict[Rules | None, torch.cuda.CUDAGraph] = {}  # by the rules of a draw; None for a step without

    def initial_state(self, n: int) -> EngineState:
        """The state of n rows before any text: zeros, each (n, ...)."""
        return self._model.initial_state(n)

    def step(self, ids: Array, state: EngineState) -> tuple[npt.NDArray[np.float32], EngineState]:
        """ids: (N,), state of N rows -> logits (N, V) of the id that follows, state after."""
        found, after = [], []
        for start in range(0, len(ids), self.rows):
            n = self._take(ids[start : start + self.rows], [[part[start:] for part in layer] for layer in state])
            self._run(None, self._step)
            found.append(self._logits[:n].to("cpu", copy=True).numpy())
            after.append(self._state_of(n))
        return np.concatenate(found), _joined(after)

    def prime(self, ids: Array, n: int = 1) -> tuple[npt.NDArray[np.float32], EngineState]:
        """Read a text, (T,), and hand out its last step n times over; equal to one `step` an id.

        Raises:
            RunError: no ids, or one outside the vocabulary.
        """
        ids = np.asarray(ids)
        if not len(ids):
            raise RunError("a model must read at least one symbol before it can write")
        self._read(ids)
        state = [[part.expand(n, *part.shape[1:]).clone() for part in layer] for layer in self._state_of(1)]
        return np.repeat(self._logits[:1].to("cpu", copy=True).numpy(), n, axis=0), state

    def read(self, ids: Array) -> EngineState:
        """The state of one row after ids (T,), T >= 0, from the beginning."""
        if not len(ids):
            return self.initial_state(1)
        self._read(np.asarray(ids))
        return self._state_of(1)

    def draw(self, texts: Texts, uniforms: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Go on with texts of N rows, which are changed, by a step for each of the numbers (N, T) from [0, 1).

        The host is asked every `LONGEST_BLOCK` steps alone. The ring of the last ids is kept where a rule looks at it.

        Returns:
            the ids drawn (N, T), and their nats (N, T) under the model itself: nan from where it has exploded.
        """
        self._draws = self._draws or Draws(self.rows, texts.recent.shape[1], self.device)
        ids, nats = np.empty(uniforms.shape, dtype=np.int64), np.empty(uniforms.shape)
        for start in range(0, len(uniforms), self.rows):
            rows = slice(start, start + self.rows)
            self._draw_rows(self._draws, texts, rows, uniforms[rows], ids[rows], nats[rows])
        texts.ids[:] = ids[:, -1]
        return ids, nats

    def _draw_rows(self, draws: Draws, texts: Texts, rows: slice, uniforms: Array, ids: Array, nats: Array) -> None:
        """`draw` for at most R rows."""
        rules = tuple(texts.rules.tolist())
        state = [[part[rows] for part in layer] for layer in texts.state]
        n = self._take(texts.ids[rows], state)
        if rules[0] != 1:
            draws.take_ring(texts.recent[rows], texts.written[rows])
        for first in range(0, uniforms.shape[1], LONGEST_BLOCK):
            block = uniforms[:, first : first + LONGEST_BLOCK]
            steps = block.shape[1]
            draws.begin(block)
            for _ in range(steps):
                self._run(rules, partial(self._drawn_step, draws, rules))
            ids[:, first : first + steps], nats[:, first : first + steps] = draws.drawn(n, steps)
        for own, its in zip(self._state, state, strict=True):
            for part, given in zip(own, its, strict=True):
                given.copy_(part[:n])
        if rules[0] != 1:
            draws.give_ring(texts.recent[rows], texts.written[rows])

    def _read(self, ids: Array) -> None:
        """Go from the beginning through ids (T,), T >= 1, in the first row."""
        if int(ids.min()) < 0 or int(ids.max()) >= self.vocab_size:
            raise RunError.of_ids(int(ids.min()), int(ids.max()), self.vocab_size)
        self._take(ids[:1], self.initial_state(1))
        read = torch.from_numpy(ids.astype(np.int64)).to(self.device)
        for index in range(len(ids)):
            self._ids[:1] = read[index]
            self._run(None, self._step)

    def _take(self, ids: Array, state: EngineState) -> int:
        """Put rows where the graph reads them. Returns how many."""
        n = min(len(ids), self.rows)
        self._ids[:n].copy_(torch.from_numpy(np.asarray(ids[:n], dtype=np.int64)))
        for own, its in zip(self._state, state, strict=True):
            for part, new in zip(own, its, strict=True):
                part[:n].copy_(new[:n])
        return n

    def _state_of(self, n: int) -> EngineState:
        return [[part[:n].clone() for part in layer] for layer in self._state]

    @torch.no_grad()
    def _step(self) -> None:
        model, ngrams = self._model, None
        x = F.embedding(self._ids, model.embedding)
        if model.config.ngram_embedding_size:
            ngrams, symbols = embed_ngrams(
                self._ids.unsqueeze(1), NgramState(*self._state[-1]), model.ngram_embedding, model.config.ngram_order
            )
            torch._foreach_copy_(self._state[-1], list(symbols))
            ngrams = ngrams.squeeze(1)
            x = torch.cat([x, ngrams], dim=1)
        # behind the layers' states there may be those of attention and n-grams
        for layer, state in zip(model.layers, self._state, strict=False):
            y, after = layer.cell_type(layer.weights).step(_normalised(layer, x), layer.cell_type.state_type(*state))
            x = x + y if layer.residual and x.shape == y.shape else y
            torch._foreach_copy_(state, list(after))
        if model.config.attention_window:
            remembered = self._state[len(model.layers)]
            y, (memory,) = model.attended(x.unsqueeze(1), (AttentionState(*remembered),))
            torch._foreach_copy_(remembered, list(memory))
            x = y.squeeze(1)
        if model.config.tie_weights and model.config.embedding != model.config.hidden_size:
            x = F.linear(x, model.projection)
        weight, bias, *of_ngrams = model.head_of()
        logits = F.linear(x, weight, bias)
        if ngrams is not None:
            logits = torch.addmm(logits, ngrams, of_ngrams[0].t())
        self._logits.copy_(logits)

    @torch.no_grad()
    def _drawn_step(self, draws: Draws, rules: Rules) -> None:
        self._step()
        self._ids.copy_(draws.step(self._logits, rules))

    def _run(self, name: Rules | None, compute: Callable[[], None]) -> None:
        if self.device.type != "cuda":
            compute()
            return
        if name not in self._graphs:
            self._graphs[name] = self._recorded(compute)
        self._graphs[name].replay()

    def _recorded(self, compute: Callable[[], None]) -> torch.cuda.CUDAGraph:
        """The graph of one call. What the steps before it change is put back."""
        changed = [self._ids, *(part for layer in self._state for part in layer)]
        changed += self._draws.changed if self._draws else []
        kept = [tensor.clone() for tensor in changed]
        aside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):
            for _ in range(STEPS_BEFORE_GRAPH):
                compute()
        torch.cuda.current_stream(self.device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            compute()
        torch._foreach_copy_(changed, kept)
        return graph


def _normalised(layer: Layer, x: Tensor) -> Tensor:
    if not layer.layer_norm:
        return x
    return F.layer_norm(x, x.shape[-1:], layer.norm_weight, layer.norm_bias)


def _joined(states: Sequence[EngineState]) -> EngineState:
    """States of some rows each, as the state of all of them."""
    return [[torch.cat(parts) for parts in zip(*layers, strict=True)] for layers in zip(*states, strict=True)]
