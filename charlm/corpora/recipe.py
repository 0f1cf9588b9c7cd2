"""A named corpus: its `corpus.toml` read and checked into a `Recipe`. The format is described in corpora/README.md."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from charlm.config.settings import shown
from charlm.corpora.converters import CONVERTERS
from charlm.corpora.folders import recipe_paths
from charlm.corpora.splits import DEFAULT_SPLIT, parse_split
from charlm.corpora.table import Table, read_table
from charlm.errors import ConfigError, CorpusError
from charlm.registry import suggestion

DEFAULT_MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class Repair:
    """A flaw of a document's source, mended before it is converted: `pattern` must match exactly `count` times."""

    document: str
    pattern: str
    replacement: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file to fetch: of a release of a package, or at an address; and which of its members to take.

    `root` is the folder of the archive that member patterns start from. Document names are
    `<name>/<member>`, or `<name>` for a file that is no archive.
    """

    name: str
    package: str | None
    version: str | None
    filename: str
    url: str | None
    sha256: str
    licence: str | None
    root: str
    members: tuple[str, ...]
    exclude: tuple[str, ...]
    encoding: str
    max_bytes: int


@dataclass(frozen=True, kw_only=True)
class RecipeSplit:
    """By document (patterns of document names, the rest trains) or, without patterns, contiguous by `shares`."""

    shares: str
    validation: tuple[str, ...]
    test: tuple[str, ...]
    unit: str

    @property
    def by_document(self) -> bool:
        """Whether whole documents are assigned to parts."""
        return bool(self.validation or self.test)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that `corpus.toml` says."""

    name: str
    path: Path
    title: str
    description: str
    licence: str
    converter: str
    sources: tuple[Source, ...]
    repairs: tuple[Repair, ...]
    split: RecipeSplit
    text_sha256: str | None
    text_characters: int | None

    @property
    def key(self) -> str:
        """Names the text that this recipe makes: all that goes into it, and what it must come out as."""
        made_of = {
            "converter": self.converter,
            "sources": [asdict(source) for source in self.sources],
            "repairs": [asdict(repair) for repair in self.repairs],
            "split": asdict(self.split),
            "text": [self.text_sha256, self.text_characters],
        }
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]


def list_recipes(problems: list[str] | None = None) -> list[Recipe]:
    """All recipes that can be found, by name.

    Args:
        problems: takes a line for each recipe that is not valid, which is then left out.

    Raises:
        CorpusError: one of them is not valid, and there is no `problems` to say so.
    """
    recipes = []
    for path in recipe_paths().values():
        try:
            recipes.append(read_recipe(path))
        except CorpusError as error:
            if problems is None:
                raise
            problems.append(str(error))
    return recipes


def load_recipe(name: str) -> Recipe:
    """The recipe of a named corpus.

    Raises:
        CorpusError: there is none of that name, or it is not valid.
    """
    paths = recipe_paths()
    if name not in paths:
        raise CorpusError(f"no corpus {name!r}: choose {', '.join(paths) or '(none found)'}{suggestion(name, paths)}")
    return read_recipe(paths[name])


def read_recipe(path: Path) -> Recipe:
    """Read and check one `corpus.toml`; its folder names the corpus.

    Raises:
        CorpusError: naming the file and the key that is missing, unknown, of the wrong type or out of range.
    """
    table = read_table(path)
    name = path.parent.name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise CorpusError(f"{str(path)!r}: the folder's name must be of letters, digits, '.', '_' and '-'")
    text = table.table("text")
    recipe = Recipe(
        name=name,
        path=path,
        title=table.string("title"),
        description=table.string("description", ""),
        licence=table.string("licence"),
        converter=table.choice("converter", "plain", CONVERTERS),
        sources=tuple(_source(source) for source in table.tables("source", required=True)),
        repairs=tuple(_repair(repair) for repair in table.tables("repair")),
        split=_split(table.table("split")),
        text_sha256=text.sha256("sha256", required=False),
        text_characters=text.number("characters", None),
    )
    text.finish()
    table.finish()
    names = [source.name for source in recipe.sources]
    if len(set(names)) < len(names):
        raise CorpusError(f"{table.where}: two sources have the same name; give one a 'name'")
    return recipe


def _source(table: Table) -> Source:
    package, url = table.string("package", ""), table.string("url", "")
    if bool(package) == bool(url):
        raise table.error("package", "must be given, or 'url', but not both")
    filename = table.string("filename") if package else _file_of(url, table)
    source = Source(
        name=table.string("name", package or filename),
        package=package or None,
        version=table.string("version") if package else None,
        filename=filename,
        url=url or None,
        sha256=table.sha256("sha256") or "",
        licence=table.string("licence", "") or None,
        root=table.string("root", "").strip("/"),
        members=table.strings("members"),
        exclude=table.strings("exclude"),
        encoding=table.encoding("encoding", "utf-8"),
        max_bytes=table.number("max_bytes", DEFAULT_MAX_BYTES) or 0,
    )
    table.finish()
    return source


def _file_of(url: str, table: Table) -> str:
    """The name of the file at an address."""
    if not re.match(r"https?://[^/\s]", url):
        raise table.error("url", f"must start with https://, was {shown(url)}")
    try:
        address = urlsplit(url)
        whole = bool(address.hostname) and address.port != 0
    except ValueError:  # half of a pair of brackets, a port that is no number
        whole = False
    filename = address.path.rstrip("/").rpartition("/")[2] if whole else ""
    if not filename:
        raise table.error("url", f"must be the address of a file, was {shown(url)}")
    return filename


def _repair(table: Table) -> Repair:
    repair = Repair(
        document=table.string("document"),
        pattern=table.string("pattern"),
        replacement=table.string("replacement", ""),
        count=table.number("count", 1) or 0,
    )
    try:
        pattern = re.compile(repair.pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise table.error("pattern", f"is not a regular expression: {error}") from None
    try:
        pattern.sub(repair.replacement, "")
    except (re.error, IndexError) as error:
        raise table.error("replacement", f"does not fit its pattern: {error}") from None
    table.finish()
    return repair


def _split(table: Table) -> RecipeSplit:
    split = RecipeSplit(
        shares=table.string("shares", DEFAULT_SPLIT),
        validation=table.strings("validation"),
        test=table.strings("test"),
        unit=table.string("unit", "documents"),
    )
    if "shares" in table.values and split.by_document:
        raise table.error("shares", "cannot stand beside 'validation' or 'test'")
    try:
        parse_split(split.shares)
    except ConfigError as error:
        raise table.error("shares", f"cannot be used: {error}") from None
    table.finish()
    return split


def describe(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain values, for a listing in JSON."""
    return {**asdict(recipe), "path": str(recipe.path), "key": recipe.key}
