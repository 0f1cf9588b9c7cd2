"""The pages say what the code does: settings, commands, flags, keys, codes, paths and links; examples run."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import click
import pytest

from charlm import errors
from charlm.cli.entry import charlm
from charlm.cli.options import off_name
from charlm.config import PRESETS, SECTIONS, SamplingConfig, file_layer, flag_of, resolve, settings_of
from charlm.config.presets import EVERY, OWN
from charlm.config.toml import read_toml
from charlm.corpora import list_recipes, read_recipe
from charlm.errors import CharlmError

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md"), *ROOT.glob("corpora/*.md")])

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:\A|(?<=\n\n))(?: {4}.*\n|\n(?= {4}))+", re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OUR_FILE = re.compile(r"(?:charlm|tests|docs|benchmarks)/[a-z0-9_./]*")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_|]*|\.\.\.")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def fenced(text, language):
    return [block for name, block in FENCED.findall(text) if name == language]


def blocks_and_spans(text):
    """The shell-like blocks of a page, and its inline code with line ends as spaces."""
    blocks = [block for name, block in FENCED.findall(text) if name in ("", "console", "sh")]
    text = FENCED.sub("", text)
    blocks += INDENTED.findall(text)
    return blocks, [" ".join(span.split()) for span in INLINE.findall(INDENTED.sub("", text))]


def charlm_calls(line):
    """The arguments of each charlm that a shell line, or a line that looks like one, calls."""
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:  # prose with an apostrophe
        words = line.split()
    calls, fresh, skip = [], True, False
    for at, word in enumerate(words):
        if word == "charlm" and (fresh or words[max(at - 1, 0)] == "-m"):
            calls.append([])
            fresh = False
        elif word and set(word) <= set("|;&()"):
            calls.append(None)  # what follows is of another command
            fresh = True
        elif set(word) <= set("<>"):
            skip = True
        elif skip:
            skip = False
        elif not (fresh and (word == "$" or re.fullmatch(r"\w+=.*", word))):
            fresh = False
            if calls and calls[-1] is not None:
                calls[-1].append(word)
    return [call for call in calls if call is not None]


def flags_of(command):
    return {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"-h", "--help"}


def leaves(group, path=()):
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield from leaves(command, (*path, name)) if isinstance(command, click.Group) else [((*path, name), command)]


ALL_FLAGS = set().union(*(flags_of(command) for _, command in leaves(charlm()))) | {"--version"}


def wrong_in(words, parse):
    """What is wrong with the arguments of a call of charlm, or None."""
    command = charlm()
    words = [word.strip("[],") for word in words]
    while isinstance(command, click.Group) and words and not re.fullmatch(r"\d+\.\d.*|\.\.\.", words[0]):
        if words[0].startswith("-"):
            return None if words[0] in flags_of(command) else f"no option {words[0]}"
        if PLACEHOLDER.fullmatch(words[0]):
            return None
        command = command.get_command(None, words.pop(0))
        if command is None:
            return "no such command"
    if isinstance(command, click.Group):
        return None
    for word in words:
        for flag in word.partition("=")[0].split("/"):
            if flag.startswith("--") and flag not in flags_of(command):
                return f"no option {flag}"
    if parse and not any(PLACEHOLDER.fullmatch(word) or word in ("-h", "--help") for word in words):
        try:
            command.make_context("charlm", words)
        except (click.ClickException, CharlmError) as error:
            return str(error)
    return None


def test_the_reader_of_calls_reads_calls():
    assert charlm_calls("$ A=1 charlm eval --run x > y; charlm runs rm x | tail") == [
        ["eval", "--run", "x"],
        ["runs", "rm", "x"],
    ]
    assert charlm_calls("zcat a.gz | charlm train - # it's piped") == [["train", "-"]]
    assert charlm_calls("python -m charlm eval") == [["eval"]]
    assert charlm_calls("pip install charlm --pre") == []
    assert charlm_calls("charlm: error: no run") == []
    assert wrong_in(["train", "--nope"], parse=False) == "no option --nope"
    assert wrong_in(["trian"], parse=False) == "no such command"
    assert wrong_in(["train", "--tie-weights/--no-tie-weights", "--steps", "N"], parse=True) is None
    assert "must be" in wrong_in(["train", "--steps", "0"], parse=True)


@each_page
def test_commands_and_flags_exist(page):
    blocks, spans = blocks_and_spans(page.read_text())
    lines = [line for block in blocks for line in block.replace("\\\n", " ").split("\n")]
    found = [(line, wrong_in(call, parse=True)) for line in lines for call in charlm_calls(line)]
    found += [(span, wrong_in(call, parse=False)) for span in spans for call in charlm_calls(span)]
    flags = [flag for span in spans if span.startswith("--") for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)]
    found += [(flag, "no command has it") for flag in flags if flag not in ALL_FLAGS]
    assert [(text, wrong) for text, wrong in found if wrong] == []


@each_page
def test_links_and_paths_lead_somewhere(page):
    text = page.read_text()
    prose = INDENTED.sub("", FENCED.sub("", text))
    links = [link for link in LINK.findall(INLINE.sub("", prose)) if not link.startswith(("https:", "http:"))]
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target.read_text()), link
    paths = [path for path in INLINE.findall(prose) if OUR_FILE.fullmatch(path)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def headings(text):
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}


@each_page
def test_every_page_of_docs_is_named_somewhere_else(page):
    if page.parent == DOCS and page.name != "README.md":
        others = [other.read_text() for other in PAGES if other != page]
        assert any(f"{page.name})" in text or f"{page.name}#" in text for text in others)


def cells(page):
    """The rows of all tables of a page."""
    return [
        [cell.strip() for cell in line.strip("|\n").split(" | ")]
        for line in page.read_text().splitlines()
        if line.startswith("| ")
    ]


def row_of(known):
    """The first cells of a setting's row in docs/settings.md."""
    flag = f"`{flag_of(known.name)}`" if known.name != "corpus" else "`TEXT...`"
    if known.type is bool:
        flag += f" / `{off_name(known)}`"
    value = list(known.default) if isinstance(known.default, tuple) else known.default
    default = "–" if value is None else f"`{json.dumps(value)}`"
    return [f"`{known.name}`", flag, default, known.describe(), known.help]


