"""The Markdown play, from a page with every quirk of the real ones."""

import pytest

from charlm.corpora.converters import CONVERTERS

# ·· stands for the two spaces that end a line of verse
PLAY = r"""# The Test

## ACT I

### Prologue

Two households, both alike,··
In fair Verona.

### SCENE I. A hall. A bed;
a table.

lying asleep.

_Enter FIRST and
SECOND_

**FIRST**··
Who's there?··
_\[Aside]_··
Nay -- answer — me.

**SECOND**··
__\[Awaking]_··
Long live the king!

_Exit FIRST_

He   goes.

*Sound a horn.*

A messenger?—Lord Audley.

_\[To FIRST]_··
**FIRST: & THIRD:**··
And _\[Censorinus,]_··
Twice being _\[by the people chosen]_ censor,··
he'll __\[ ]_··
BISHOP

**OF ELY**
[Within]_··
'Farewell!'\-- 'Farewell, brother!' & c.

THE TEST

#### SCENE II. A street.

1\. A lively flourish of Trumpets.··
2\. Then, two Judges.

**Scene III**··
A tavern.

_Burthen _\[dispersedly, within_

SONG.

**Boy**··
*[Sings.]*··
Full **fathom** five

EPILOGUE··
SPOKEN BY BOY··
Now all is done.
""".replace("·", " ")

TEXT = """Prologue:
Two households, both alike,
In fair Verona.

FIRST:
Who's there?
Nay -- answer -- me.

SECOND:
Long live the king!
He goes.
A messenger?--Lord Audley.

FIRST & THIRD:
And Censorinus,
Twice being by the people chosen censor,
he'll

BISHOP OF ELY:
'Farewell!'-- 'Farewell, brother!' &c.

Boy:
Full fathom five

Epilogue:
Now all is done.

"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_markdown_play(line_end):
    assert CONVERTERS["markdown-play"](PLAY.replace("\n", line_end)) == TEXT


def test_a_converted_play_stays_as_it_is_when_nothing_is_marked():
    assert CONVERTERS["markdown-play"]("**A**\nOne.\nTwo.\n") == "A:\nOne.\nTwo.\n\n"
    assert CONVERTERS["markdown-play"]("") == ""


def test_plain_changes_nothing():
    text = "a\r\nb\x00\u2028c\ufeff"
    assert CONVERTERS["plain"](text) == text
