"""How the source of a document becomes its text: a recipe names one of CONVERTERS."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_MARKED = re.compile(r"[_*\]]")
# subtle: a direction is a whole line (or lines) in italics; "_Burthen _[within_" is how this source breaks a few
_DIRECTION = re.compile(r"^[ \t]*(?:_+(?:[^_[]*_+)?\\?\[[^]_]*\]?_+|_+[^_]+_+|\*(?!\*)[^*]+\*)[ \t]*$", re.MULTILINE)
_HALF_MARKED = re.compile(r"^\\?\[[^]]*\][_*][ \t]*$", re.MULTILINE)
_TITLE = re.compile(r"^(?:(?:THE |[A-Z]+'S )?(?:SONG|song)\.|DUMB SHOW\.|SPOKEN BY [A-Z]+)[ \t]*$", re.MULTILINE)
_INLINE = re.compile(r"(?:_+|(?<!\*)\*)\\?\[([^]]*)\](?:_+|\*)")
# "1. A lively flourish of Trumpets." lists a procession: a direction, though not in italics
_PROCESSION = re.compile(r"\d+\\?\. ")
_HEADING = re.compile(r"#|\*\*(?:act|scene) [ivx]+\*\*", re.IGNORECASE)
_UNNAMED = re.compile(r"(?:#+ )?(prologue|epilogue)[ \t]*(?:\n|$)", re.IGNORECASE)
_SPEAKER = re.compile(r"\*\*(.+?)\*\*[ \t]*$")
# the first half of a name, cut off from the paragraph that it should begin: BISHOP / **OF WINCHESTER**
_CUT_NAME = re.compile(r"(?:[A-Z]{3,}(?: [A-Z]{2,})*|Ghosts?|[A-Z][a-z]+'s?)$")
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_ESCAPE = re.compile(r"\\([^\w\s])")


def plain(text: str) -> str:
    """The document as it is."""
    return text


def markdown_play(text: str) -> str:
    """A play in Markdown as ``SPEAKER:``, the lines spoken, an empty line; nothing else.

    Expects ``# headings``, ``**SPEAKER**`` before a speech, ``_directions_`` (or ``*directions*``) in
    paragraphs or lines of their own, and ``_[Aside]_`` within speeches. Headings and directions go; a
    speech broken by a direction goes on under one name; words in ``_[brackets]_`` amid a line are an
    editor's reading of the verse and stay, without the brackets.
    """
    paragraphs = re.split(r"\n(?:[ \t]*\n)+", text.replace("\r\n", "\n").strip())
    title = paragraphs[0].lstrip("# ").upper()
    speeches = [_Speech("", [])]
    after_heading = False
    for paragraph in paragraphs:
        unnamed = _UNNAMED.match(paragraph)
        if unnamed:
            speeches.append(_Speech(unnamed[1].capitalize(), []))
            paragraph = paragraph[unnamed.end() :]
        elif _HEADING.match(paragraph) or _PROCESSION.match(paragraph):
            after_heading = True
            continue
        if not (after_heading and _continues_heading(paragraph)):
            _add_lines(speeches, paragraph, title)
            after_heading = False
    return "".join(speech.text() for speech in speeches if speech.lines)


class _Speech(NamedTuple):
    speaker: str
    lines: list[str]

    def text(self) -> str:
        return "\n".join([*([f"{self.speaker}:"] if self.speaker else []), *self.lines]) + "\n\n"


def _add_lines(speeches: list[_Speech], paragraph: str, title: str) -> None:
    if _MARKED.search(paragraph):
        paragraph = _HALF_MARKED.sub("", _DIRECTION.sub("", paragraph))
    paragraph = _TITLE.sub("", paragraph)
    for line in paragraph.split("\n"):
        speaker = _SPEAKER.match(line) if line.startswith("**") else None
        if speaker:
            before = speeches[-1].lines
            first_half = before.pop() if before and _CUT_NAME.match(before[-1]) else ""
            speeches.append(_Speech(f"{first_half} {_clean(speaker[1]).replace(':', '')}".lstrip(), []))
        else:
            if _MARKED.search(line):
                line = _BOLD.sub(r"\1", _INLINE.sub(r"\1", line))
            spoken = _clean(line)
            speeches[-1].lines.extend([spoken] if spoken not in ("", title) else [])


def _continues_heading(paragraph: str) -> bool:
    """Whether a paragraph without a speaker, right after a heading, is the rest of the scene's description."""
    return (paragraph[:1].islower() or "\n" not in paragraph) and not re.match(r"\*\*|" + _CUT_NAME.pattern, paragraph)


def _clean(line: str) -> str:
    if "\\" in line:
        line = _ESCAPE.sub(r"\1", line)
    return " ".join(line.replace("—", "--").replace("& c", "&c").split())


CONVERTERS: dict[str, Callable[[str], str]] = {
    "plain": plain,
    "markdown-play": markdown_play,
}
