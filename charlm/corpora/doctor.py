"""The corpus doctor: what is in a text, what is odd about it, and what split, model size and vocabulary fit it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from charlm.config import CorpusConfig
from charlm.corpora.corpus import Corpus, CorpusFacts, open_corpus
from charlm.corpora.progress import NoProgress, Progress
from charlm.plurals import counted

_PLAIN_CONTROLS = "\t\n\r"
_MUCH_SHARED = 0.2
_SHOWN = 12

# By training characters: the fixed size whose parameters, 0.2, 1.2, 4.6 and 26 million, are nearest to as many.
_PRESETS = ((520_000, "tiny"), (2_400_000, "small"), (11_000_000, "medium"))
# Training characters below which the smallest of them still has too many.
_SMALLEST = 100_000
# Characters of a validation part of which no interval is given.
_FEW = 2_500
# By characters: a validation part large enough to measure on, and no larger than that takes.
_SPLITS = ((200_000, "80/20"), (20_000_000, "90/5/5"), (1_000_000_000, "98/1/1"))


@dataclass(frozen=True, kw_only=True)
class CorpusReport:
    """What the doctor found.

    Attributes:
        encodings: of the documents, each once; none of texts read as bytes.
        once_only: characters that occur once in the whole text.
        controls: control, format and unassigned characters (tab and line ends apart), with their counts.
        crlf, cr: line ends of Windows, and carriage returns alone.
        duplicates: groups of documents with the same content.
        unseen: characters of validation and test that training never sees.
        shared: for validation and test, the share of its windows of 32 characters that occur in train; parts
            that are too short for one are left out.
        split, preset: what is suggested; the corpus' own split where it has one by document.
        min_count: what a training takes; rarer characters are written as bytes.
        rare: how many different characters of the training part that leaves out, and their share of it.
        notes: all that is worth saying, in words, most important first.
    """

    name: str
    facts: CorpusFacts
    encodings: tuple[str, ...]
    distinct_characters: int
    once_only: tuple[str, ...]
    controls: dict[str, int]
    crlf: int
    cr: int
    duplicates: tuple[tuple[str, ...], ...]
    unseen: tuple[str, ...]
    shared: dict[str, float]
    split: str
    preset: str
    min_count: int
    rare: tuple[int, float]
    notes: list[str]


def check_corpus(
    config: CorpusConfig,
    least_count: Callable[[Mapping[str, int]], int],
    *,
    progress: Progress | None = None,
) -> CorpusReport:
    """Examine the texts that `config` names.

    Args:
        least_count: how often a character has to occur in such a training part for an id of its own.

    Raises:
        CorpusError, ConfigError: as `open_corpus` and `Corpus.measure`.
    """
    from charlm.corpora.overlap import WINDOW, Seen, codes_of  # needs numpy, which nothing else here does

    progress = progress or NoProgress()
    corpus = open_corpus(config, progress=progress)
    facts = corpus.measure()
    counts: dict[str, dict[str, int]] = {}
    shares: dict[str, float] = {}
    line_ends = _LineEnds()
    progress.start(f"checking {corpus.name}", len(facts.parts))
    try:
        seen = Seen(map(codes_of, corpus.chunks("train")), facts.parts["train"][1])
        for part, (start, end) in facts.parts.items():
            counts[part] = _count(corpus, part, line_ends)
            if part != "train" and min(end - start, facts.parts["train"][1]) >= WINDOW:
                shares[part] = seen.share(map(codes_of, corpus.chunks(part)))
            progress.advance(1)
    finally:
        progress.finish()
    total = _added(counts.values())
    # what is read as bytes is learnt as bytes
    least = 1 if config.bytes else least_count(counts["train"])
    rare = [count for count in counts["train"].values() if count < least]
    report = CorpusReport(
        name=corpus.name,
        facts=facts,
        encodings=corpus.encodings,
        distinct_characters=len(total),
        once_only=tuple(sorted(character for character, count in total.items() if count == 1)),
        controls={c: n for c, n in sorted(total.items()) if _is_control(c)},
        crlf=line_ends.pairs,
        cr=line_ends.returns - line_ends.pairs,
        duplicates=_duplicates(corpus),
        unseen=tuple(sorted(set(total) - set(counts["train"]))),
        shared=shares,
        split=facts.split
        if facts.split.startswith("by document")
        else _fitting(_SPLITS, facts.characters, "99.8/0.1/0.1"),
        preset=_fitting(_PRESETS, facts.parts["train"][1], "large"),
        min_count=least,
        rare=(len(rare), sum(rare) / max(1, facts.parts["train"][1])),
        notes=list(corpus.notices),
    )
    report.notes.extend(_notes(report))
    return report


class _LineEnds:
    """Carriage returns of a text in pieces, which may be cut within a pair of return and newline."""

    def __init__(self) -> None:
        self.pairs = self.returns = 0
        self._last = ""

    def add(self, text: str) -> None:
        """The next piece, which is not empty."""
        self.pairs += text.count("\r\n") + (self._last == "\r" and text[0] == "\n")
        self.returns += text.count("\r")
        self._last = text[-1]


def _count(corpus: Corpus, part: str, line_ends: _LineEnds) -> dict[str, int]:
    """How often each character occurs in a part; tells `line_ends` of its pieces."""
    import numpy as np

    totals = np.zeros(0x110000, np.int64)
    for text in corpus.chunks(part):
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        found = np.bincount(codes)
        totals[: len(found)] += found
        line_ends.add(text)
    return {chr(code): int(totals[code]) for code in np.flatnonzero(totals)}


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for character, count in part.items():
            total[character] = total.get(character, 0) + count
    return total


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs") and character not in _PLAIN_CONTROLS


def _duplicates(corpus: Corpus) -> tuple[tuple[str, ...], ...]:
    digests: dict[int, tuple[str, hashlib._Hash]] = {}
    for document, text in corpus.documents(joined=False):
        _, digest = digests.setdefault(id(document), (document.name, hashlib.sha256()))
        digest.update(text.encode("utf-8", "surrogateescape"))
    groups: dict[bytes, list[str]] = {}
    for name, digest in digests.values():
        groups.setdefault(digest.digest(), []).append(name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def _fitting(table: tuple[tuple[int, str], ...], characters: int, beyond: str) -> str:
    return next((name for limit, name in table if characters < limit), beyond)


def _notes(report: CorpusReport) -> list[str]:
    found = report.facts
    sizes = ", ".join(f"{part} {end - start:,}" for part, (start, end) in found.parts.items())
    notes = [
        f"{counted(found.characters, 'character')}, {counted(found.bytes, 'byte')},"
        f" {counted(found.documents, 'document')}, {counted(report.distinct_characters, 'distinct character')}; "
        + (f"encoding {', '.join(report.encodings)}" if report.encodings else "read as bytes"),
        f"split {found.split}: {sizes}",
    ]
    notes += [
        f"{100 * share:.1f} % of {part} stands in train word for word (runs of 32 characters)"
        + ("; figures on it will look better than on new text" if share > _MUCH_SHARED else "")
        for part, share in report.shared.items()
    ]
    notes += [f"the same content {len(names)} times: {_listed(map(repr, names))}" for names in report.duplicates]
    if report.crlf:
        several = counted(report.crlf, "line end is", "line ends are")
        notes.append(f"{several} CRLF: --newlines unix makes each one character")
    if report.cr:
        several = counted(report.cr, "carriage return stands", "carriage returns stand")
        notes.append(f"{several} alone: --newlines unix makes each a line end")
    if report.controls:
        shown = _listed(
            f"{_spelled(character)} {counted(count, 'time')}" for character, count in report.controls.items()
        )
        notes.append(f"control and format characters: {shown}")
    if report.once_only:
        several = counted(len(report.once_only), "character occurs", "characters occur")
        notes.append(f"{several} once: {_listed(map(_spelled, report.once_only))}")
    if report.unseen:
        notes.append(f"not in train: {_listed(map(_spelled, report.unseen))}; they are written as bytes")
    return notes + _suggestions(report)


def _suggestions(report: CorpusReport) -> list[str]:
    train = report.facts.parts["train"][1]
    about = (
        "the smallest"
        if train < _SMALLEST
        else f"one of about as many parameters as the {train:,} characters to train on"
    )
    notes = [f"charlm train chooses the model's size by its minutes; {about} of fixed size: --preset {report.preset}"]
    start, end = report.facts.parts["validation"]
    if end - start < _FEW:
        notes.append(
            f"validation has {counted(end - start, 'character')}: figures of so short a text say little; "
            "more text, or a larger share for it in --split, makes them surer"
        )
    if not report.facts.split.startswith(("by document", report.split)):
        notes.append(f"a split that fits this length: --split {report.split}")
    if report.min_count > 1:
        kinds, share = report.rare
        notes.append(
            f"{counted(kinds, 'character occurs', 'characters occur')} fewer than {report.min_count:,} times in train"
            f" ({100 * share:.2f} % of it): charlm train writes them as bytes; --min-count 1 gives each an id"
        )
    return notes


def _listed(items: Iterable[str]) -> str:
    listed = list(items)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _spelled(character: str) -> str:
    """A character and its code point; only the latter where it cannot be shown."""
    code = f"U+{ord(character):04X}"
    return f"{character!r} {code}" if character.isprintable() else code
