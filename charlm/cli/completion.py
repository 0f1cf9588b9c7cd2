"""``charlm completion``: shell completion; and what texts and runs complete to."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from charlm.cli import console
from charlm.cli.command import Command
from charlm.errors import CharlmError
from charlm.registry import lookup

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = (
    ("charlm completion bash >> ~/.bashrc", "bash"),
    ("charlm completion zsh >> ~/.zshrc", "zsh"),
    ("charlm completion fish > ~/.config/fish/completions/charlm.fish", "fish"),
)


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("shell", metavar="bash|zsh|fish", shell_complete=lambda ctx, param, text: complete(SHELLS, text))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell, to be read by it when it starts."""
    from charlm.cli.entry import COMPLETION_VARIABLE

    lookup(dict.fromkeys(SHELLS), shell, "shell")
    script = get_completion_class(shell)
    assert script is not None, "click knows the three shells"
    root = context.find_root()
    # subtle: click's source() starts the shell to ask for its version; the template alone does not
    values = script(root.command, {}, "charlm", COMPLETION_VARIABLE)
    console.print_line(values.source_template % values.source_vars())


def complete(choices: object, incomplete: str) -> list[CompletionItem]:
    """Those of `choices` that begin like `incomplete`."""
    return [CompletionItem(name) for name in choices if name.startswith(incomplete)]  # type: ignore[attr-defined]


def complete_corpora(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Named corpora."""
    from charlm.corpora.folders import recipe_paths

    return complete(recipe_paths(), incomplete)


def complete_texts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Named corpora, and files."""
    return [*complete_corpora(context, parameter, incomplete), CompletionItem(incomplete, type="file")]


def complete_runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of runs, and folders."""
    from charlm.runs import checkpoints_folder
    from charlm.runs.listing import run_names

    try:
        names = run_names(checkpoints_folder())
    except (CharlmError, OSError):
        names = []
    return [*complete(names, incomplete), CompletionItem(incomplete, type="dir")]
