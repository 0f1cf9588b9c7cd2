"""Ids in, logits of the next id out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charlm.config import ModelConfig
from charlm.config.shapes import NGRAM_TABLE, check_shapes, parameter_shapes
from charlm.errors import RunError
from charlm.kernels import Lookup, Scratch
from charlm.models.arrays import array_of, tensors_of
from charlm.models.attention import AttentionWeights, attend, empty_memory
from charlm.models.cells import CELLS
from charlm.models.dropout import drop, drop_symbols
from charlm.models.initialisation import normal_, scaled_uniform_
from charlm.models.joined_window import goes_in_one, joined_loss
from charlm.models.ngrams import embed_ngrams, nothing_read
from charlm.models.penalties import penalty_of
from charlm.models.stack import Stack
from charlm.models.state import AttentionState, NgramState, State
from charlm.registry import lookup

Arrays = Mapping[str, np.ndarray[Any, Any]]
# what arrays that do not fit are said to be
WEIGHTS = "weights"


class LanguageModel(nn.Module):
    """Embedding, L recurrent layers, output layer (Mikolov et al., 2010; Graves, 2013, arXiv:1308.0850).

    With `tie_weights` the embedding is the output layer too (Press and Wolf, 2016, arXiv:1608.05859; Inan
    et al., 2016, arXiv:1611.01462), below it a projection from H to E where those differ.

    There is no training mode: dropout is on in a call that is given `masks`, and off in one that is not.

    Attributes:
        sparse_rows: whether the gradient of `ngram_embedding` is to be a sparse tensor: for optimisers that take one.
    """

    embedding: Tensor  # (V, E)
    ngram_embedding: Tensor  # (R, D), only with `ngram_embedding_size`; its first values are zeros
    attention_norm_weight: Tensor  # this and the other fields of `AttentionWeights` only with `attention_window`
    attention_query: Tensor
    projection: Tensor  # (E, H), only when tied and E != H
    output_weight: Tensor  # (V, H), absent when tied
    ngram_output_weight: Tensor  # (V, D), only with `ngram_embedding_size`
    output_bias: Tensor  # (V,)

    def __init__(self, config: ModelConfig, vocab_size: int, generator: torch.Generator | None = None) -> None:
        """
        Args:
            generator: first weights are drawn from it; left out, from one seeded with 0.

        Raises:
            UnknownNameError: `config.cell` is no cell.
        """
        super().__init__()
        self._allocate(config, vocab_size)
        self._initialise(torch.Generator().manual_seed(0) if generator is None else generator)

    @classmethod
    def from_arrays(cls, config: ModelConfig, vocab_size: int, arrays: Arrays) -> LanguageModel:
        """The model that `to_arrays` came from. Allocates only once names and shapes are known to be right.

        Raises:
            RunError: naming a tensor that is missing, one too many, misshapen, not of floats or not finite.
            UnknownNameError: `config.cell` is no cell.
        """
        check_shapes(
            {name: array.shape for name, array in arrays.items()}, parameter_shapes(config, vocab_size), WEIGHTS
        )
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model._allocate(config, vocab_size)
        model.load_arrays(arrays)
        return model

    def _allocate(self, config: ModelConfig, vocab_size: int) -> None:
        self.config = config
        self.vocab_size = vocab_size
        self.layers = Stack(config)
        self.scratch = Scratch()
        self.sparse_rows = False
        for name, shape in parameter_shapes(config, vocab_size).items():
            if not name.startswith("layers."):
                self.register_parameter(name, nn.Parameter(torch.zeros(shape, dtype=torch.float32)))

    def _initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights; docs/models.md has the scales and how they were found."""
        config = self.config
        # subtle: a residual stream carries the embedding up to the output, so what arrives there is not small
        tied_gain = 1.0 if config.residual else 3.0
        normal_(self.embedding, tied_gain * config.embedding**-0.5 if config.tie_weights else 1.0, generator)
        for layer in self.layers:
            layer.initialise(generator)
        if not config.tie_weights:
            gain = 1.0 if config.residual else lookup(CELLS, config.cell, "cell").output_gain
            scaled_uniform_(self.output_weight, generator, gain)
        elif config.embedding != config.hidden_size:
            scaled_uniform_(self.projection, generator)
        if config.ngram_embedding_size:
            scaled_uniform_(self.ngram_output_weight, generator)
        if config.attention_window:
            # its output begins at zero: what is found counts once there is something to be found
            nn.init.ones_(self.attention_norm_weight)
            scaled_uniform_(self.attention_query, generator)

    def start_from_frequencies(self, counts: np.ndarray[Any, Any]) -> None:
        """Set the output bias so that an untrained model predicts every symbol about as often as it occurs.

        The first steps then learn what depends on context, and symbols that never occur in training, such as
        most byte ids, start out as unlikely as they are: b is the logarithm of a symbol's share, for which each count
        has 1/2 added, and those that never occur have 1/2 together.

        Args:
            counts: (V,) occurrences of each symbol in the training split.
        """
        counts = np.asarray(counts, dtype=np.float64)
        absent = max(1, int((counts == 0).sum()))
        smoothed = torch.from_numpy(counts + np.where(counts > 0, 0.5, 0.5 / absent))
        with torch.no_grad():
            self.output_bias.copy_((smoothed / smoothed.sum()).log())

    def forward(self, ids: Tensor, state: State | None, masks: torch.Generator | None = None) -> tuple[Tensor, State]:
        """Logits of the id that follows each id, and the state after the last one.

        Args:
            ids: (B, T) int64.
            state: as a former call gave it; None is the state before any text.
            masks: dropout masks are drawn from it; None means no dropout at all.

        Returns:
            logits (B, T, V), not normalised, and state of (B, ...) tensors: both in the format of the
            weights, under autocast too.

        Raises:
            RunError: an id is outside the vocabulary (on a CPU; a GPU stops with an error of its own).
        """
        inputs, state = self.inputs(ids, state, masks)
        y, state = self._outputs(inputs, state, masks)
        y = self._dropped(y, masks)
        return self._logits(y.transpose(0, 1), inputs.beside).transpose(0, 1), state

    def loss(
        self,
        ids: Tensor,
        targets: Tensor,
        state: State | None,
        masks: torch.Generator | None = None,
        symbols: int | None = None,
    ) -> tuple[Tensor, State]:
        """Mean loss of the targets in nats, a scalar, and the state after; see `forward`.

        Penalties are in its gradient alone: the number stays the nats of the targets.

        Args:
            targets: (B, T) int64, the id that follows each id.
            symbols: how many of the first ones are thought possible, the targets among them; None for all.

        Raises:
            RunError: an id or a target is outside the vocabulary, as in `forward`, or of those.
            ValueError: shapes that do not fit.
        """
        if targets.shape != ids.shape:
            raise ValueError(f"targets must have the shape of ids, {tuple(ids.shape)}, was {tuple(targets.shape)}")
        self.check(targets, symbols)
        inputs, state = self.inputs(ids, state, masks)
        joined = joined_loss(self, inputs, targets, state, masks, symbols)
        if joined is not None:
            return joined
        outputs, state = self._outputs(inputs, state, masks)
        y = self._dropped(outputs, masks)
        logits = self._logits(y.transpose(0, 1), inputs.beside, symbols)  # (T, B, V)
        nats = F.cross_entropy(logits.float().flatten(0, 1), targets.t().flatten())
        if not (self.config.activation_penalty or self.config.change_penalty):
            return nats, state
        penalty = penalty_of(outputs, y, self.config)
        return nats + (penalty - penalty.detach()), state

    def inputs(self, ids: Tensor, state: State | None, masks: torch.Generator | None) -> tuple[Lookup, State]:
        """What the layers take for ids (B, T): embedded symbols, and the state before them, but that of n-grams, which
        is the one after them."""
        self.check(ids)
        if state is None:
            state = self.initial_state(ids.shape[0])
        ngrams, state = self._embedded_ngrams(ids, state)
        return Lookup(ids, drop_symbols(self.embedding, self.config.dropout_embedding, masks), ngrams), state

    def _embedded_ngrams(self, ids: Tensor, state: State) -> tuple[Tensor | None, State]:
        """The vectors of the n-grams that end at each of ids (B, T): (B, T, D), and the state with these ids read;
        None, and the state as it is, where there are none."""
        *others, last = state
        if not isinstance(last, NgramState):
            return None, state
        ngrams, last = embed_ngrams(ids, last, self.ngram_embedding, self.config.ngram_order, sparse=self.sparse_rows)
        return ngrams, (*others, last)

    def _outputs(self, inputs: Lookup, state: State, masks: torch.Generator | None) -> tuple[Tensor, State]:
        """What the layers, and attention above them, give for their inputs: (B, T, H), and the state after."""
        y, after = self.layers(inputs, state[: len(self.layers)], masks)
        return self.attended(y, (*after, *state[len(self.layers) :]))

    def attended(self, y: Tensor, state: State) -> tuple[Tensor, State]:
        """What the last layer gives, (B, T, H), with what attention finds for it, and the state after; both as they
        are where there is no attention."""
        for place, part in enumerate(state):
            if isinstance(part, AttentionState):
                weights = AttentionWeights(*(getattr(self, f"attention_{field}") for field in AttentionWeights._fields))
                y, memory = attend(y, part, weights)
                return y, (*state[:place], memory, *state[place + 1 :])
        return y, state

    def _dropped(self, y: Tensor, masks: torch.Generator | None) -> Tensor:
        """The output layer's input, (B, T, H)."""
        return drop(y, self.config.output, masks, locked=self.config.locked_dropout)

    def check(self, ids: Tensor, symbols: int | None = None) -> None:
        """Raise `RunError` where an id is outside the vocabulary, or beyond so many symbols: loops see no bounds."""
        # on a GPU, looking would mean waiting; there the look-up itself stops
        if ids.device.type != "cpu" or ids.numel() == 0:
            return
        least, most = ids.aminmax()
        if least < 0 or most >= self.vocab_size:
            raise RunError.of_ids(int(least), int(most), self.vocab_size)
        if symbols is not None and most >= symbols:
            raise RunError(f"a target is {most}, but only the first {symbols} symbols are thought possible")

    def head_of(self, symbols: int | None = None) -> tuple[Tensor, ...]:
        """All that has a row for each symbol that may follow, or for so many of the first ones: weights of the output
        layer, (V, H), or (V, E) where they are tied, its biases (V,), and the weights of n-grams, (V, D), if any."""
        weight = self.embedding if self.config.tie_weights else self.output_weight
        of_ngrams = (self.ngram_output_weight,) if self.config.ngram_embedding_size else ()
        rows = weight, self.output_bias, *of_ngrams
        # subtle: a slice of all is no slice, for going back it would be copied
        return rows if symbols is None else tuple(part[:symbols] for part in rows)

    def _logits(self, y: Tensor, ngrams: Tensor | None, symbols: int | None = None) -> Tensor:
        """y: (T, B, H), vectors of n-grams (B, T, D) if any -> (T, B, V), or of so many of the first symbols alone."""
        if "projection" in self._parameters:
            y = F.linear(y, self.projection)
        weight, bias, *of_ngrams = self.head_of(symbols)
        if ngrams is not None:
            # subtle: one product, for with many symbols logits are what takes most memory
            y = torch.cat([y, ngrams.transpose(0, 1).to(y.dtype)], dim=2)
            weight = torch.cat([weight, *of_ngrams], dim=1)
        # under autocast the product is in bfloat16 as well: twice as fast, and the mean loss stays within 2e-4 nats
        return F.linear(y, weight, bias).to(bias.dtype)

    def initial_state(self, B: int) -> State:
        """The state of B lanes before any text: zeros."""
        state = self.layers.initial_state(B)
        if self.config.attention_window:
            state = (*state, empty_memory(B, self.config.attention_window, self.attention_query))
        if self.config.ngram_embedding_size:
            state = (*state, nothing_read(B, self.config.ngram_order, self.ngram_embedding))
        return state

    @property
    def goes_in_one(self) -> bool:
        """Whether a kernel can compute all of a window together."""
        return goes_in_one(self.config)

    def count_parameters(self, *, ngrams: bool = True) -> int:
        """How many numbers are learnt, with those of the table of n-grams or without; a tied matrix counts once."""
        return sum(p.numel() for name, p in self.named_parameters() if ngrams or name != NGRAM_TABLE)

    def to_arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """All weights by name, copied, float32; a tied matrix once."""
        return {name: array_of(parameter) for name, parameter in self.named_parameters()}

    def load_arrays(self, arrays: Arrays) -> None:
        """Take over weights that `to_arrays` gave. All or nothing: after an error the model is as before.

        Raises:
            RunError: naming a tensor that is missing, one too many, misshapen, not of floats or not finite.
        """
        own = dict(self.named_parameters())
        new = tensors_of(arrays, own, WEIGHTS)
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(new[name])
