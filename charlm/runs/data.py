"""From a corpus to ids on disk: read, learn the tokenizer, encode once; and the same again for a run made earlier."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlm.config import CorpusConfig, TokenizerConfig
from charlm.config.folders import cache_folder
from charlm.errors import ConfigError, CorpusError
from charlm.runs.find import run_argument
from charlm.runs.run import Run

if TYPE_CHECKING:
    from charlm.corpora import Corpus, CorpusFacts, Progress
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
    whole: bool = False,
    progress: Progress | None = None,
    fetch: bool = False,
) -> Data:
    """Open the corpus and encode it; the ids are kept, so the same text and tokenizer are encoded once.

    Args:
        corpus: which texts.
        tokenizer: settings to learn one from the training part, or one that is there already.
        unknown: what to do with characters outside its vocabulary; None for what it does by itself.
        whole: encode it from end to end: there are no parts, and no piece of a sub-word tokenizer ends where one would.
        progress: told of what takes long.
        fetch: download a named corpus that is not here.

    Raises:
        CorpusError: the text cannot be found, read or split.
        TokenizerError: the tokenizer cannot represent it.
        ConfigError: `--bytes` with a tokenizer that needs characters.
        OutputError: the ids cannot be written.
    """
    from charlm.corpora import open_corpus

    refuse_bytes(corpus, tokenizer)
    return _encode(open_corpus(corpus, progress=progress, fetch=fetch), tokenizer, progress, unknown, whole=whole)


def refuse_read_once(corpus: CorpusConfig, reader: str) -> None:
    """Raises `ConfigError` where a text can be read only once: standard input, or a pipe; `reader` reads it again."""
    for name in corpus.corpus:
        if _is_read_once(name):
            what = "standard input" if name == "-" else repr(name)
            raise ConfigError(f"{reader} reads its text more than once: save {what} to a file first")


def _is_read_once(name: str) -> bool:
    """Whether it is standard input, or what is there but neither a file nor a folder, such as a pipe."""
    return name == "-" or (os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name))


def refuse_bytes(corpus: CorpusConfig, tokenizer: TokenizerConfig | Tokenizer) -> None:
    """Raises `ConfigError` where a text is to be read as bytes and `tokenizer` needs characters."""
    name = tokenizer.tokenizer if isinstance(tokenizer, TokenizerConfig) else tokenizer.name
    if corpus.bytes and name != "byte":
        remedy = "add --tokenizer byte" if isinstance(tokenizer, TokenizerConfig) else "take a run that was trained so"
        raise ConfigError(f"bytes needs the tokenizer byte, was {name}: {remedy}, or try --encoding")


def _encode(
    text: Corpus,
    tokenizer: TokenizerConfig | Tokenizer,
    progress: Progress | None,
    unknown: str | None = None,
    *,
    whole: bool = False,
) -> Data:
    from charlm.streams import open_store, write_store
    from charlm.streams.replacement import remove_leftovers
    from charlm.tokenizers import train_tokenizer

    facts, notices = _facts(text.measure()), text.notices
    if isinstance(tokenizer, TokenizerConfig):
        # a text too short for a training part still has a vocabulary
        learn_from = "train" if _length(facts, "train") else "all"
        asked, tokenizer = tokenizer, train_tokenizer(tokenizer, text.chunks(learn_from))
        if asked.min_count is None and tokenizer.min_count > 1:
            notices = (
                *notices,
                f"min count {tokenizer.min_count:,}: rarer characters are written as bytes, which costs less than ids"
                " would; --min-count decides otherwise",
            )
    bounds = {"all": (0, facts["characters"])} if whole else facts["parts"]
    key = store_key({**facts, "parts": bounds}, tokenizer.fingerprint, unknown)
    store = open_store(_stores(), key)
    if store is None:
        with _told(progress, text.name, facts["characters"]) as advance:
            again = _ReadAgain(text, facts, advance)
            parts = {
                part: tokenizer.encode_chunks(again.chunks(part, end), unknown, start)
                for part, (start, end) in bounds.items()
            }
            store = write_store(_stores(), key, vocab_size=tokenizer.vocab_size, parts=parts, facts=facts)
    else:
        remove_leftovers(_stores())  # of a process that was killed while another wrote the same
    return Data(corpus_name=text.name, facts=facts, tokenizer=tokenizer, store=store, notices=notices)


class _ReadAgain:
    """A text read a second time, part by part in order: it has to be what was measured, whose digest its ids bear.

    Args:
        advance: told the characters of each chunk when the next one is asked for.
    """

    def __init__(self, text: Corpus, facts: Mapping[str, Any], advance: Callable[[int], None]) -> None:
        self._text, self._facts, self._advance = text, facts, advance
        self._digest = hashlib.sha256()

    def chunks(self, part: str, end: int) -> Iterator[str]:
        """Those of a part that ends at so many characters. Raises `CorpusError` at the end of another text."""
        for chunk in self._text.chunks(part):
            self._digest.update(chunk.encode("utf-8", "surrogateescape"))
            yield chunk
            self._advance(len(chunk))
        if end == self._facts["characters"] and self._digest.hexdigest() != self._facts["sha256"]:
            raise CorpusError(f"the text of {self._text.name} was changed while charlm was reading it: start again")


@contextmanager
def _told(progress: Progress | None, corpus: str, characters: int) -> Iterator[Callable[[int], None]]:
    """Tell `progress` of the encoding; yields what to call with the characters done."""
    from charlm.corpora import NoProgress

    report = progress or NoProgress()
    report.start(f"encoding {corpus}", characters)
    try:
        yield report.advance
    finally:
        report.finish()


def open_run_data(run: Run, *, progress: Progress | None = None, accept_change: bool = False) -> Data:
    """The text that `run` was made with, encoded with its own tokenizer.

    Where the text is gone (standard input, a file removed, a corpus not fetched), the ids kept from the
    first time are used, and a notice says so.

    Args:
        run: its facts hold, under ``corpus``, the `Data.facts` it was made with.
        accept_change: take the text as it is now although it is another; a notice says how it differs.

    Raises:
        CorpusError: the text is not the one that the run was made with, or is gone with its ids.
    """
    from charlm.corpora import open_corpus

    config = run.config.corpus
    try:
        for name in filter(_is_read_once, config.corpus):
            source = "standard input" if name == "-" else repr(name)
            raise CorpusError(f"the text came from {source}, which is not read again")
        text = open_corpus(config, progress=progress)
        facts = _facts(text.measure())
    except CorpusError as error:
        if not any(_is_read_once(name) or not os.path.lexists(name) for name in config.corpus):
            raise
        kept = _kept(run, str(error))
        if kept is None:
            raise CorpusError(
                f"the text of run {run.name} is not here, nor are its ids: {error}; put it where it was, or measure "
                f"another with charlm eval TEXT --run {run_argument(run.folder)}"
            ) from error
        return kept
    change = text_change(run.facts.get("corpus", {}), facts)
    if change is None:
        return _encode(text, run.tokenizer, progress)
    changed = f"the corpus {text.name} has changed since run {run.name} was made: {change}"
    if not accept_change:
        named = run_argument(run.folder)
        raise CorpusError(
            f"{changed}; start a new run with it, go on with charlm train --resume --run {named} --accept-change, "
            f"or measure it with charlm eval TEXT --run {named}"
        )
    data = _encode(text, run.tokenizer, progress)
    return dataclasses.replace(data, notices=(*data.notices, f"{changed}; from here on it is the run's text"))


def _kept(run: Run, cause: str) -> Data | None:
    """The ids kept from the first time, where the text itself is gone."""
    from charlm.streams import open_store

    before = run.facts.get("corpus", {})
    store = open_store(_stores(), store_key(before, run.fingerprint))
    if store is None:
        return None
    return Data(
        corpus_name=str(run.facts.get("corpus_name", run.name)),
        facts=store.facts,
        tokenizer=run.tokenizer,
        store=store,
        notices=(f"{cause}; the ids kept from the first time are used",),
    )


def text_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """How a text differs from what it was, in words; None where it is the same."""
    changed = [name for name in DECISIVE if before.get(name) != now[name]]
    if not changed:
        return None
    if "sha256" not in changed:
        return f"was split {before.get('split')}, is split {now['split']}"
    same = ", not the same ones" if before.get("characters") == now["characters"] else ""
    return f"had {before.get('characters', 0):,} characters, has {now['characters']:,}{same}"


def store_key(facts: Mapping[str, Any], fingerprint: str, unknown: str | None = None) -> str:
    """The name under which the ids of this text, split and tokenizer are kept."""
    decisive = {name: facts.get(name) for name in DECISIVE}
    if unknown is not None:
        decisive["unknown"] = unknown
    return hashlib.sha256(json.dumps([decisive, fingerprint], sort_keys=True).encode()).hexdigest()[:40]


def _facts(measured: CorpusFacts) -> dict[str, Any]:
    """`CorpusFacts` as the JSON values that a run stores: lists for tuples."""
    facts: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(measured)))
    return facts


def _length(facts: Mapping[str, Any], part: str) -> int:
    first, end = facts["parts"].get(part, (0, 0))
    return int(end) - int(first)


def _stores() -> Path:
    return cache_folder() / STORES
