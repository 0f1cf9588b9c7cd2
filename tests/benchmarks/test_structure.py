"""Checkers of C, LaTeX and plays: what is sound, what is not, and what the cut of a piece excuses; and the program."""

import random

import pytest
import structure
from checkers import CHECKERS, Place
from harness.made_up_structure import MADE_UP
from harness.structure_rows import by_measure

C, LATEX, PLAYS = CHECKERS["c"](""), CHECKERS["latex"](""), CHECKERS["plays"]("ANNA:\nyes\n\nSir John:\nno\n")
REST = "x\n" * 100  # so much that the beginning is the first half


def faults(checker, piece, known=()):
    return checker.judge(piece, Place(0, known)).faults


SOUND = [
    (C, "int f(a[2]) { return '\"' + \"}\\\"\" [0]; } /* ( ' */ // { don't\n"),
    (C, '#  error don\'t {\nchar *s = "two \\\nlines";\n'),
    (C, "int url = 3; // http://x/*y\n"),
    (C, 'extern "C" {\nint f() {\n}\n}\n'),
    (LATEX, "\\begin{a} \\begin{b} \\end{b} \\end {a}\n"),
    (
        LATEX,
        "$a$, $$b$$, $c$$d$, \\(e\\) \\[ f \\begin{array}{c} \\mbox{$g$} \\end{array} \\] 5\\$\n",
    ),
    (LATEX, "5\\$ \\\\[2pt] % $ \\begin{x}\n"),
    (LATEX, "\\begin{verbatim}\n$ \\begin{q}\n\n\\end{verbatim} \\verb|$| \\verb+\\end{z}+\n"),
    (LATEX, "\\begin{document}\n"),
    (PLAYS, "ANNA:\nSo be it: yes\nno:\n\nSir John:\n"),
]
WRONG = [
    (C, "f(]\n", {"braces"}),
    (C, "}\n", {"braces"}),
    (C, "f(a;\n}\n", {"braces"}),
    (C, "int f() {\n", {"braces"}),
    (C, 'char *s = "a;\n', {"quotes"}),
    (C, 'char *s = "a\\";\n', {"quotes"}),
    (C, "c = 'a;\n", {"quotes"}),
    (C, "a */ b\n", {"comments"}),
    (C, "/* a\n", {"comments"}),
    (C, 'f( "\n /*\n', {"braces", "quotes", "comments"}),
    (LATEX, "\\begin{a} \\begin{b} \\end{a}\n", {"environments"}),
    (LATEX, "\\end{a}\n", {"environments"}),
    (LATEX, "\\begin{a}\n", {"environments"}),
    (LATEX, "\\begin{a} $x \\end{a}\n", {"mathematics"}),
    (LATEX, "$a\n\nb$ $c$\n", {"mathematics"}),
    (LATEX, "\\[ a \\)\n", {"mathematics"}),
    (LATEX, "$$ a $\n", {"mathematics"}),
    (LATEX, "\\begin{verbatim} \\end{verbatimm}\n", {"environments"}),
    (PLAYS, "BORIS:\nyes\n", {"speakers"}),
    (PLAYS, "ANNA:\nyes\n\nAnna:\nno\n", {"speakers"}),
    (PLAYS, "nobody speaks\n", {"speakers"}),
]


@pytest.mark.parametrize(("checker", "piece"), SOUND)
def test_what_is_sound_has_no_fault(checker, piece):
    assert faults(checker, piece + REST) == set()


@pytest.mark.parametrize(("checker", "piece", "expected"), WRONG)
def test_what_is_wrong_is_named(checker, piece, expected):
    assert faults(checker, piece + REST) == expected
    assert faults(checker, REST + piece) <= expected


@pytest.mark.parametrize(
    ("checker", "opening"), [(C, "f() {\n"), (C, "/* a\n"), (LATEX, "\\begin{a}\n"), (LATEX, "$a\n")]
)
def test_what_the_second_half_opens_may_stay_open(checker, opening):
    assert faults(checker, REST + opening) == set()
    assert faults(checker, opening + REST) != set()


