"""A text encoded, a named corpus fetched, a file compressed and got back, each the subject of a trial."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from traced import Ended, Say, run
from trial import Trial, anew, digest, leftovers, tree

# what a command imports only when it begins is imported here, once, for all processes that are forked from this one
import charlm.api
import charlm.cli.compress
import charlm.cli.decompress
import charlm.cli.whole_file
import charlm.cli.writing
import charlm.coding.figures
import charlm.coding.reference  # noqa: F401
from charlm.cli import entry
from charlm.config import Config, CorpusConfig, ModelConfig, TokenizerConfig
from charlm.config.shapes import parameter_shapes
from charlm.corpora import get_corpus, load_recipe
from charlm.corpora.install import find_installed
from charlm.runs import create_run, prepare
from charlm.tokenizers import train_tokenizer

TEXT = "".join(f"line {number} of a text: to be, or not to be?\n" for number in range(60))


def store(folder: Path) -> Iterator[Trial]:
    """A text read, its vocabulary learnt, its ids written."""
    text, cache = folder / "text.txt", folder / "cache"
    text.write_text(TEXT)
    os.environ["CHARLM_CACHE"] = str(cache)

    def encoded() -> str:
        data = prepare(CorpusConfig(corpus=(str(text),)), TokenizerConfig())
        ids = data.store.part("all")
        assert data.tokenizer.decode(ids) == TEXT
        return hashlib.sha256(ids.tobytes()).hexdigest()

    def check(ended: Ended) -> None:
        before = tree(cache)
        if ended.said:
            assert ended.said == [expected]
            assert files == {name: before.get(name) for name in files}
        assert encoded() == expected
        assert tree(cache) == files

    expected = encoded()
    files = tree(cache)
    yield Trial(prepare=lambda: anew(cache), act=lambda say: say(encoded()), check=check, codes=(0, 3, 5))


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """A server on this machine that gives out the files of `folder`; yields its address."""
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().split()[5]}"
        finally:
            server.kill()


def fetch(folder: Path) -> Iterator[Trial]:
    """A named corpus fetched in the place of an earlier version of it."""
    old, new = TEXT.encode(), TEXT.upper().encode()
    recipe = folder / "recipes" / "demo" / "corpus.toml"
    texts = recipe.parent / "text"
    os.environ.update(CHARLM_CORPORA=str(folder / "recipes"), NO_PROXY="127.0.0.1")
    anew(recipe.parent)
    anew(folder / "served")

    def describe(address: str, content: bytes) -> str:
        """Serve `content`, pin it in the recipe, and return the recipe's key."""
        name = hashlib.sha256(content).hexdigest()
        (folder / "served" / f"{name}.txt").write_bytes(content)
        source = f'[[source]]\nurl = "{address}/{name}.txt"\nsha256 = "{name}"\n'
        recipe.write_text(f'title = "Demo"\nlicence = "none"\n{source}')
        return load_recipe("demo").key

    def get() -> Path:
        return get_corpus("demo", allow_loopback_http=True)

    def prepared() -> None:
        anew(texts, folder / "before")

    def check(ended: Ended) -> None:
        found, older = find_installed(load_recipe("demo")), tree(texts / before_key)
        assert found is None or digest(found.path) == expected
        assert found is not None or (older == whole and not ended.said), "neither the old text nor the new one is there"
        assert "nothing was installed" not in ended.error or found is None
        assert digest(get()) == expected
        assert [path.name for path in texts.iterdir()] == [key]

    with served(folder / "served") as address:
        before_key = describe(address, old)
        get()
        anew(folder / "before", texts)
        whole = tree(texts / before_key)
        key, expected = describe(address, new), hashlib.sha256(new).hexdigest()
        get()
        yield Trial(prepare=prepared, act=lambda say: say(str(get())), check=check, codes=(0, 3, 5))


def compress(folder: Path) -> Iterator[Trial]:
    """``charlm compress`` over a file that is there, then ``charlm decompress`` where there is none."""
    model, tokenizer = ModelConfig(hidden_size=4, layers=1), train_tokenizer(TokenizerConfig(), [TEXT])
    shapes = parameter_shapes(model, tokenizer.vocab_size)
    made = create_run(folder / "small", config=Config(model=model), facts={}, tokenizer=tokenizer)
    weights = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    made.save(1, weights=weights, training={}, progress={}, best=True, keep=1)
    place = folder / "place"
    packed, text = place / "text.txt.charlm", place / "text.txt"

    def command(*arguments: str) -> None:
        sys.exit(entry.run([*arguments, "--run", str(made.folder), "--engine", "numpy", "--threads", "1"]))

    def pack(say: Say) -> None:
        command("compress", str(text), "--force", "--quiet")

    def unpack(say: Say) -> None:
        command("decompress", str(packed))

    def with_old() -> None:
        anew(place)
        text.write_text(TEXT[:200])
        packed.write_text("old")

    def without_text() -> None:
        anew(place)
        packed.write_bytes(content)

    def check_packed(ended: Ended) -> None:
        assert digest(packed) in ({whole} if ended.code == 0 else {whole, old}), (
            "it is neither the old nor the new file"
        )
        again = run(pack, folder / "again.log")
        assert again.code == 0, again.printed
        assert tree(place) == {"text.txt": expected, "text.txt.charlm": whole}

    def check_text(ended: Ended) -> None:
        assert digest(text) in ({expected} if ended.code == 0 else {expected, None}), "it is not the whole text"
        text.unlink(missing_ok=True)
        again = run(unpack, folder / "again.log")
        assert again.code == 0, again.printed
        assert tree(place) == {"text.txt": expected, "text.txt.charlm": whole}
        assert leftovers(place) == []

    with_old()
    expected, old = digest(text), digest(packed)
    assert run(pack, folder / "pack.log").code == 0
    whole, content = digest(packed), packed.read_bytes()
    yield Trial(prepare=with_old, act=pack, check=check_packed, codes=(0, 3, 4, 5))
    yield Trial(prepare=without_text, act=unpack, check=check_text, codes=(0, 3, 4, 5))
