"""Every command of every table: help, examples that parse, -h."""

import shlex
import subprocess
import sys

import click
import pytest

from charlm.cli import entry
from charlm.cli.command import Command, Group
from charlm.cli.entry import charlm


def all_commands(found=None, path=()):
    found = found or charlm()
    yield path, found
    if isinstance(found, Group):
        for name in found.table:
            yield from all_commands(found.get_command(click.Context(found), name), (*path, name))


COMMANDS = dict(all_commands())
EXAMPLES = [(path, line) for path, found in COMMANDS.items() for line, _ in found.examples]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "charlm")
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_has_examples_and_is_on_standard_output(path, flag, capsys, monkeypatch):
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)
    assert entry.run([*path, flag]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("Usage: charlm" + "".join(f" {name}" for name in path))
    assert "Examples:\n  " in out
    assert "-h, --help" in out


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "charlm")
def test_every_option_has_help(path):
    for parameter in COMMANDS[path].params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


@pytest.mark.parametrize(("path", "line"), EXAMPLES, ids=lambda x: x if isinstance(x, str) else " ")
def test_every_example_is_a_command_that_parses(path, line):
    words = shlex.split(line)
    words = words[words.index("charlm") + 1 :]  # behind variables and what pipes into it
    for end in (">", ">>", "|"):
        words = words[: words.index(end)] if end in words else words
    found, context = charlm(), None
    while isinstance(found, Group):
        context = click.Context(found, parent=context)
        if not words:
            return
        found, words = found.get_command(context, words[0]), words[1:]
        assert found is not None, line
    with found.make_context("x", words, parent=context) as parsed:
        assert parsed.command is found
    assert isinstance(found, Command)


@pytest.mark.parametrize("path", [path for path, found in COMMANDS.items() if isinstance(found, Group)], ids=str)
def test_a_group_without_a_command_shows_its_help(path, capsys, monkeypatch):
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)
    assert entry.run(list(path)) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["eval", "--help"],
        ["generate", "--help"],
        ["--version"],
        ["config", "show"],
        ["corpora", "list"],
        ["runs", "list"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported_for_it(arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("CHARLM_CHECKPOINTS", str(tmp_path))
    # a damaged one is opened as far as a sound one
    (tmp_path / "run" / "steps").mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_text("{}")
    code = (
        "import sys\nsys.argv[0] = 'charlm'\nfrom charlm.cli.entry import run\ncode = run(sys.argv[1:])\n"
        "heavy = {'torch', 'rich', 'numpy', 'safetensors', 'sentencepiece'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_back(shell, capsys, monkeypatch):
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)
    assert entry.run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_CHARLM_COMPLETE={shell}_complete" in script
    assert "%(" not in script


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("charlm tr", "train"),
        ("charlm runs ex", "export-config"),
        ("charlm train --device c", "cpu"),
        ("charlm train --hidden-s", "--hidden-size"),
        ("charlm train shakes", "shakespeare"),
    ],
)
def test_completion_completes(words, expected, capsys, monkeypatch):
    monkeypatch.setattr(entry, "_end_on_signals", lambda: None)
    monkeypatch.setenv(entry.COMPLETION_VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert entry.run([]) == 0
    assert f"plain,{expected}" in capsys.readouterr().out.splitlines()
