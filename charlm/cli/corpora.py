"""``charlm corpora``: texts to train on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from charlm.cli import console
from charlm.cli.command import Command, Group, Option
from charlm.cli.completion import complete_corpora, complete_texts
from charlm.cli.facts import print_facts
from charlm.cli.layers import resolve_layers
from charlm.cli.options import given, json_option, setting_options
from charlm.cli.progress import choose_progress
from charlm.config import CorpusConfig

if TYPE_CHECKING:
    from charlm.corpora import Recipe

COMMANDS = {
    "list": ("charlm.cli.corpora:list_", "List the named corpora."),
    "get": ("charlm.cli.corpora:get", "Fetch named corpora, verified."),
    "show": ("charlm.cli.corpora:show", "Show what a named corpus is and where it comes from."),
    "check": ("charlm.cli.corpora:check", "Examine a text: size, characters, splits, flaws."),
}
EXAMPLES = (
    ("charlm corpora list", "what there is"),
    ("charlm corpora get shakespeare c", "fetch two of them"),
    ("charlm corpora check notes.txt", "is this text fit to train on?"),
)

corpora = Group(name="corpora", table=COMMANDS, help="Look after texts to train on.", examples=EXAMPLES)


@click.command(name="list", cls=Command, examples=[("charlm corpora list --json", "for a program")])
@json_option("one line of JSON for each corpus")
def list_(json: bool) -> None:
    """List the named corpora: size, and whether they are here."""
    from charlm.corpora import describe, is_fetched, list_recipes

    rows: list[tuple[str, ...]] = []
    problems: list[str] = []
    for recipe in list_recipes(problems):
        here = is_fetched(recipe)
        if json:
            console.print_json({**describe(recipe), "here": here})
        characters = "-" if recipe.text_characters is None else f"{recipe.text_characters:,}"
        rows.append((recipe.name, characters, "yes" if here else "no", recipe.title))
    if not json:
        console.print_table(rows, ("corpus", "characters", "here", "text"))
    for problem in problems:
        console.note(f"left out: {problem}")


@click.command(cls=Command, examples=[("charlm corpora get shakespeare c latex", "")])
@click.argument("name", nargs=-1, required=True, shell_complete=complete_corpora)
@click.option("--quiet", cls=Option, is_flag=True, help="print nothing but errors")
def get(name: tuple[str, ...], quiet: bool) -> None:
    """Fetch each corpus NAME that is not here, verify it and make its text; print where the text is."""
    from charlm.corpora import get_corpus, load_recipe

    for recipe in [load_recipe(one) for one in name]:  # a wrong name is found before anything is fetched
        path = get_corpus(recipe.name, progress=choose_progress(quiet=quiet))
        if not quiet:
            console.print_line(str(path))


@click.command(cls=Command, examples=[("charlm corpora show latex", "sources, licences, split")])
@click.argument("name", shell_complete=complete_corpora)
@json_option("all of it in JSON")
def show(name: str, json: bool) -> None:
    """Show the recipe of the corpus NAME."""
    from charlm.corpora import describe, find_installed, load_recipe

    recipe = load_recipe(name)
    installed = find_installed(recipe)
    if json:
        console.print_json({**describe(recipe), "here": installed is not None})
        return
    facts = [("corpus", recipe.name), ("text", recipe.title), ("", " ".join(recipe.description.split()))]
    facts += [("licence", recipe.licence)]
    if recipe.text_characters is not None:
        facts += [("characters", f"{recipe.text_characters:,}")]
    facts += [("split", _split(recipe))]
    for source in recipe.sources:
        facts += [("source", source.url or f"{source.filename} ({source.package} {source.version})")]
        facts += [("", f"sha256 {source.sha256}")]
    facts += [("recipe", str(recipe.path))]
    facts += [("here", str(installed.path) if installed else f"no; fetch it with: charlm corpora get {recipe.name}")]
    print_facts(fact for fact in facts if any(fact))


@click.command(
    cls=Command, examples=[("charlm corpora check notes.txt", ""), ("charlm corpora check src --include '*.c'", "")]
)
@click.argument("text", nargs=-1, required=True, shell_complete=complete_texts)
@setting_options(CorpusConfig, without=("corpus",))
@json_option("the findings in JSON")
def check(text: tuple[str, ...], json: bool, **settings: Any) -> None:
    """Examine TEXT, named corpora, files or folders: size, characters, flaws, and what model fits."""
    from charlm.corpora import check_corpus
    from charlm.tokenizers.rare import least_count_of

    wanted = resolve_layers(given({"corpus": text, **settings}), None, None).config.corpus
    report = check_corpus(wanted, least_count_of, progress=choose_progress(quiet=json))
    if json:
        console.print_json(dataclasses.asdict(report))
    else:
        notes = [("notes" if index == 0 else "", note) for index, note in enumerate(report.notes)]
        print_facts([("text", report.name), *notes])


def _split(recipe: Recipe) -> str:
    split = recipe.split
    if not split.by_document:
        return f"{split.shares}, contiguous"
    held = [f"{part}: {', '.join(getattr(split, part))}" for part in ("validation", "test") if getattr(split, part)]
    return f"by {split.unit}; {'; '.join(held)}"
