"""What docs/json.md says of each command's JSON is what the command prints."""

import json
import re
from pathlib import Path

import click
import pytest

from charlm.cli.command import Group
from charlm.cli.entry import charlm

pytestmark = pytest.mark.slow  # each command is a process of its own
PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `charlm (.+?)` \| .+? \| (.+) \|$", PAGE, re.MULTILINE)
KEYS = {command: re.findall(r"`(\w+)`", keys) for command, keys in ROWS}
# of a command that says "the same"
SAME = {"runs show": "runs list", "corpora show NAME": "corpora list"}
# what stands for the words of the page, and what makes a command short
WORDS = {"TEXT": "cats.txt", "FILE": "cats.txt", "WORDS": "The cat sat", "NAME": "latex"}
SHORT = {"train": ["--steps", "2", "--hidden-size", "8"], "generate": ["--length", "5"], "compress": ["--output", "x"]}


def with_json(found, path=()):
    """The commands that have the option."""
    if isinstance(found, Group):
        for name in found.table:
            yield from with_json(found.get_command(click.Context(found), name), (*path, name))
    elif any(parameter.name == "json" for parameter in found.params):
        yield " ".join(path)


@pytest.mark.parametrize("command", KEYS)
def test_it_prints_the_keys_of_its_row(trained, command):
    words = [WORDS.get(word, word) for word in command.split()]
    printed = trained.run(*words, *SHORT.get(words[0], ()), "--json").decode()
    records = [json.loads(line) for line in printed.splitlines()]
    assert records
    assert all(list(record) == KEYS[SAME.get(command, command)] for record in records)


def test_every_command_that_prints_json_is_on_the_page():
    commands = list(with_json(charlm()))
    assert len(commands) > 10
    for command in commands:
        assert re.search(rf"`charlm {command}[ `]", PAGE), command
