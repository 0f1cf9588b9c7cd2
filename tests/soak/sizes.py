"""Large and small: texts of 10 GB and of no character, vocabularies of 60,000, layers of 8 and of 4,096 units.

Each attempt is a command in a process of its own, and the memory that it ever held is the system's figure.
"""

from __future__ import annotations

import gzip
import itertools
import random
import re
import shutil
import sys
from pathlib import Path

import counting
from counting import Asked, Count
from measured import AT_ONCE, MB, Measured, Place

LARGEST = 10_000_000_000
MOST_MB = 1000
# Of a long text in which nothing comes twice: the 5-gram beside the training takes some 200 bytes for each row of
# symbols that it counts, as many as it ever counts. And with an id for each of 60,000 characters.
MOST_MB_OF_NEW_ROWS, MOST_MB_OF_MANY_IDS = 1500, 2000
# A member of the gzip file; so many different ones take turns.
MEMBER, MEMBERS = 8_000_000, 12
PIECE = 1_000_000
WORDS = 20_000
SUGGESTED = re.compile(r"the largest that fits is (\d+)")
# Shortest last; every command that a text can be given to.
SHORT = {"nothing": "", "white space": " \n\t \n", "one character": "a", "two": "ab", "a byte order mark": "\ufeff"}


def sentences(characters: int, seed: int) -> str:
    """Words that become rarer the longer the list, as those of a language do, in lines; exactly so many characters."""
    draws = random.Random(seed)
    letters = random.Random(0)
    words = ["".join(letters.choices("etaoinshrdlucmfwypvbgkqjxz", k=letters.randint(2, 9))) for _ in range(WORDS)]
    weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(WORDS)))
    found, size = [], 0
    while size < characters:
        line = " ".join(draws.choices(words, cum_weights=weights, k=draws.randint(4, 14))).capitalize() + ".\n"
        found.append(line)
        size += len(line)
    return "".join(found)[:characters]


