"""What a user names (named corpora, files, folders, standard input) as one ordered list of documents."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from charlm.config import CorpusConfig
from charlm.corpora.files import Opened, find_files, name_order, open_path, spool
from charlm.corpora.folders import recipe_paths
from charlm.corpora.install import Installed, Piece, find_installed, get_corpus
from charlm.corpora.progress import Progress
from charlm.corpora.reading import Document, Form, check_encoding, recognise
from charlm.corpora.recipe import Recipe, load_recipe
from charlm.errors import CorpusError
from charlm.registry import suggestion
from charlm.timing import paused

STDIN = "-"


@dataclass(kw_only=True)
class Sources:
    """The documents of a corpus and what is to be told about them.

    Attributes:
        recipes: the named corpora among the sources, with their fetched texts.
        notices: what the user should know, one line each.
    """

    documents: list[Document] = field(default_factory=list)
    recipes: list[tuple[Recipe, Installed]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    only_recipes: bool = True


def gather(config: CorpusConfig, *, progress: Progress | None, fetch: bool, stdin: BinaryIO | None) -> Sources:
    """Find and open everything that `config.corpus` names.

    Named corpora come first, in the order given; then all files, those of folders too, in name order;
    then standard input. A file that is named twice counts once.

    Raises:
        CorpusError: a name that is neither corpus nor file, a corpus that is not here, a file that
            cannot be read or is no text.
        ConfigError: an encoding that Python does not know.
    """
    if config.encoding is not None:
        check_encoding(config.encoding)
    known = recipe_paths()
    sources = Sources()
    names = list(dict.fromkeys(config.corpus))
    for name in names:
        if name in known:
            _add_recipe(sources, name, config, progress, fetch)
    paths = named_paths(config, sources.notices)
    if config.include and not any(name not in known and os.path.isdir(name) for name in names):
        sources.notices.append("include has no effect: no folder is named")
    for path in sorted(_without_repeats(paths, sources.notices), key=name_order):
        _add_file(sources, open_path(path), config)
    if STDIN in names:
        stream = stdin if stdin is not None else _standard_input()
        _add_file(sources, Opened(name="standard input", open=spool("standard input", stream)), config)
    if not names:
        raise CorpusError(f"no corpus named: choose {', '.join(known)}, a file, a folder or - for standard input")
    return sources


def named_paths(config: CorpusConfig, notices: list[str]) -> list[str]:
    """The files that `config.corpus` names, those in its folders too, in the order given.

    Args:
        notices: gets a line about what was left out of a folder.

    Raises:
        CorpusError: a name that is neither corpus nor file, or that may not be looked at.
    """
    known = recipe_paths()
    names = [name for name in dict.fromkeys(config.corpus) if name not in known and name != STDIN]
    return [path for name in names for path in _paths(name, config, known, notices)]


def short_name(config: CorpusConfig) -> str:
    """A short name for the corpus that is safe in file names: ``shakespeare``, ``input``, ``stdin``, ``a+b``."""
    names = []
    for source in dict.fromkeys(config.corpus):
        name = os.path.basename(os.path.abspath(source)) if source != STDIN else "stdin"
        if os.path.isfile(source):
            name = os.path.splitext(name.removesuffix(".gz"))[0]
        names.append(re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-_")[:30] or "text")
    shown = names if len(names) <= 2 else [names[0], f"{len(names) - 1}-more"]
    return "+".join(shown)


def _add_recipe(sources: Sources, name: str, config: CorpusConfig, progress: Progress | None, fetch: bool) -> None:
    recipe = load_recipe(name)
    installed = find_installed(recipe)
    if installed is None and fetch:
        with paused():  # it takes what the network does, and once
            get_corpus(name, progress=progress)
        installed = find_installed(recipe)
    if installed is None:
        raise CorpusError(f"the text of corpus {name!r} is not here: get it with: charlm corpora get {name}")
    if os.path.exists(name):
        sources.notices.append(
            f"{name!r} is the named corpus; for the file or folder write {os.path.join('.', name)!r}"
        )
    opened = open_path(str(installed.path))
    form = Form(as_bytes=config.bytes, unix_newlines=config.newlines == "unix")
    for piece in installed.pieces:
        sources.documents.append(
            Document(name=piece.name, open=_Slice(opened, piece), form=form, part=piece.part or None)
        )
    sources.recipes.append((recipe, installed))


class _Slice:
    """Opens one document within the text of a named corpus."""

    def __init__(self, opened: Opened, piece: Piece) -> None:
        self._opened = opened
        self._piece = piece

    def __call__(self) -> BinaryIO:
        file = self._opened.open()
        file.seek(self._piece.start)
        return cast(BinaryIO, _Limited(file, self._piece.end - self._piece.start))


class _Limited:
    """The next `left` bytes of an open file."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file = file
        self._left = left

    def read(self, size: int) -> bytes:
        content = self._file.read(min(size, self._left))
        self._left -= len(content)
        return content

    def __enter__(self) -> _Limited:
        return self

    def __exit__(self, *details: object) -> None:
        self._file.close()


def _add_file(sources: Sources, opened: Opened, config: CorpusConfig) -> None:
    form = Form(
        encoding="utf-8" if config.bytes else config.encoding or "utf-8",
        as_bytes=config.bytes,
        unix_newlines=config.newlines == "unix",
    )
    form, notice = recognise(opened.name, opened.open, form, explicit=config.encoding is not None)
    if notice:
        sources.notices.append(notice)
    sources.documents.append(Document(name=opened.name, open=opened.open, form=form))
    sources.only_recipes = False


def _paths(name: str, config: CorpusConfig, known: Iterable[str], notices: list[str]) -> list[str]:
    try:
        if os.path.isdir(name):
            return find_files(name, config.include, notices)
        os.lstat(name)
        return [name]
    except PermissionError as error:
        raise CorpusError(f"cannot read {name!r}: {error.strerror}") from None
    except (OSError, ValueError):  # not there, a name too long, a NUL in it
        pass
    raise CorpusError(
        f"no corpus or file {name!r}{suggestion(name, known)}; named corpora are {', '.join(known) or 'none'}"
    )


def _without_repeats(paths: list[str], notices: list[str]) -> list[str]:
    by_place: dict[str, str] = {}
    for path in paths:
        first = by_place.setdefault(os.path.realpath(path), path)
        if first is not path:
            notices.append(f"{path!r} is there twice and counts once")
    return list(by_place.values())


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise CorpusError("standard input is closed")
    return sys.stdin.buffer