def test_the_line_that_the_cut_goes_through_is_left_out():
    assert faults(C, REST + 'puts("cut he') == set()
    assert faults(PLAYS, "ANNA:\nyes\n\nBORI") == set()


def test_what_is_open_at_the_place_is_known():
    assert faults(LATEX, "\\end{b}\n\\end{a}\n" + REST, ("a", "b")) == set()
    assert faults(LATEX, "\\end{a}\n" + REST, ("a", "b")) == {"environments"}
    assert faults(PLAYS, "BORIS:\nyes\n", ("BORIS",)) == set()


def test_how_much_there_is_to_judge():
    assert C.judge("f(a) { /* ( */ '\\n'; }\n", Place(0)).found == 4
    assert LATEX.judge("\\begin{a} $x$ \\end{a}\n", Place(0)).found == 2
    assert PLAYS.judge("ANNA:\nyes\n\nANNA:\nno\n", Place(0)).found == 2


def test_pieces_begin_where_nothing_is_open():
    text = "int a;\nint f() {\n  b;\n}\n/*\n\n*/\nint c;\n"
    assert [text[place.at :][:5] for place in C.places(text, 1)] == ["int f", "/*\n\n*", "int c", ""]
    assert [place.at for place in C.places(text, 10)] == [place.at for place in C.places(text, 1)][1:]
    # both branches of a condition open; the end of the function puts it right
    text = "int f() {\n#ifdef A\n  if (a) {\n#else\n  if (b) {\n#endif\n  }\n}\nint c;\n"
    assert "int c;\n" in [text[place.at :] for place in C.places(text, 1)]
    text = "\\begin{a}\n\nb $c\n\nd$\n\n\n\\begin{verbatim}\n\n\\end{verbatim}\n\ne\n"
    found = LATEX.places(text, 1)
    assert [text[place.at :].lstrip()[:1] for place in found[:2]] == ["b", "d"]
    assert {place.known for place in found[:2]} == {("a",)}
    text = "A:\nb\n\nC:\nd\n\nE:\nf\n"
    assert PLAYS.places(text, 2) == [Place(6, ("A",)), Place(12, ("A", "C"))]


@pytest.mark.parametrize("name", CHECKERS)
def test_garbage_is_judged_and_what_is_sound_is_sound(name):
    checker, chance = CHECKERS[name](MADE_UP[name](5000)), random.Random(1)
    text = MADE_UP[name](20_000)
    assert checker.judge(text, Place(0)).faults == set()
    for _ in range(300):
        garbage = "".join(chance.choices("(){}[]\"'\\/*$%\n :ab\0é\\begin{a}\\end{a}", k=chance.randrange(200)))
        assert checker.judge(garbage, Place(0)).faults <= set(checker.aspects)
        assert all(0 < place.at <= len(garbage) for place in checker.places(garbage, 1))


def test_the_program_compares_three_sides(quick):
    printed, found = quick(structure, "--cases", "c", "--pieces", "3")
    figures = found["cases"]["c"]["figures"]
    assert figures["held-out text, all of it, % of pieces"] == 100
    assert figures["charlm, all of it, % of pieces"] < 100
    assert figures["5-gram, to be judged in 1,000 characters"] > 1
    assert (
        figures["held-out text, longest copy, characters, of all"] > figures["charlm, longest copy, characters, of all"]
    )
    assert "c, c: 3 pieces of 400 characters" in printed


def test_a_kind_needs_a_run(capsys):
    for arguments in ([], ["--runs", "prose=x"], ["--runs", "c"]):
        with pytest.raises(SystemExit):
            structure.main(arguments)
    assert "prose=x is not KIND=RUN,...; kinds are c, latex, plays" in capsys.readouterr().err


def test_the_table_has_a_row_for_each_measure():
    figures = {"text, braces, %": 90.0, "text, copy": 7.0, "charlm, braces, %": 80.0, "charlm, copy": 12.0}
    assert by_measure({"cases": {"c": {"title": "C", "figures": figures}}}) == [
        "|  |  | text | charlm |",
        "|---|---|---|---|",
        "| C | braces, % | 90.0 | 80.0 |",
        "|  | copy | 7 | 12.0 |",
    ]
