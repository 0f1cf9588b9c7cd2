"""Text that others wrote, made harmless before a terminal sees it.

A terminal obeys escape sequences; a reader is misled by invisible direction marks. Both are shown as
the escapes that Python and JSON use for them. Nothing else is changed: no markup, no emoji codes.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

# C0 but tab and newline, DEL, C1, marks of direction, line and paragraph separators, deprecated format
# characters, byte-order mark, annotation marks, lone surrogates, tags.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_LINE_BREAKS = str.maketrans({"\n": "\\n", "\t": "\\t"})


def escape(text: str) -> str:
    """`text` with everything that drives a terminal or hides itself shown as an escape; newline and tab stay."""
    return _UNSAFE.sub(lambda match: _escaped(match[0]), text)


def escape_line(text: str) -> str:
    """As `escape`, on one line: newline and tab become ``\\n`` and ``\\t``."""
    return escape(text).translate(_LINE_BREAKS)


def to_json_line(value: Any) -> str:
    """`value` as one line of strict JSON: no NaN (null in its place), nothing that drives a terminal."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=str)
    # unsafe characters can only stand inside strings, where JSON's own escapes mean the same
    return _UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1] if match[0] != "\x7f" else "\\u007f", text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, as Python carries it in names and arguments
        return f"\\x{code - 0xDC00:02x}"
    if character in "\r\b\a\f\v":
        return {"\r": "\\r", "\b": "\\b", "\a": "\\a", "\f": "\\f", "\v": "\\v"}[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
