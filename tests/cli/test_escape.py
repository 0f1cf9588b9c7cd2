import json
import math
import unicodedata

import pytest

from charlm.cli.console import to_bytes
from charlm.cli.escape import escape, escape_line, to_json_line

HOSTILE = {
    "escape": "\x1b[2J",
    "clipboard (OSC 52)": "\x1b]52;c;aGVsbG8=\x07",
    "link (OSC 8)": "\x1b]8;;http://x\x1b\\here",
    "report (CSI 6n)": "\x1b[6n",
    "C1 CSI": "\x9b31m",
    "C1 OSC": "\x9d0;title\x9c",
    "bell": "\a",
    "carriage return": "safe\rrm -rf",
    "backspace": "a\b\b",
    "delete": "\x7f",
    "bidi override": "\u202egnp.exe",
    "bidi isolate": "\u2066x\u2069",
    "line separator": "\u2028",
    "byte-order mark": "\ufeff",
    "lone surrogate": "\ud800",
    "raw byte": "\udc9b",
    "tags": "\U000e0041",
    "NUL": "\0",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_terminal_sees_nothing_that_drives_it(text):
    shown = to_bytes(text, terminal=True).decode("utf-8")
    categories = {unicodedata.category(character) for character in shown}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert "\\" in shown


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_json_is_escaped_and_reads_back_to_the_same_text(text):
    line = to_json_line({"text": text})
    assert line == escape(line)
    assert "\n" not in line
    assert json.loads(line) == {"text": text}


@pytest.mark.parametrize("text", ["", "a[i] [/x] [bold] :smile:", "naïve 👩\u200d👧 e\u0301 ﬁ ▁", "tab\tand\nline"])
def test_harmless_text_stays_as_it_is(text):
    assert escape(text) == text
    assert to_bytes(text, terminal=True) == text.encode()


def test_a_pipe_gets_the_exact_bytes():
    assert to_bytes("\x1b[2J\r\n\u202e\0", terminal=False) == "\x1b[2J\r\n\u202e\0".encode()
    assert to_bytes(b"\xff\x80 raw".decode("utf-8", "surrogateescape"), terminal=False) == b"\xff\x80 raw"


def test_one_line_stays_one_line():
    assert escape_line("a\nb\tc\rd") == "a\\nb\\tc\\rd"


def test_json_has_null_for_what_json_cannot_say():
    assert json.loads(to_json_line({"a": math.nan, "b": [math.inf, 1.5]})) == {"a": None, "b": [None, 1.5]}
