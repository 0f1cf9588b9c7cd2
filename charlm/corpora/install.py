"""Get a named corpus: make its text, verify it, put it in place.

The text lies in `<text folder>/<key>/`: `text.txt`, the documents of train, validation and test one after
the other, and `documents.json`, which says where each of them lies. The key names the recipe's content, so
that a folder is either complete and of this recipe, or not there: it is renamed into place when all is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.config.parts import PARTS
from charlm.corpora.fetch import Downloads
from charlm.corpora.folders import text_folder
from charlm.corpora.making import Made, make_text
from charlm.corpora.progress import NoProgress, Progress
from charlm.corpora.reading import BLOCK
from charlm.corpora.recipe import Recipe, load_recipe
from charlm.corpora.workplace import alone, clear_up, workplace
from charlm.errors import CorpusError, OutputError

TEXT_FILE = "text.txt"
DOCUMENTS_FILE = "documents.json"
# Parsed JSON takes up to thirty times its text; this is enough for ten thousand documents.
LARGEST_RECORD = 2 << 20


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Where a document lies in `text.txt`."""

    name: str
    part: str | None
    characters: int
    start: int  # bytes
    end: int


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A fetched text: its file, its documents in order, and its SHA-256."""

    path: Path
    pieces: tuple[Piece, ...]
    sha256: str


def is_fetched(recipe: Recipe) -> bool:
    """Whether the text that this recipe describes is here."""
    return find_installed(recipe) is not None


def find_installed(recipe: Recipe) -> Installed | None:
    """The text of a recipe, None when it is not here, not whole, or of another version of the recipe."""
    folder = text_folder(recipe.path) / recipe.key
    try:
        with open(folder / DOCUMENTS_FILE, "rb") as file:
            content = file.read(LARGEST_RECORD + 1)
        if len(content) > LARGEST_RECORD:
            return None
        record = json.loads(content)
        pieces = tuple(Piece(**piece) for piece in record["documents"])
        installed = Installed(path=folder / TEXT_FILE, pieces=pieces, sha256=record["sha256"])
        size = installed.path.stat().st_size
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return installed if _are_whole(pieces, record.get("characters"), size) else None


def _are_whole(pieces: tuple[Piece, ...], characters: Any, size: int) -> bool:
    """Whether the pieces are those of a text of so many characters and bytes, one after the other."""
    at = count = 0
    for piece in pieces:
        numbers = (piece.characters, piece.start, piece.end)
        if not all(type(number) is int for number in numbers) or not isinstance(piece.name, str):
            return False
        if piece.start != at or piece.end < at or piece.characters < 0 or piece.part not in (None, *PARTS):
            return False
        at, count = piece.end, count + piece.characters
    return bool(pieces) and at == size and count == characters


def is_sound(installed: Installed) -> bool:
    """Whether the text, read through, is the one that was fetched."""
    try:
        return _sha256(installed.path) == installed.sha256
    except OSError:
        return False


def get_corpus(
    name: str,
    *,
    progress: Progress | None = None,
    index_url: str | None = None,
    allow_loopback_http: bool = False,
) -> Path:
    """Make sure that a named corpus is here and sound; fetch it where it is not. Returns its text file.

    Whatever goes wrong, nothing is installed and what was there before stays.

    Args:
        index_url, allow_loopback_http: see `Downloads`.

    Raises:
        CorpusError: no such corpus; its recipe is not valid; a source cannot be fetched or is not what the
            recipe pins; the resulting text is not what the recipe pins.
        OutputError: the text cannot be written.
    """
    recipe = load_recipe(name)
    progress = progress or NoProgress()
    folder = text_folder(recipe.path)
    installed = find_installed(recipe)
    if installed is None or not is_sound(installed):
        try:
            with workplace(folder) as temporary:
                with Downloads(index_url=index_url, allow_loopback_http=allow_loopback_http) as downloads:
                    texts = make_text(recipe, downloads, temporary, progress)
                _write(recipe, texts, temporary)
                _put_in_place(recipe, temporary, folder / recipe.key)
        except OSError as error:
            raise OutputError(f"cannot write {str(folder)!r}: {error.strerror}; nothing was installed") from None
    # also where another process, or one that was killed, has installed it
    clear_up(folder, recipe.key)
    return folder / recipe.key / TEXT_FILE


def _write(recipe: Recipe, texts: list[Made], folder: Path) -> None:
    pieces, at, characters = [], 0, 0
    digest = hashlib.sha256()
    with open(folder / TEXT_FILE, "xb") as file:
        for name, part, text in texts:
            content = text.encode()
            pieces.append({"name": name, "part": part, "characters": len(text), "start": at, "end": at + len(content)})
            at += len(content)
            characters += len(text)
            digest.update(content)
            file.write(content)
        _flush(file)
    _check_pins(recipe, digest.hexdigest(), characters)
    record: dict[str, Any] = {
        "format": 1,
        "corpus": recipe.name,
        "characters": characters,
        "bytes": at,
        "sha256": digest.hexdigest(),
        "documents": pieces,
    }
    content = json.dumps(record, indent=1).encode() + b"\n"
    if len(content) > LARGEST_RECORD:
        raise CorpusError(
            f"{str(recipe.path)!r}: {len(pieces):,} documents are more than a corpus can have; nothing was installed"
        )
    with open(folder / DOCUMENTS_FILE, "xb") as file:
        file.write(content)
        _flush(file)


def _check_pins(recipe: Recipe, sha256: str, characters: int) -> None:
    if not characters:
        raise CorpusError(f"{str(recipe.path)!r}: the sources hold no text; nothing was installed")
    pinned = (recipe.text_sha256 or sha256, recipe.text_characters or characters)
    if pinned != (sha256, characters):
        raise CorpusError(
            f"{str(recipe.path)!r} [text]: the text made of the sources has {characters} characters and sha256"
            f" {sha256}, the recipe pins {pinned[1]} and {pinned[0]}; nothing was installed"
        )


def _put_in_place(recipe: Recipe, temporary: Path, target: Path) -> None:
    _flush_folder(temporary)
    with alone(target.parent):
        if target.exists():
            installed = find_installed(recipe)
            if installed is not None and is_sound(installed):  # another charlm was faster
                return
            shutil.rmtree(target)
        os.rename(temporary, target)
        try:
            _flush_folder(target.parent)
        except OSError:
            os.rename(target, temporary)
            raise


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