@pytest.mark.parametrize("section", [*SECTIONS.values(), SamplingConfig])
def test_settings_are_listed_with_flag_default_range_and_meaning(section):
    rows = [row[:5] for row in cells(DOCS / "settings.md")]
    assert [row_of(known) for known in settings_of(section).values() if row_of(known) not in rows] == []


def test_no_setting_is_listed_that_is_none():
    listed = {row[0] for row in cells(DOCS / "settings.md") if len(row) == 5}
    known = {f"`{name}`" for section in (*SECTIONS.values(), SamplingConfig) for name in settings_of(section)}
    assert listed - known == {"setting"}


def test_presets_are_listed_with_their_values():
    rows = cells(DOCS / "settings.md")
    for name, values in [("every preset", EVERY), *((f"`{name}`", OWN[name]) for name in PRESETS)]:
        settings = ", ".join(f"`{key} = {json.dumps(value)}`" for key, value in values.items())
        assert [name, settings] in rows


def test_dependencies_are_listed_with_their_ranges():
    rows = {row[0]: row[1] for row in cells(DOCS / "dependencies.md")}
    for line in read_toml(ROOT / "pyproject.toml")["project"]["dependencies"]:
        name, numbers = re.match(r"[a-z-]+", line)[0], re.findall(r"\d+(?:\.\d+)+|\d+", line.partition(";")[0])
        assert re.findall(r"\d+(?:\.\d+)+|\d+", rows[f"`{name}`"]) == numbers


def test_exit_codes_are_those_of_the_errors():
    rows = {row[0]: row[1] for row in cells(DOCS / "runs.md")}
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, CharlmError) and error is not CharlmError:
            assert f"`{error.__name__}`" in rows[f"{error.exit_code}"]


def test_metrics_and_resume_rules_are_those_of_training():
    from charlm.training import events
    from charlm.training.assembly import CHANGEABLE

    page = (DOCS / "runs.md").read_text()
    spans = set(INLINE.findall(page))
    recorded = [kind for kind in vars(events).values() if hasattr(kind, "kind") and kind.kind != "sample"]
    keys = {"kind", "crc"} | {field.name for kind in recorded for field in dataclasses.fields(kind)}
    assert keys - spans == set()
    assert {kind.kind for kind in recorded} - spans == set()
    (allowed,) = re.findall(r"^\*\*May change\*\*:(.*?)\n\n", page, re.MULTILINE | re.DOTALL)
    assert set(INLINE.findall(allowed)) == CHANGEABLE


