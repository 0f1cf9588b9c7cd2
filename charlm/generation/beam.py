"""Beam search: the likeliest text that a bounded search finds, in place of a drawn one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.config import SamplingConfig
from charlm.errors import ConfigError
from charlm.generation.pieces import Ending, Engine, Piece
from charlm.generation.sampler import widened
from charlm.generation.text import Growth, Rules, cut_prompt
from charlm.generation.transforms import TRANSFORMS
from charlm.runtime import select
from charlm.tokenizers import Tokenizer

# Every text under way is kept until the end, so its length is bounded, unlike that of a drawn one.
LONGEST = 100_000


class Text(NamedTuple):
    """A text under way, or finished where `reason` is set. Its characters hang together backwards, so that
    texts share what they have in common."""

    growth: Growth = Growth()
    earlier: Text | None = None
    last: str = ""
    tokens: int = 0
    nats: float = 0.0
    reason: str | None = None

    @property
    def nats_per_character(self) -> float:
        """What finished texts are ranked by: a sum would favour those that a stop string ends early."""
        return self.nats / max(1, self.growth.characters)

    def written(self) -> str:
        """The characters so far."""
        parts, text = [], self
        while text.earlier is not None:
            parts.append(text.last)
            text = text.earlier
        return "".join(reversed(parts))

    def extended(self, piece: bytes, nats: float, rules: Rules) -> Text:
        """This text and one id more."""
        last, growth, reason = rules.grow(self.growth, piece)
        return Text(growth, self, last, self.tokens + 1, nats, reason)


def beam_search(
    model: Engine, tokenizer: Tokenizer, sampling: SamplingConfig, rules: Rules, prompt: npt.NDArray[Any]
) -> Iterator[Piece]:
    """The `sampling.samples` best texts that a beam of `sampling.beam` finds, best first; fewer where there are
    no more (a vocabulary of 2 has two texts of length 1).

    At each step the beam holds the texts with the fewest nats, ties to the better parent and the lower id;
    one place is kept for the greedy text, so the result is never worse than that. Nothing is drawn:
    temperature and seed play no part.

    Raises:
        ConfigError: a filter, `greedy`, more samples than the beam is wide, or a length above `LONGEST`.
    """
    _check(sampling)
    return _pieces(model, tokenizer, sampling, rules, prompt)


def _check(sampling: SamplingConfig) -> None:
    unset = SamplingConfig()
    for name in ("greedy", *(name for name, transform in TRANSFORMS.items() if not transform.fits_beam)):
        if getattr(sampling, name) != getattr(unset, name):
            raise ConfigError(f"{name} and beam exclude each other: a beam follows the model's own probabilities")
    if sampling.beam is not None and sampling.samples > sampling.beam:
        raise ConfigError(f"samples must be at most beam ({sampling.beam}), was {sampling.samples}")
    if sampling.length > LONGEST:
        raise ConfigError(f"length must be at most {LONGEST} with beam, was {sampling.length}")


def _pieces(
    model: Engine, tokenizer: Tokenizer, sampling: SamplingConfig, rules: Rules, prompt: npt.NDArray[Any]
) -> Iterator[Piece]:
    shown, given = cut_prompt(sampling.prompt) if rules.length else (sampling.prompt, b"")
    for sample, (written, text) in enumerate(_search(model, tokenizer, sampling, rules, prompt, Growth(given=given))):
        if shown:
            yield Piece(sample=sample, text=shown, is_prompt=True)
        ending = Ending(
            reason=text.reason or "length", characters=text.growth.characters, tokens=text.tokens, nats=text.nats
        )
        yield Piece(sample=sample, text=written, ending=ending)


def _search(
    model: Engine,
    tokenizer: Tokenizer,
    sampling: SamplingConfig,
    rules: Rules,
    prompt: npt.NDArray[Any],
    begun: Growth,
) -> list[tuple[str, Text]]:
    wanted, width = sampling.samples, sampling.beam or 1
    if rules.length == 0:
        return [("", Text())]
    finished: list[tuple[str, Text]] = []
    live, greedy = [Text(begun)], True  # while `greedy`, live[0] is the greedy text
    logits, state = model.prime(prompt)
    while live:
        after: list[Text] = []
        parents: list[int] = []
        ids: list[int] = []
        was_greedy, greedy = greedy, False
        for rank, (parent, chosen, nats) in enumerate(_continuations(live, logits, 2 * width, was_greedy)):
            text = live[parent].extended(tokenizer.piece_bytes(chosen), nats, rules)
            if text.reason is not None:
                finished.append((text.written(), text))
            elif len(after) < width:
                greedy = greedy or (was_greedy and rank == 0)
                after.append(text)
                parents.append(parent)
                ids.append(chosen)
        finished = _ranked(finished, width)
        live = after
        if not live or _settled(finished, live, wanted, rules.length):
            break
        logits, state = model.step(np.array(ids), select(state, parents))
    return finished[:wanted]


def _continuations(
    live: list[Text], logits: npt.NDArray[np.float32], most: int, greedy: bool
) -> Iterator[tuple[int, int, float]]:
    """The best (parent, id, nats of both), best first; before them that of the greedy text, if it is live."""
    own, best = widened(logits)  # (N, V), (N, 1)
    V = own.shape[1]
    own -= best
    nats = np.log(np.exp(own).sum(axis=1, keepdims=True)) - own + np.array([[text.nats] for text in live])
    flat = nats.reshape(-1)
    if most < len(flat):
        chosen = np.flatnonzero(flat <= np.partition(flat, most - 1)[most - 1])
    else:
        chosen = np.arange(len(flat))
    # subtle: a stable sort leaves ties in the order of parents and ids
    order = chosen[np.argsort(flat[chosen], kind="stable")][:most].tolist()
    if greedy:
        first = int(np.argmin(nats[0]))
        order = [first, *(index for index in order if index != first)]
    for index in order:
        yield index // V, index % V, float(flat[index])


def _ranked(finished: list[tuple[str, Text]], width: int) -> list[tuple[str, Text]]:
    """The best, each text once: subwords and bytes can spell one text in several ways."""
    best: dict[str, Text] = {}
    for written, text in sorted(finished, key=lambda pair: pair[1].nats_per_character):
        best.setdefault(written, text)
    return list(best.items())[:width]


def _settled(finished: list[tuple[str, Text]], live: list[Text], wanted: int, length: int) -> bool:
    """Whether no live text can enter the best any more, were all its further symbols certain."""
    if len(finished) < wanted:
        return False
    return min(text.nats for text in live) / length >= finished[wanted - 1][1].nats_per_character
