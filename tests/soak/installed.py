"""A named corpus, fetched from a server on this machine: its recipe, its text, where its documents lie."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import specimen
from specimen import environment

from charlm.config import CorpusConfig
from charlm.corpora import get_corpus, open_corpus, read_recipe
from charlm.corpora.recipe import Recipe

NAME = "poems"
CONFIG = CorpusConfig(corpus=(NAME,))
RECIPE = """title = "Poems"
description = "Lines of a few words"
licence = "CC0-1.0"

[[source]]
url = "http://127.0.0.1:{port}/poems.zip"
sha256 = "{sha256}"
root = "poems"
members = ["*.txt"]

[split]
validation = ["poems.zip/3.txt"]
test = ["poems.zip/4.txt"]
unit = "poems"
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A fetched corpus below `folder`."""

    folder: Path

    @property
    def recipe_file(self) -> Path:
        """Its corpus.toml."""
        return self.folder / "corpora" / NAME / "corpus.toml"

    @property
    def recipe(self) -> Recipe:
        """Its recipe, read."""
        return read_recipe(self.recipe_file)

    def files(self) -> list[Path]:
        """All there is, in name order."""
        return sorted(path for path in self.recipe_file.parent.rglob("*") if path.is_file())

    def read(self, config: CorpusConfig) -> tuple[str, str, str]:
        """The facts of the text that `config` names, as a training sees them, its training part and the whole."""
        with environment({"CHARLM_CORPORA": str(self.folder / "corpora")}):
            corpus = open_corpus(config)
            facts = corpus.measure()
            return repr(facts), "".join(corpus.chunks("train")), "".join(corpus.chunks("all"))


def install(folder: Path) -> Fetched:
    """Fetch it into `folder`."""
    made = Fetched(folder=folder)
    served = folder / "served"
    served.mkdir()
    content = _archive()
    (served / "poems.zip").write_bytes(content)
    made.recipe_file.parent.mkdir(parents=True)
    with _serving(served) as port, environment({"CHARLM_CORPORA": str(folder / "corpora")}):
        recipe = RECIPE.format(port=port, sha256=hashlib.sha256(content).hexdigest())
        made.recipe_file.write_text(recipe, encoding="utf-8")
        get_corpus(NAME, allow_loopback_http=True)
    return made


def _archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(1, 5):
            archive.writestr(f"poems/{number}.txt", specimen.text(6000, seed=number))
    return out.getvalue()


@contextmanager
def _serving(folder: Path) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