def test_all_that_train_prints_as_json_is_listed(capsys):
    from charlm.cli.ending import summary_record
    from charlm.cli.view import JsonView
    from charlm.training import events
    from charlm.training.summary import Summary

    view, folder = JsonView(), Path("x")
    view.notice("")
    view.end_record(
        summary_record(
            Summary(
                run=folder, checkpoint=folder, score=None, training=None, baselines={}, judgement=[], division="by hand"
            )
        )
    )
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    records += [
        {"kind": kind.kind, **dict.fromkeys(field.name for field in dataclasses.fields(kind))}
        for kind in vars(events).values()
        if hasattr(kind, "kind")
    ]
    ((whole, further),) = re.findall(
        r"^## metrics\.jsonl\n(.*?)^### charlm train --json\n(.*?)^## ",
        (DOCS / "runs.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    kept, printed = set(INLINE.findall(whole)), set(INLINE.findall(further))
    for record in records:
        # what is kept is printed too; what is only printed is described beside that
        spans = kept if record["kind"] in kept else printed
        assert {record["kind"], *record} - spans - {"kind"} == set(), record["kind"]
    assert {record["kind"] for record in records} - kept == {"notice", "sample", "log", "summary"}


def test_the_keys_of_an_evaluation_are_listed():
    from charlm.evaluation import Evaluation, Score, parse_protocol

    score = Score(total_nats=1.0, tokens=1, characters=1, bytes=1)
    found = Evaluation(score=score, accuracy=None, interval=None, protocol=parse_protocol("stream"), split="test")
    (listed,) = re.findall(r"`charlm eval --json` prints `(.*?)`", (DOCS / "evaluation.md").read_text(), re.DOTALL)
    assert listed.replace("\n", " ").split(", ") == list(found.to_json())


def test_named_corpora_are_listed_as_their_recipes_say(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("CHARLM_CORPORA", raising=False)
    rows = {row[0]: row for row in cells(DOCS / "corpora.md")}
    for recipe in list_recipes():
        assert f"{recipe.text_characters:,}" in rows[f"`{recipe.name}`"]
        assert any(recipe.licence.split()[0] in cell for cell in rows[f"`{recipe.name}`"])


def test_what_can_be_added_to_is_described_on_its_page():
    from charlm.evaluation import BASELINES, PROTOCOLS
    from charlm.generation import TRANSFORMS
    from charlm.models import CELLS
    from charlm.tokenizers import TOKENIZERS
    from charlm.training.optimizers import OPTIMIZERS
    from charlm.training.schedules import SCHEDULES

    flags = {name: "--" + name.replace("_", "-") for name in TRANSFORMS}
    wanted = {
        "models": CELLS,
        "generation": flags.values(),
        "tokenizers": TOKENIZERS,
        "training": [*OPTIMIZERS, *SCHEDULES],
        "evaluation": [*BASELINES, *PROTOCOLS],
    }
    missing = []
    for page, names in wanted.items():
        text = INDENTED.sub("", FENCED.sub("", (DOCS / f"{page}.md").read_text()))
        words = {word for span in INLINE.findall(text) for word in re.split(r"[\s:,]+", span)}
        missing += [(page, name) for name in names if name not in words]
    assert missing == []


def test_every_command_is_shown_somewhere():
    pages = " ".join(page.read_text() for page in PAGES)
    pages = re.sub(r"\s+", " ", pages)
    assert [path for path, _ in leaves(charlm()) if f"charlm {' '.join(path)}" not in pages] == []


def test_the_examples_in_toml_are_read(tmp_path):
    (recipe,) = fenced((DOCS / "corpora.md").read_text(), "toml")
    (settings,) = fenced((DOCS / "settings.md").read_text(), "toml")
    (tmp_path / "corpus.toml").write_text(recipe)
    (tmp_path / "mine.toml").write_text(settings)
    assert read_recipe(tmp_path / "corpus.toml").text_characters == 166131
    assert resolve([file_layer(tmp_path / "mine.toml")]).config.model.hidden_size == 32


def test_the_examples_in_python_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CHARLM_CHECKPOINTS", raising=False)
    names = {}
    for block in fenced((DOCS / "python.md").read_text(), "python"):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert capsys.readouterr().out
