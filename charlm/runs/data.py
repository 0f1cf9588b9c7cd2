"""From a corpus to ids on disk: read, learn the tokenizer, encode once; and the same again for a run made earlier."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from charlm.config import CorpusConfig, TokenizerConfig
from charlm.errors import ConfigError, CorpusError
from charlm.runs.run import Run

if TYPE_CHECKING:
    from charlm.corpora import Corpus, Progress
    from charlm.streams import TokenStore
    from charlm.tokenizers import Tokenizer

STORES = "tokens"
# What of a corpus decides which ids are trained on.
DECISIVE = ("sha256", "parts")


@dataclass(frozen=True, kw_only=True)
class Data:
    """A text, ready to train on or to score.

    Attributes:
        corpus_name: short and fit for a file name; names runs.
        facts: `CorpusFacts` as JSON values: characters, bytes, sha256, documents, parts, split.
        tokenizer: made the ids.
        store: the ids, part by part.
        notices: lines for the user.
    """

    corpus_name: str
    facts: dict[str, Any]
    tokenizer: Tokenizer
    store: TokenStore
    notices: tuple[str, ...] = ()


def prepare(
    corpus: CorpusConfig,
    tokenizer: TokenizerConfig | Tokenizer,
    *,
    unknown: str | None = None,
    progress: Progress | None = None,
    fetch: bool = False,
) -> Data:
    """Open the corpus and encode it; the ids are kept, so the same text and tokenizer are encoded once.

    Args:
        corpus: which texts.
        tokenizer: settings to learn one from the training part, or one that is there already.
        unknown: what to do with characters outside its vocabulary; None for what it does by itself.
        progress: told of what takes long.
        fetch: download a named corpus that is not here.

    Raises:
        CorpusError: the text cannot be found, read or split.
        TokenizerError: the tokenizer cannot represent it.
        ConfigError: `--bytes` with a tokenizer that needs characters.
        OutputError: the ids cannot be written.
    """
    from charlm.corpora import open_corpus

    name = tokenizer.tokenizer if isinstance(tokenizer, TokenizerConfig) else tokenizer.name
    if corpus.bytes and name != "byte":
        raise ConfigError(f"bytes needs the tokenizer byte, was {name}: add --tokenizer byte")
    return _encode(open_corpus(corpus, progress=progress, fetch=fetch), tokenizer, progress, unknown)


def _encode(
    text: Corpus, tokenizer: TokenizerConfig | Tokenizer, progress: Progress | None, unknown: str | None = None
) -> Data:
    from charlm.streams import open_store, write_store
    from charlm.tokenizers import train_tokenizer

    measured = text.measure()
    facts = _facts(measured)
    if isinstance(tokenizer, TokenizerConfig):
        # a text too short for a training part still has a vocabulary
        learn_from = "train" if _length(facts, "train") else "all"
        tokenizer = train_tokenizer(tokenizer, text.chunks(learn_from))
    key = store_key(facts, tokenizer.fingerprint, unknown)
    store = open_store(_stores(), key)
    if store is None:
        learnt, report = tokenizer, progress or _Silence()
        report.start("encoding", facts["characters"])

        def ids(part: str) -> Iterator[npt.NDArray[Any]]:
            for chunk in text.chunks(part):
                yield learnt.encode(chunk, unknown)
                report.advance(len(chunk))

        parts = {part: ids(part) for part in facts["parts"]}
        store = write_store(_stores(), key, vocab_size=tokenizer.vocab_size, parts=parts, facts=facts)
        report.finish()
    return Data(corpus_name=text.name, facts=facts, tokenizer=tokenizer, store=store)


def open_run_data(
    run: Run, *, progress: Progress | None = None, fetch: bool = False, accept_change: bool = False
) -> Data:
    """The text that `run` was made with, encoded with its own tokenizer.

    Where the text cannot be read any more (standard input; a file that is gone), the ids kept from the
    first time are used, and a notice says so.

    Args:
        run: its facts hold, under ``corpus``, the `Data.facts` it was made with.
        accept_change: take the text as it is now although it is another.

    Raises:
        CorpusError: the text is not the one that the run was made with, or is gone with its ids.
    """
    from charlm.corpora import open_corpus
    from charlm.streams import open_store

    before = run.facts.get("corpus", {})
    try:
        if run.config.corpus.corpus == ("-",):
            raise CorpusError("the text came from standard input, which is not read again")
        text = open_corpus(run.config.corpus, progress=progress, fetch=fetch)
        facts = _facts(text.measure())
    except CorpusError as error:
        store = open_store(_stores(), store_key(before, run.fingerprint))
        if store is None:
            raise
        notice = f"{error}; the ids kept from the first time are used"
        name = str(run.facts.get("corpus_name", run.name))
        return Data(corpus_name=name, facts=dict(before), tokenizer=run.tokenizer, store=store, notices=(notice,))
    if not accept_change:
        _refuse_change(before, facts, text.name, run.name)
    return _encode(text, run.tokenizer, progress)


def _refuse_change(before: Mapping[str, Any], now: Mapping[str, Any], corpus: str, run: str) -> None:
    changed = [name for name in DECISIVE if before.get(name) != now[name]]
    if not changed:
        return
    if "sha256" in changed:
        what = f"had {before.get('characters', 0):,} characters, has {now['characters']:,}"
        what += ", not the same ones" if before.get("characters") == now["characters"] else ""
    else:
        what = f"was split {before.get('split')}, is split {now['split']}"
    raise CorpusError(f"the corpus {corpus} has changed since run {run} was made: {what}; start a new run with it")


def store_key(facts: Mapping[str, Any], fingerprint: str, unknown: str | None = None) -> str:
    """The name under which the ids of this text, split and tokenizer are kept."""
    decisive = {name: facts.get(name) for name in DECISIVE}
    if unknown is not None:
        decisive["unknown"] = unknown
    return hashlib.sha256(json.dumps([decisive, fingerprint], sort_keys=True).encode()).hexdigest()[:40]


def _facts(measured: Any) -> dict[str, Any]:
    """`CorpusFacts` as the JSON values that a run stores: lists for tuples."""
    facts: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(measured)))
    return facts


def _length(facts: Mapping[str, Any], part: str) -> int:
    first, end = facts["parts"].get(part, (0, 0))
    return int(end) - int(first)


def _stores() -> Path:
    from charlm.corpora import cache_folder

    return cache_folder() / STORES


class _Silence:
    """A progress that tells nobody."""

    def start(self, what: str, total: int | None) -> None:
        """Something begins."""

    def advance(self, n: int) -> None:
        """It goes on."""

    def finish(self) -> None:
        """It is over."""
