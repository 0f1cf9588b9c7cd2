"""Hostile settings, recipes, vocabularies and sentencepiece models."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path

import specimen
from apart import attempt
from counting import Asked, Count, Part
from grammar import changed
from judging import refused
from rewritten import fingerprint_of, vouch

from charlm.config import Config, TokenizerConfig, file_layer, resolve, to_toml
from charlm.corpora import read_recipe
from charlm.errors import RunError
from charlm.tokenizers import load_tokenizer, train_tokenizer

PROMISE = "a CharlmError of one line, or it is read; at most twice the file and 64 MB of memory"
OTHER = "to be, or not to be: that is the qüestion\n"


TOML = (
    *("nan", "inf", "-inf", "1e400", "9" * 4000, "9" * 5000, "0x" + "F" * 5000, "-1", "0", "1.5", "true", '"x"', "''"),
    *("[]", "{}", "[[]]", "['a']", "[1]", "[nan]", "1979-05-27", "07:32:00", "[0x" + "F" * 5000 + "]", "[" * 900),
    *('"' + "x" * 50_000 + '"', '"a\\nb\\u001b[2J"', "{a.b.c = 1}", '"""\n\n"""', "[" + "{a = 1}," * 9000 + "]"),
)


def settings(asked: Asked) -> Count:
    """Settings files and recipes."""
    count = Count(what="settings files and recipes", promise=PROMISE)
    draws = random.Random(asked.seed)
    ours = sorted((Path(__file__).parents[2] / "corpora").glob("*/corpus.toml"))
    path = asked.folder / "poem" / "corpus.toml"
    path.parent.mkdir()
    for number in range(asked.of(3000, 10)):
        recipe = number % 2
        text = draws.choice(ours).read_text(encoding="utf-8") if recipe else to_toml(Config())
        content = _changed_toml(text, draws).encode("utf-8", "surrogatepass")
        path.write_bytes(content)
        act = partial(read_recipe, path) if recipe else lambda: resolve([file_layer(path)])
        attempt(count, f"number {number}: {content[:200]!r}", act, len(content))
    return count


def _changed_toml(text: str, draws: random.Random) -> str:
    lines = text.splitlines()
    for _ in range(draws.choice((1, 1, 2))):
        place = draws.randrange(len(lines))
        name, sign, _ = lines[place].partition(" = ")
        what = draws.random()
        if sign and what < 0.6:
            lines[place] = f"{name} = {draws.choice(TOML)}"
        elif what < 0.7:
            lines[place] = ".".join("a" * draws.choice((3, 90, 40_000))) + " = 1"
        elif what < 0.8:
            lines.insert(
                place, draws.choice((f"{'k' * 60_000} = 1", '"a\\nb" = 1', '["s\\nt"]', "[model.cell]", "\ud800", "\0"))
            )
        elif what < 0.9:
            lines[place:place] = [lines[place]] * draws.choice((1, 900))
        else:
            lines[place] = lines[place][: draws.randrange(len(lines[place]) + 1)]
    return "\n".join(lines)


def vocabularies(asked: Asked) -> Count:
    """tokenizer.json of another model of equal size, and made by a grammar, with hashes that are right."""
    count = Count(
        what="vocabularies of another model, and hostile ones", promise=f"{PROMISE}; never another vocabulary"
    )
    one = specimen.make(asked.folder, steps=(1,), characters=2000)
    path = one.run / "tokenizer.json"
    own, run = path.read_bytes(), one.run.joinpath("run.json").read_bytes()
    size, poem = one.opened().tokenizer.vocab_size, specimen.text(300)
    other = train_tokenizer(TokenizerConfig(), [OTHER]).to_files()["tokenizer.json"]
    with count.attempt("another vocabulary of equal size"):
        characters = json.loads(own)["characters"]
        equal = json.dumps(json.loads(own) | {"characters": characters[:-1] + chr(ord(characters[-1]) + 1)}).encode()
        for content in (equal, other):
            path.write_bytes(content)
            assert "vocabulary does not match" in refused(lambda: one.opened().tokenizer, RunError)
            vouch(one.run, fingerprint_of(content))
            assert one.opened().tokenizer.vocab_size == size or content is other
            assert "vocabulary does not match" in refused(one.opened().load, RunError)
            one.run.joinpath("run.json").write_bytes(run)
    draws = random.Random(asked.seed)
    for number in range(asked.of(2000, 8)):
        text = changed(json.loads(own), draws).encode("utf-8", "surrogatepass")
        path.write_bytes(text)
        attempt(count, f"tokenizer.json {number}: {text[:300]!r}", partial(_use, one.run, poem), len(text))
    return count


def _use(folder: Path, poem: str) -> None:
    found = load_tokenizer(folder)
    if found.unknown == "bytes":
        assert found.decode(found.encode(poem)) == poem
    found.encode(poem, "drop")


def models(asked: Asked) -> Count:
    """sentencepiece models whose hash is right."""
    count = Count(what="damaged and hostile sentencepiece models with the right hash", promise=PROMISE)
    draws, poem = random.Random(asked.seed), specimen.text(300)
    for spec in ("bpe:280", "unigram:280"):
        one = specimen.make(asked.folder / spec.replace(":", "-"), spec, steps=(), characters=2000)
        path, form = one.run / "tokenizer.model", one.run / "tokenizer.json"
        whole, values = path.read_bytes(), json.loads(form.read_bytes())
        for number in range(asked.of(2500, 5)):
            content = _changed_model(whole, draws)
            path.write_bytes(content)
            form.write_text(json.dumps(values | {"model_sha256": specimen.sha256(content)}))
            size = len(content) + form.stat().st_size
            attempt(count, f"{spec} {number} of seed {asked.seed}", partial(_use, one.run, poem), size)
    return count


def _changed_model(whole: bytes, draws: random.Random) -> bytes:
    """Bytes of the serialised form changed, left out, put in: lengths, kinds and numbers among them."""
    content = bytearray(whole)
    for _ in range(draws.choice((1, 1, 2, 5, 50))):
        place = (
            draws.randrange(len(content)) if draws.random() < 0.7 else draws.randrange(len(content) - 200, len(content))
        )
        what = draws.random()
        if what < 0.5:
            content[place] ^= 1 << draws.randrange(8)
        elif what < 0.7:
            content[place : place + draws.choice((1, 4, 40))] = draws.choice(
                (b"", b"\xff" * 9, b"\x80" * 9 + b"\1", b"\0" * 4)
            )
        elif what < 0.85:
            content[place:place] = draws.choice(
                (b"\xff\xff\xff\xff\x0f", b"\0\0\xc0\x7f", b"\0\0\x80\xff", b"\x0a\x00", whole[:300])
            )
        else:
            del content[place + draws.randrange(300) :]
        if len(content) < 300:
            content += whole[: 300 - len(content)]
    return bytes(content)


FILES: dict[str, Part] = {"settings": settings, "vocabularies": vocabularies, "models": models}
