"""Parsers of settings, recipes and texts, and of what is made of texts: seeds, and what must hold."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import specimen
from judging import Parser
from specimen import Specimen

from charlm.coding import compress
from charlm.coding.fields import FieldReader
from charlm.config import CorpusConfig, file_layer, resolve, to_toml
from charlm.corpora import find_installed, open_corpus, read_recipe
from charlm.corpora.archives import TAR_MODES, ZIP_ENDINGS, read_members
from charlm.corpora.recipe import Source
from charlm.errors import CorpusError
from charlm.streams import open_store
from charlm.streams import store as stores

Make = Callable[[Specimen, Path], Parser]


def _settings(one: Specimen, folder: Path) -> Parser:
    path = folder / "settings.toml"

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        config = resolve([file_layer(path)]).config
        path.write_text(to_toml(config), encoding="utf-8")
        assert resolve([file_layer(path)]).config == config

    mine = to_toml(one.opened().config).encode()
    return Parser(
        what="settings in TOML",
        seeds=[mine, b"layers = 3\n[model]\ncell = 'gru'\n[training]\nseed = 0x5\n"],
        parse=parse,
    )


def _recipe(one: Specimen, folder: Path) -> Parser:
    path = folder / "poem" / "corpus.toml"
    path.parent.mkdir()
    ours = sorted((Path(__file__).parents[2] / "corpora").glob("*/corpus.toml"))

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        recipe = read_recipe(path)
        assert len(recipe.key) == 16

    return Parser(what="corpus.toml, a recipe", seeds=[path.read_bytes() for path in ours], parse=parse)


def _documents(one: Specimen, folder: Path) -> Parser:
    from installed import CONFIG, install

    made = install(folder)
    (path,) = folder.rglob("documents.json")
    before = path.read_bytes()
    sound = made.read(CONFIG)

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        assert made.read(CONFIG) == sound
        assert find_installed(made.recipe)

    return Parser(what="documents.json of a fetched corpus", seeds=[before], parse=parse)


def _store(one: Specimen, folder: Path) -> Parser:
    (ids,) = one.cache.rglob("*.bin")
    side = ids.with_suffix(".json")
    whole = side.read_bytes()
    (folder / "k.bin").write_bytes(ids.read_bytes())

    def parse(content: bytes) -> None:
        (folder / "k.json").write_bytes(content)
        found = open_store(folder, "k")
        assert found is None or json.loads(content) == json.loads(whole)
        try:
            body = json.loads(content)
            body["checksum"] = stores._checksum({name: value for name, value in body.items() if name != "checksum"})
        except (ValueError, TypeError, AttributeError, RecursionError):
            return
        (folder / "k.json").write_text(json.dumps(body))
        found = open_store(folder, "k")
        if found is not None:
            assert sum(len(found.part(name)) for name in found.parts) >= 0
            assert isinstance(found.facts, dict)

    return Parser(what="side file of a token store", seeds=[whole], parse=parse)


# Symbols that a block of a few bytes may claim to hold: millions, as of a long text that is as expected, take minutes.
MOST_CLAIMED = 1 << 10


class _Trusting(FieldReader):
    """Takes every checksum for right."""

    def check(self) -> None:
        self.get(4)


def _compressed(one: Specimen, folder: Path) -> Parser:
    coder = one.coder()
    whole = []
    for content in (b"", specimen.text(60).encode(), b"\xff\0" * 9):
        packed = io.BytesIO()
        coder.compress(io.BytesIO(content), packed)
        whole.append(packed.getvalue())
    start = len(compress.MAGIC) + compress.IDENTITY

    def parse(content: bytes) -> None:
        claims = mock.patch.object(compress, "MOST_BYTES", MOST_CLAIMED)
        with claims, mock.patch.object(compress, "FieldReader", _Trusting), contextlib.suppress(CorpusError):
            coder.decompress(io.BytesIO(whole[0][:start] + content[start:]), io.BytesIO(), "x")
        out = io.BytesIO()
        coder.decompress(io.BytesIO(content), out, "x")
        again = io.BytesIO()
        coder.compress(io.BytesIO(out.getvalue()), again)
        assert again.getvalue() == content

    return Parser(what="a compressed text", seeds=whole, parse=parse)


def _archive(one: Specimen, folder: Path) -> Parser:
    endings = (*ZIP_ENDINGS, *TAR_MODES)

    def parse(content: bytes) -> None:
        filename = f"x{endings[content[0] % len(endings)]}" if content else "x.zip"
        (folder / filename).write_bytes(content[1:])
        source = Source(
            name="x", package="x", version="1", filename=filename, url=None, sha256="", licence=None,
            root="a", members=("**",), exclude=(), encoding="utf-8", max_bytes=2**20,
        )  # fmt: skip
        for name, member in read_members(folder / filename, source).items():
            assert isinstance(member, bytes)
            assert not name.startswith("/")

    seeds = [bytes([number]) + _packed(ending) for number, ending in enumerate(endings)]
    return Parser(what="an archive of a corpus", seeds=seeds, parse=parse)


def _packed(ending: str) -> bytes:
    """An archive of two members."""
    out = io.BytesIO()
    members = {"a/b.txt": b"some text\n" * 9, "a/c/d.txt": b"more"}
    if ending in ZIP_ENDINGS:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode=TAR_MODES[ending].replace("r", "w")) as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


ENCODINGS = (
    *(None, "utf-8", "utf-16", "utf-16-le", "utf-32", "utf-7", "cp1252", "latin-1", "shift_jis", "gb18030"),
    *("euc_kr", "iso2022_jp", "big5hkscs", "hz", "utf-8-sig", "cp437"),
)


def _text(one: Specimen, folder: Path) -> Parser:
    def parse(content: bytes) -> None:
        how = content[0] if content else 0
        path = folder / ("x.txt.gz" if how & 1 else "x.txt")
        path.write_bytes(content[1:])
        encoding, as_bytes = ENCODINGS[how >> 4], bool(how & 8) and not how >> 4
        config = CorpusConfig(
            corpus=(str(path),),
            encoding=encoding,
            bytes=as_bytes,
            newlines="unix" if how & 2 else "keep",
            split="50/50",
        )
        corpus = open_corpus(config)
        facts, whole = corpus.measure(), "".join(corpus.chunks("all"))
        assert len(whole) == facts.characters
        assert "".join(corpus.chunks("train")) + "".join(corpus.chunks("validation")) == whole
        if as_bytes and not how & 3:
            assert whole.encode("utf-8", "surrogateescape") == content[1:]

    poem = specimen.text(120)
    seeds = [bytes([number << 4]) + poem.encode(name or "utf-8", "replace") for number, name in enumerate(ENCODINGS)]
    more = [b"\x01" + gzip.compress(poem.encode()), b"\x08\xff\xfe" + poem.encode(), b"\x02a\r\nb\rc\n\r"]
    marks = [
        b"\0" + mark + poem.encode(name) for mark, name in ((b"\xff\xfe", "utf-16-le"), (b"\xef\xbb\xbf", "utf-8"))
    ]
    return Parser(what="a text of any encoding", seeds=[*seeds, *more, *marks], parse=parse)


OF_TEXTS: dict[str, Make] = {
    "settings": _settings,
    "recipe": _recipe,
    "documents": _documents,
    "store": _store,
    "compressed": _compressed,
    "archive": _archive,
    "text": _text,
}