def members(path: Path, characters: int) -> int:
    """A gzip file of so many characters, or a few more: texts that take turns, each packed once. Returns how many."""
    size = min(MEMBER, characters)
    packed = [gzip.compress(sentences(size, seed).encode(), 1) for seed in range(min(MEMBERS, -(-characters // size)))]
    with path.open("wb") as file:
        for number in range(-(-characters // size)):
            file.write(packed[number % len(packed)])
    return -(-characters // size) * size


def rare(characters: int, seed: int = 0) -> str:
    """Chinese and Korean code points, all as likely: hardly any five of them ever come twice."""
    codes = [*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000), *range(0xAC00, 0xD7A4), *range(0x20000, 0x26000)]
    draws = random.Random(seed)
    every = draws.sample(codes, min(characters, 60_000))
    return "".join(map(chr, [*every, *draws.choices(every, k=max(0, characters - len(every)))]))


def rare_file(path: Path, characters: int) -> str:
    """`rare`, piece by piece: what this process holds counts as a command's memory, whose beginning is a copy of it."""
    with path.open("w", encoding="utf-8") as file:
        for seed in range(-(-characters // PIECE)):
            file.write(rare(PIECE, seed))
    return path.name


def huge(asked: Asked) -> Count:
    """A training on 10 GB: encoded anew, encoded before, long enough to read some; then one symbol 10^10 times."""
    count = Count(what="training on a text of 10 GB", promise=f"no more than {MOST_MB} MB of memory")
    place = Place(asked.folder, forked=asked.quick)
    needed = 2.5 * asked.of(LARGEST, 100_000)
    assert shutil.disk_usage(place.folder).free > needed, f"{needed / 1e9:.0f} GB of disk are needed in {place.folder}"
    characters = members(place.folder / "large.txt.gz", asked.of(LARGEST, 100_000))
    reading = ("--batch-size", "64", "--window-length", "1000", "--hidden-size", "8", "--layers", "1")

    def train(name: str, *arguments: object) -> None:
        with count.attempt(name):
            ended = place.run("train", "large.txt.gz", "--run", name, *arguments)
            assert f" · {characters:,} characters · " in ended.errors, ended.errors
            fits(ended, count, name)

    train("first", *place.tiny, "--steps", 5)
    if not asked.quick:
        train("again", *place.tiny, "--steps", 5)
        train("reads", *reading, "--steps", 3000)  # 192 million characters
        with count.attempt("one symbol, 10 GB of it, in a sparse file"):
            with (place.folder / "sparse").open("wb") as file:
                file.truncate(LARGEST)
            fits(
                place.run("train", "sparse", *place.tiny, "--tokenizer", "byte", "--steps", 5, "--run", "s"),
                count,
                "sparse",
            )
    return count


def fits(ended: Measured, count: Count, name: str, most: int = MOST_MB) -> None:
    """Note how much memory it took, and look whether that is little enough."""
    count.notes[f"MB, {name}"] = ended.peak
    assert ended.peak <= most, f"{ended.peak} MB"


def vocabulary(asked: Asked) -> Count:
    """Vocabularies of 60,000 symbols, and long texts of which hardly anything comes twice."""
    count = Count(
        what="60,000 symbols", promise="trains, scores and writes, in at most 1.25 times the memory of its plan"
    )
    place = Place(asked.folder, forked=asked.quick)
    text = place.write("rare.txt", rare(asked.of(700_000, 2_000)))
    lanes, window = asked.of(32, 2), asked.of(64, 4)
    model = ("--hidden-size", 64, "--layers", 1, "--batch-size", lanes, "--window-length", window)
    model += ("--min-count", 1, *(AT_ONCE if asked.quick else ()))
    with count.attempt("train"):
        planned = place.json("train", text, *model, "--steps", 3, "--plan")["memory_bytes"] // MB
        ended = place.run("train", text, *model, "--steps", 3, "--run", "rare")
        count.notes |= {"MB planned": planned, "MB taken": ended.peak}
        assert ended.peak <= 1.25 * planned, f"{ended.peak} MB, planned were {planned}"
    if asked.quick:
        return count
    with count.attempt("eval"):
        ended = place.run("eval", "--run", "rare")
        count.notes["MB to score"] = ended.peak
        assert ended.peak <= MOST_MB, f"{ended.peak} MB"
    with count.attempt("generate"):
        ended = place.run("generate", "--run", "rare", "--length", 500, "--prompt", rare(60_000)[:100])
        assert len(ended.output.decode()) == 600
        assert ended.peak <= MOST_MB, f"{ended.peak} MB"
    long = rare_file(place.folder / "long.txt", 24 * PIECE)
    with count.attempt("a long text in which nothing comes twice"):
        ended = place.run("train", long, *place.tiny, "--steps", 3, "--run", "long")
        fits(ended, count, "a long text", MOST_MB_OF_NEW_ROWS)
    with count.attempt("the same with an id for each character"):
        ended = place.run("train", long, *place.tiny, "--steps", 3, "--run", "ids", "--min-count", 1)
        fits(ended, count, "a long text with 60,000 ids", MOST_MB_OF_MANY_IDS)
    return count


def hidden(asked: Asked) -> Count:
    """Layers of 8 and of 4,096 units."""
    count = Count(
        what="layers of 8 and of 4,096 units", promise="train, and write, in at most 1.25 times the memory planned"
    )
    place = Place(asked.folder, forked=asked.quick)
    text = place.write("text.txt", sentences(asked.of(100_000, 2_000), 1))
    for size in asked.of(2, 1) * [8] if asked.quick else [8, 4096]:
        for cell in ("lstm", "gru", "elman")[: asked.of(3, 1)]:
            with count.attempt(f"{cell} of {size}"):
                model = (*place.tiny, "--cell", cell, "--hidden-size", size)
                planned = place.json("train", text, *model, "--steps", 3, "--plan")["memory_bytes"] // MB
                ended = place.run("train", text, *model, "--steps", 3, "--run", f"{cell}-{size}")
                count.notes[f"MB planned and taken, {cell} of {size}"] = f"{planned:,} and {ended.peak:,}"
                assert ended.peak <= 1.25 * planned, f"{ended.peak} MB, planned were {planned}"
                place.run("generate", "--run", f"{cell}-{size}", "--length", 20)
    return count


def short(asked: Asked) -> Count:
    """Texts too short for what they are given to: one line, exit code 3 or 2, and a suggestion that works."""
    count = Count(what="texts of 0, 1, 2, ... characters", promise="exit code 3, or a suggestion that works when typed")
    place = Place(asked.folder, forked=asked.quick)
    for name, content in list(SHORT.items())[: asked.of(len(SHORT), 1)]:
        with count.attempt(f"train: {name}"):
            ended = place.run("train", place.write("short.txt", content), *place.tiny, "--steps", 2, code=3)
            assert ended.errors.count("charlm: error:") == 1, ended.errors
            assert not list((place.folder / "runs").glob("*")), "a run was left behind"
    with count.attempt("two characters, all of them to learn from, as the error suggests"):
        text = place.write("short.txt", "ab")
        assert "a larger first share in --split" in place.run("train", text, *place.tiny, "--steps", 2, code=3).error
        place.run("train", text, *place.tiny, "--steps", 2, "--split", "100/0", "--batch-size", 1, "--run", "two")
    for length in (20, 3, 4, 5, 7, 19, 21, 40, 63, 64, 65, 100, 2047, 2048)[: asked.of(14, 1)]:
        for one_symbol in (False, True)[: asked.of(2, 1)]:
            with count.attempt(f"{length} characters, {'one symbol' if one_symbol else 'some'}"):
                follow(place, "a" * length if one_symbol else sentences(length, length))
    return count


def follow(place: Place, text: str) -> None:
    """Train on a text as it is; with a batch larger than it the error's suggestion is taken, and has to work."""
    name, run = place.write("text.txt", text), f"r{len(text)}-{len(set(text))}"
    model = ("--hidden-size", 8, "--layers", 1, "--steps", 2, "--threads", 1, *AT_ONCE)
    place.run("train", name, *model, "--run", run)
    assert len(place.run("generate", "--run", run, "--length", 30).output.decode()) == 30
    scored = place.json("eval", name, "--run", run)
    assert scored["tokens"] == len(text) - 1, scored
    refused = place.run("train", name, *model, "--batch-size", 5000, code=2)
    largest = SUGGESTED.search(refused.error)
    assert largest, refused.error
    place.run("train", name, *model, "--batch-size", largest[1], "--run", f"{run}-suggested")


PARTS = {"huge": huge, "vocabulary": vocabulary, "hidden": hidden, "short": short}

if __name__ == "__main__":
    sys.exit(counting.main("sizes", PARTS, __doc__))
