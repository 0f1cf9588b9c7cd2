"""From a recipe to its text: fetch the sources, take their members, mend, convert, order by part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from charlm.config.parts import PARTS
from charlm.corpora.archives import LARGEST_CONTENT, is_archive, read_members
from charlm.corpora.converters import CONVERTERS
from charlm.corpora.fetch import Downloads
from charlm.corpora.files import open_path
from charlm.corpora.patterns import matches
from charlm.corpora.progress import Progress
from charlm.corpora.reading import Document, Form, read_text
from charlm.corpora.recipe import Recipe, Source
from charlm.errors import CorpusError


class Made(NamedTuple):
    """One document of the text; `part` is None where the split is by position."""

    name: str
    part: str | None
    text: str


def make_text(recipe: Recipe, downloads: Downloads, temporary: Path, progress: Progress) -> list[Made]:
    """The documents of a recipe, each ended by a newline, those of train first, then validation, then test.

    Within a part they stand in the order of the sources, and within a source in name order.

    Raises:
        CorpusError: a source cannot be fetched or read, or the recipe does not fit what is in it.
    """
    contents: dict[str, str] = {}
    for source in recipe.sources:
        for name, content in _contents(recipe, source, downloads, temporary, progress).items():
            if name in contents:
                raise CorpusError(
                    f"{str(recipe.path)!r}: two sources have a document {name!r}: give one another 'name'"
                )
            contents[name] = content
    for repair in recipe.repairs:
        if repair.document not in contents:
            raise CorpusError(f"{str(recipe.path)!r} [repair]: no document {repair.document!r} in this corpus")
    parts = _assign_parts(recipe, contents)
    convert = CONVERTERS[recipe.converter]
    made = []
    progress.start(f"making the text of {recipe.name}", len(contents))
    try:
        for name, content in contents.items():
            text = convert(_mended(recipe, name, content))
            if text:
                made.append(Made(name, parts[name], text if text.endswith("\n") else text + "\n"))
            progress.advance(1)
    finally:
        progress.finish()
    return sorted(made, key=lambda document: PARTS.index(document.part or "train"))


def _contents(
    recipe: Recipe, source: Source, downloads: Downloads, temporary: Path, progress: Progress
) -> dict[str, str]:
    """The documents of a source, decoded, by name."""
    file = temporary / ("download.gz" if source.filename.endswith(".gz") else "download")
    downloads.fetch(source, file, progress)
    try:
        if not is_archive(source.filename):
            document = Document(name=source.name, open=open_path(str(file)).open, form=Form(encoding=source.encoding))
            return {source.name: _whole(source, read_text(document)).removeprefix("\ufeff")}
        if not source.members:
            raise CorpusError(f"{str(recipe.path)!r}: members of {source.filename!r} are missing")
        members = {f"{source.name}/{name}": content for name, content in read_members(file, source).items()}
        return {name: _decode(name, content, source.encoding) for name, content in members.items()}
    finally:
        file.unlink()


def _whole(source: Source, pieces: Iterable[str]) -> str:
    text: list[str] = []
    length = 0
    for piece in pieces:
        text.append(piece)
        length += len(piece)
        if length > LARGEST_CONTENT:
            raise CorpusError(f"{source.filename!r} is refused: it makes more than {LARGEST_CONTENT} characters")
    return "".join(text)


def _decode(name: str, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{name!r}: byte 0x{content[error.start]:02X} at offset {error.start} is not {encoding.upper()};"
            " the recipe's 'encoding' must say what it is"
        ) from None


def _mended(recipe: Recipe, name: str, text: str) -> str:
    for repair in recipe.repairs:
        if repair.document != name:
            continue
        text, count = re.subn(repair.pattern, repair.replacement, text, flags=re.MULTILINE)
        if count != repair.count:
            raise CorpusError(
                f"{str(recipe.path)!r} [repair]: {repair.pattern!r} matches {count} times, not {repair.count},"
                f" in {name!r}"
            )
    return text


def _assign_parts(recipe: Recipe, names: Mapping[str, str]) -> dict[str, str | None]:
    if not recipe.split.by_document:
        return dict.fromkeys(names)
    parts: dict[str, str | None] = dict.fromkeys(names, "train")
    for part, patterns in (("validation", recipe.split.validation), ("test", recipe.split.test)):
        for pattern in patterns:
            chosen = [name for name in names if matches(name, pattern)]
            if not chosen:
                raise CorpusError(f"{str(recipe.path)!r} [split]: {part} {pattern!r} matches no document")
            if any(parts[name] not in ("train", part) for name in chosen):
                raise CorpusError(f"{str(recipe.path)!r} [split]: {pattern!r} is in validation and in test")
            parts.update(dict.fromkeys(chosen, part))
    return parts
