"""Texts that are none, or odd, or very short, through every command that reads one; and prompts."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import tarfile
import time
import zipfile

from bad_lines import line
from counting import Asked, Count
from inside import Ended, charlm
from place import TALE, Place, attempt, chosen, made
from started import TOO_LONG

# The parameter that is a text, of every command that reads one as characters.
READERS = {
    "train": "text",
    "sweep": "text",
    "eval": "text",
    "score": "files",
    "compare": "file",
    "corpora check": "text",
}
# Those that neither need torch nor score.
LIGHT_READERS = ("corpora check",)

# Kept as they are, every character of them.
ODD = {
    "NUL": "a\0b",
    "CRLF": "one\r\ntwo\r\n",
    "lone CR": "one\rtwo\r",
    "line separators": "one\u2028two\u2029three\x85four",
    "form feed, vertical tab": "one\ftwo\vthree",
    "lower block": "\u2581 \u2581\u2581",
    "combining marks": "e\u0301 é n\u0303\u0303\u0303",
    "joined emoji": "👩\u200d👩\u200d👧 🇫🇷",
    "ligatures": "ﬁ ﬂ ﬃ",
    "escapes": "\x1b[2J\x1b]52;c;eA==\x07\x9b6n",
    "direction marks": "\u202eevil\u202c \u2066x\u2069",
    "markup": "[/x] [bold] a[i] :smile: </script>",
    "no characters": "\ufffe\uffff\U0010ffff",
    "private use": "\ue000\U000f0000",
    "a mark inside": "a\ufeffb",
    "one symbol": "x",
    "many symbols": "".join(map(chr, range(0x4E00, 0x4E00 + 600))),
}
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
REMEDY = "is not UTF-8; try --encoding, or --bytes with --tokenizer byte"
REMEDIES: tuple[dict[str, str | None], ...] = ({"encoding": "latin-1"}, {"bytes": "", "tokenizer": "byte"})
# Content, and words of the error.
BAD_BYTES = {
    "0xFF": (b"one\ntwo \xff three\n" * 40, f"byte 0xFF at offset 8, line 2 {REMEDY}"),
    "latin-1": (b"caf\xe9 au lait\n" * 40, f"byte 0xE9 at offset 3, line 1 {REMEDY}"),
    "a surrogate": (b"a\xed\xa0\x80" * 90, f"byte 0xED at offset 1, line 1 {REMEDY}"),
    "an overlong form": (b"a\xc0\xaf" * 90, f"byte 0xC0 at offset 1, line 1 {REMEDY}"),
    "cut short": (b"ab\n" * 200 + b"\xe2\x98", f"byte 0xE2 at offset 600, line 201 {REMEDY}"),
}


def _zip() -> bytes:
    with io.BytesIO() as made_here:
        with zipfile.ZipFile(made_here, "w") as file:
            file.writestr("a.txt", TALE)
        return made_here.getvalue()


def _tar() -> bytes:
    with io.BytesIO() as made_here:
        with tarfile.open(fileobj=made_here, mode="w") as file:
            file.addfile(tarfile.TarInfo("a.txt"))
        return made_here.getvalue()


NO_TEXT = {
    "gzip": (gzip.compress(TALE.encode()), "looks like gzip"),
    "zip": (_zip(), "looks like a zip archive"),
    "tar": (_tar(), "looks like a tar archive"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + TALE.encode(), "looks like a PDF"),
    "executable": (b"\x7fELF\x02\x01\x01" + b"\0" * 999, "looks like an executable"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "looks like a PNG picture"),
    "nothing": (b"", "is empty"),
    "a mark alone": (codecs.BOM_UTF8, "is empty"),
    "white space": (b" \n\t\r\n" * 99, "holds white space only"),
}
SHORT = (
    "x",
    "xy",
    "xyx",
    "a\n",
    "a cat",
    "a cat sat.",
    "a cat sat on a mat.",
    "a cat sat on a mat, and saw a rat.",
    "x" * 90,
)


def texts(asked: Asked) -> Count:
    """Every text through every reader."""
    count = Count(
        what="texts that are none, odd or very short, through every command that reads one",
        promise="kept to the last character, or refused with the place and a remedy that works",
    )
    readers = {name: READERS[name] for name in LIGHT_READERS} if asked.quick else READERS
    with made(asked.folder) as place:
        for name, text in chosen(ODD.items(), asked, 3):
            _kept(count, place, readers, name, text * (400 // len(text) + 1))
        for encoding in chosen(MARKS, asked, 1):
            _decoded(count, place, readers, encoding)
        for name, (content, words) in chosen({**BAD_BYTES, **NO_TEXT}.items(), asked, 4):
            _refused(count, place, readers, name, content, words)
        for text in () if asked.quick else SHORT:
            _short(count, place, text)
        for what, content in () if asked.quick else (("edited", b"other"), ("emptied", b""), ("removed", None)):
            _changed(count, place, what, content)
    return count


def _kept(count: Count, place: Place, readers: dict[str, str], name: str, text: str) -> None:
    place.put("odd", text.encode())
    for reader, parameter in readers.items():
        for ended in attempt(count, place, line(reader, {parameter: "odd"})):
            with count.attempt(f"{reader} takes a text with {name}"):
                assert ended.code == 0, ended.error
    for ended in attempt(count, place, line("corpora check", {"text": "odd", "json": ""})):
        with count.attempt(f"characters of a text with {name}"):
            assert json.loads(ended.output)["facts"]["characters"] == len(text)
    text = text[:50]
    place.put("odd", text.encode())
    packed = attempt(count, place, line("compress", {"file": "odd", "output": "-", "quiet": ""}))
    for one in packed:
        for ended in attempt(count, place, line("decompress", {"file": "-", "output": "-"}), stdin=one.output):
            with count.attempt(f"there and back, a text with {name}"):
                assert ended.output == text.encode()


def _decoded(count: Count, place: Place, readers: dict[str, str], encoding: str) -> None:
    for reader, parameter in readers.items():
        found: list[Ended] = []
        for content in (TALE.encode(), MARKS[encoding] + TALE.encode(encoding)):
            place.put("odd", content)
            found += attempt(count, place, line(reader, {parameter: "odd", "json": ""}))
        with count.attempt(f"{reader}: a text that begins with the mark of {encoding}"):
            plain, marked = found
            assert (plain.code, marked.code) == (0, 0), marked.error
            assert (plain.errors + str(plain.output)).count("byte-order mark") == 0
            assert (marked.errors + str(marked.output)).count("byte-order mark") == 1, marked.errors
            if reader in ("eval", "score", "compare"):
                assert marked.output == plain.output


def _refused(count: Count, place: Place, readers: dict[str, str], name: str, content: bytes, words: str) -> None:
    place.put("odd", content)
    for reader, parameter in readers.items():
        for ended in attempt(count, place, line(reader, {parameter: "odd"})):
            with count.attempt(f"{reader} refuses {name}"):
                assert ended.code == 3, f"exit {ended.code}: {ended.errors}"
                assert words in ended.errors, ended.errors
                assert ended.seconds < 1
        if name in BAD_BYTES:
            for remedy in REMEDIES if reader in ("train", "sweep") else REMEDIES[:1]:
                for ended in attempt(count, place, line(reader, {parameter: "odd", **remedy})):
                    with count.attempt(f"{reader} takes {name} with {' '.join(remedy)}, as it says"):
                        assert ended.code == 0, ended.error


def _short(count: Count, place: Place, text: str) -> None:
    """Too little is refused with what would do, and that does."""
    place.put("odd", text.encode())
    for batch, window in ((1, 1), (4, 8), (1000, 64), (1, 100_000)):
        changes: dict[str, str | None] = {"text": "odd", "batch_size": str(batch), "window_length": str(window)}
        for ended in attempt(count, place, line("train", changes)):
            with count.attempt(f"a text of {len(text)}, --batch-size {batch}, --window-length {window}"):
                if ended.code == 0:
                    continue
                fits = re.search(r"that fits is (\d+)$", ended.error)
                if fits is None:
                    assert re.search(r"\b(2|two) (are|characters|is the least)", ended.error), ended.error
                    continue
                (again,) = attempt(count, place, line("train", {**changes, "batch_size": fits[1]}))
                assert again.code == 0, again.error
    for reader in ("eval", "score", "compare"):
        attempt(count, place, line(reader, {READERS[reader]: "odd", "json": ""}))


def _changed(count: Count, place: Place, what: str, content: bytes | None) -> None:
    """A training goes on with the text that it read; whoever resumes it is told."""
    text, metrics = place.folder / "fleeting", place.specimen.runs / "new" / "metrics.jsonl"
    with count.attempt(f"a text is {what} during a training"), place.open():
        text.write_text(TALE, encoding="utf-8")
        process = place.start(line("train", {"text": "fleeting", "steps": "400"}))
        while not metrics.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        text.unlink() if content is None else text.write_bytes(content)
        _, errors = process.communicate(timeout=TOO_LONG)
        assert process.returncode == 0, errors
        ended = charlm("train", "--resume", "--run", "new", "--steps", "401", limit=60)
        if content is None:
            assert ended.code == 0, ended.error
            assert "fleeting" in ended.errors, "nobody is told that the text is gone"
        else:
            assert ended.code == 3, ended.errors
            assert "--accept-change" in ended.error or "is empty" in ended.error, ended.error


def prompts(asked: Asked) -> Count:
    """Prompts with characters that the model has not seen, none at all, and very long ones."""
    count = Count(what="prompts", promise="in the text as they are, or refused with character and place")
    with made(asked.folder) as place:
        for prompt, unseen in (("漢", 0), ("a 漢", 2), ("the\tcat", 3), ("cat\x1b[2J", 3), ("\udcff", 0)):
            _unseen(count, place, prompt, unseen)
        for prompt in ("", " ", "the cat", "the " * 500, "naïve ☃"):
            for ended in attempt(count, place, line("generate", {"prompt": "-"}), stdin=prompt.encode()):
                with count.attempt(f"a prompt of {len(prompt)}"):
                    assert ended.code == 0, ended.error
                    assert ended.output.startswith(prompt.encode())
                    (again,) = attempt(count, place, line("generate", {"prompt": "-"}), stdin=prompt.encode())
                    assert again.output == ended.output, "the same seed, other bytes"
    return count


def _unseen(count: Count, place: Place, prompt: str, position: int) -> None:
    exact = prompt.encode("utf-8", "surrogateescape")
    for unknown in ("error", "bytes", "drop"):
        for ended in attempt(count, place, line("generate", {"prompt": prompt, "unknown": unknown})):
            with count.attempt(f"prompt {prompt!a}, --unknown {unknown}"):
                if unknown == "error":
                    assert ended.code == 3, ended.errors
                    assert f"position {position}" in ended.error, ended.error
                else:
                    assert ended.code == 0, ended.errors
                    assert ended.output.startswith(exact), ended.output  # as it was given, whatever was read of it
                    assert "⁇" not in ended.output.decode("utf-8", "replace")
