"""Raw bytes inside text: U+DC80..U+DCFF stand for the bytes 0x80..0xFF ("surrogateescape")."""

from __future__ import annotations

import re

from charlm.errors import TokenizerError

_RUN = re.compile("[\udc80-\udcff]{2,}")
_OTHER = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_OTHER_RUN = re.compile("[\ud800-\udc7f\udd00-\udfff]+")


def to_bytes(text: str, unknown: str) -> bytes:
    """UTF-8 of `text`, raw bytes as they are.

    Args:
        unknown: ``drop`` leaves lone surrogates out, which no UTF-8 can represent.

    Raises:
        TokenizerError: a lone surrogate, or raw bytes that would read back as something else.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        pass
    if unknown == "drop":
        text = _OTHER_RUN.sub("", text)
    refuse_surrogates(text)
    refuse_ambiguous(text)
    return text.encode("utf-8", "surrogateescape")


def refuse_surrogates(text: str, start: int = 0) -> None:
    """Raise `TokenizerError` at the first surrogate that stands for no byte; `start` is where `text` begins."""
    if found := _OTHER.search(text):
        code, position = ord(found.group()), start + found.start()
        raise TokenizerError(
            f"character U+{code:04X} at position {position} is half of a surrogate pair, not a character", position
        )


def refuse_ambiguous(text: str, start: int = 0) -> None:
    """Raise `TokenizerError` at raw bytes that happen to form valid UTF-8: they would read back as characters."""
    for found in _RUN.finditer(text):
        run = found.group()
        data = run.encode("utf-8", "surrogateescape")
        back = data.decode("utf-8", "surrogateescape")
        if back != run:
            at = next(i for i, (was, now) in enumerate(zip(run, back, strict=False)) if was != now)
            position = start + found.start() + at
            raise TokenizerError(
                f"raw bytes U+{ord(run[at]):04X}... at position {position} "
                f"would read back as {back[at]!r}: decode the text as UTF-8, or give --boundary where two files meet",
                position,
            )
