"""A corpus opened: measured in one pass, read in pieces, split in parts."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from charlm.config import CorpusConfig
from charlm.config.parts import PARTS
from charlm.corpora.install import is_sound
from charlm.corpora.progress import Progress
from charlm.corpora.reading import Document, read_text
from charlm.corpora.sources import Sources, gather, short_name
from charlm.corpora.splits import DEFAULT_SPLIT, parse_split
from charlm.errors import CorpusError
from charlm.registry import lookup

PIECE = 4 * 2**20  # most characters of a piece
KEPT = 64 * 2**20  # texts that take up to so many bytes are kept in memory


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """What one pass over a corpus finds.

    Attributes:
        characters: code points of the whole text.
        bytes: of the text as UTF-8.
        sha256: of the text as UTF-8 (bad bytes of ``--bytes`` as they were).
        documents: how many were joined, empty ones left out.
        parts: characters [start, end) of train, validation and, where there is one, test, in the joined text.
        split: in words: ``90/5/5, contiguous`` or ``by document: 32/3/3 plays``.
    """

    characters: int
    bytes: int
    sha256: str
    documents: int
    parts: dict[str, tuple[int, int]]
    split: str


class Corpus:
    """The texts that a `CorpusConfig` names, as one text.

    Attributes:
        name: short and safe in file names.
        sources: as the user gave them.
        encodings: of the documents, each once; none of those read as bytes.
        notices: what the user should be told, one line each.
    """

    def __init__(self, config: CorpusConfig, sources: Sources) -> None:
        self.name = short_name(config)
        self.sources = config.corpus
        forms = (document.form for document in sources.documents)
        self.encodings = tuple(dict.fromkeys(form.encoding for form in forms if not form.as_bytes))
        self.notices = tuple(sources.notices)
        self._config = config
        self._found = sources
        # a split given by the user is by position, in the order the documents come
        self._by_document = config.split is None and sources.only_recipes and _has_parts(sources.documents)
        self._documents = sources.documents
        if self._by_document:
            self._documents = sorted(sources.documents, key=lambda document: PARTS.index(document.part or "train"))
        if config.split is not None:
            parse_split(config.split)
        self._facts: CorpusFacts | None = None
        self._kept: list[str] | None = None

    def measure(self) -> CorpusFacts:
        """Read everything once; later calls return the same facts.

        Raises:
            CorpusError: the text is empty or white space only, or cannot be decoded.
        """
        if self._facts is None:
            self._facts = self._measure()
        return self._facts

    def chunks(self, part: str) -> Iterator[str]:
        """The text of `part` (train, validation, test, or all) in order, in pieces of at most `PIECE` characters.

        Pieces end after a newline where there is one. Joined they are the part, exactly. Can be read again
        and again.

        Raises:
            CorpusError: the corpus has no such part, or was changed since it was measured.
        """
        facts = self.measure()
        bounds = {"all": (0, facts.characters), **facts.parts}
        if part == "test" and part not in bounds:
            raise CorpusError(f"the split {facts.split} has no test part")
        start, end = lookup(bounds, part, "part")
        pieces = self._kept if self._kept is not None else (text for _, text in self.documents())
        yield from pieces_of(_between(pieces, start, end), PIECE)

    def documents(self, joined: bool = True) -> Iterator[tuple[Document, str]]:
        """The text, document by document in its final order, in pieces.

        Args:
            joined: with what stands between two documents, as part of the first.
        """
        boundary = self._config.boundary
        last: Document | None = None
        ended = True  # whether the text so far ends with a newline
        for document in self._documents:
            fresh = True
            for text in read_text(document):
                if fresh and last is not None:
                    joint = boundary if boundary is not None else "" if ended else "\n"
                    if joint and joined:
                        yield last, joint
                fresh = False
                ended = text.endswith("\n")
                yield document, text
            last = last if fresh else document

    def _measure(self) -> CorpusFacts:
        digest = hashlib.sha256()
        characters = size = held = 0
        blank = True
        by_part = dict.fromkeys(PARTS, 0)
        seen: dict[str, set[int]] = {part: set() for part in PARTS}
        kept: list[str] | None = []
        for document, text in self.documents():
            content = _utf8(document, text)
            digest.update(content)
            size += len(content)
            characters += len(text)
            by_part[document.part or "train"] += len(text)
            seen[document.part or "train"].add(id(document))
            blank = blank and text.isspace()
            # one character beyond U+FFFF makes four bytes of each that stands beside it
            held += sys.getsizeof(text)
            if kept is not None and held <= KEPT:
                kept.append(text)
            else:
                kept = None
        if blank:
            raise CorpusError(
                f"{' and '.join(map(repr, self.sources))} {'holds white space only' if characters else 'is empty'}"
            )
        parts, split = self._split(characters, by_part, [len(seen[part]) for part in PARTS])
        facts = CorpusFacts(
            characters=characters,
            bytes=size,
            sha256=digest.hexdigest(),
            documents=sum(map(len, seen.values())),
            parts=parts,
            split=split,
        )
        self._check_pin(facts)
        self._kept = kept
        return facts

    def _split(
        self, characters: int, by_part: dict[str, int], documents: list[int]
    ) -> tuple[dict[str, tuple[int, int]], str]:
        if self._by_document:
            first = by_part["train"]
            second = first + by_part["validation"]
            parts = {"train": (0, first), "validation": (first, second)}
            if documents[2]:
                parts["test"] = (second, characters)
            counts = documents if documents[2] else documents[:2]
            return parts, f"by document: {'/'.join(map(str, counts))} {self._unit()}"
        shares = self._config.split
        if shares is None and self._found.only_recipes and len(self._found.recipes) == 1:
            shares = self._found.recipes[0][0].split.shares
        split = parse_split(shares or DEFAULT_SPLIT)
        return split.bounds(characters), f"{split.text}, contiguous"

    def _unit(self) -> str:
        units = {recipe.split.unit for recipe, _ in self._found.recipes}
        return units.pop() if len(units) == 1 else "documents"

    def _check_pin(self, facts: CorpusFacts) -> None:
        """The fetched text of a named corpus must be the text that was fetched."""
        as_it_is = self._config.newlines == "keep" and self._config.boundary is None
        whole = self._found.only_recipes and len(self._found.recipes) == 1 and as_it_is
        for recipe, installed in self._found.recipes:
            # what was just read is that text itself, or else something made of it
            if not (facts.sha256 == installed.sha256 if whole else is_sound(installed)):
                raise CorpusError(
                    f"the text of corpus {recipe.name!r} is damaged: get it again: charlm corpora get {recipe.name}"
                )


def open_corpus(
    config: CorpusConfig,
    *,
    progress: Progress | None = None,
    fetch: bool = False,
    stdin: BinaryIO | None = None,
) -> Corpus:
    """Find and open the texts that `config` names. Pipes and standard input are read to their end here.

    Args:
        progress: told of downloads.
        fetch: download a named corpus that is not here; otherwise that is an error that says how.
        stdin: what ``-`` means, standard input by default.

    Raises:
        CorpusError: a name that is neither corpus nor file (with the nearest corpus), a text that cannot
            be read or fetched, or that is none.
        ConfigError: an unknown encoding, or a split that does not add up.
    """
    return Corpus(config, gather(config, progress=progress, fetch=fetch, stdin=stdin))


def pieces_of(texts: Iterable[str], size: int) -> Iterator[str]:
    """`texts` joined and cut anew into pieces of at most `size` characters, after a newline where one has any."""
    waiting: list[str] = []
    count = 0
    for text in texts:
        waiting.append(text)
        count += len(text)
        while count >= size:
            joined = "".join(waiting)
            cut = joined.rfind("\n", 0, size) + 1 or size
            yield joined[:cut]
            waiting = [joined[cut:]]
            count -= cut
    if count:
        yield "".join(waiting)


def _between(texts: Iterable[str], start: int, end: int) -> Iterator[str]:
    """Characters [start, end) of `texts` joined."""
    at = 0
    for text in texts:
        if at >= end:
            return
        if at + len(text) > start:
            yield text[max(start - at, 0) : end - at]
        at += len(text)
    if at < end:
        raise CorpusError("the text is shorter than when it was measured: it was changed meanwhile; start again")


def _utf8(document: Document, text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:  # some encodings can spell half a character
        raise CorpusError(
            f"{document.name!r}: U+{ord(text[error.start]):04X} is half a character; is {document.form.encoding}"
            " the right --encoding?"
        ) from None


def _has_parts(documents: list[Document]) -> bool:
    return bool(documents) and all(document.part for document in documents)
