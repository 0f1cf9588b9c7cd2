"""Recipes: those that come with charlm are sound, and every mistake in one is named with its file and key."""

import os
import pwd
import re
from pathlib import Path

import pytest

from charlm.config.folders import cache_folder
from charlm.corpora import find_installed, list_recipes, load_recipe, read_recipe, recipe_paths
from charlm.corpora.folders import recipe_folders, text_folder
from charlm.errors import ConfigError, CorpusError

OURS = Path(__file__).resolve().parents[2] / "corpora"
SHA = "a" * 64
GOOD = f'title = "T"\nlicence = "L"\n[[source]]\nurl = "https://example.invalid/t.txt"\nsha256 = "{SHA}"\n'


@pytest.mark.parametrize("name", ["c", "latex", "latex-math", "shakespeare"])
def test_our_recipes(name):
    recipe = read_recipe(OURS / name / "corpus.toml")
    assert recipe.name == name
    assert recipe.licence
    assert recipe.description
    assert recipe.split.validation
    assert recipe.split.test
    assert recipe.text_sha256
    assert recipe.text_characters > 2_000_000
    assert all(source.package and source.members and source.root for source in recipe.sources)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (GOOD.replace("licence", "licnce"), r"licence is missing \(did you mean licnce\?\)"),
        (
            GOOD.replace("https://", "https://[::1/"),
            r"\[source 1\]: url must be the address of a file, was 'https://\[",
        ),
        (re.sub("https://[^/]*/", "https://h:port/", GOOD), r"url must be the address of a file, was 'https://h:port"),
        (re.sub('https://[^"]*', "https://host/?q", GOOD), r"url must be the address of a file, was 'https://host/"),
        (GOOD + 'sha266 = "x"', r"\[source 1\]: no key 'sha266' \(did you mean sha256\?\)"),
        ('colour = "red"\n' + GOOD, r"no key 'colour'"),
        (GOOD.replace('"T"', "7"), r"title must be text, was 7"),
        (GOOD.replace('"T"', '""'), r"title must not be empty"),
        (GOOD.replace(SHA, SHA[1:]), r"\[source 1\]: sha256 must be 64 hexadecimal digits"),
        (GOOD.replace("https://", "ftp://"), r"\[source 1\]: url must start with https://, was 'ftp:"),
        (GOOD + 'package = "p"', r"\[source 1\]: package must be given, or 'url', but not both"),
        ('title = "T"\nlicence = "L"\n', r"source is missing"),
        ('title = "T"\nlicence = "L"\nsource = []\n', r"source must not be empty"),
        ('title = "T"\nlicence = "L"\nsource = "x"\n', r"source must be tables, written \[\[source\]\]"),
        (GOOD + "members = 3", r"members must be a list of texts, was 3"),
        (GOOD + 'members = ["a", 3]', r"members must be a list of texts"),
        (GOOD + 'encoding = "klingon"', r"\[source 1\]: encoding must be one that Python knows.*was 'klingon'"),
        (GOOD + "max_bytes = 0", r"max_bytes must be a whole number above 0, was 0"),
        (GOOD + "max_bytes = true", r"max_bytes must be a whole number above 0, was True"),
        ('converter = "pdf"\n' + GOOD, r"converter must be one of markdown-play, plain, was 'pdf'"),
        (GOOD + '[split]\nshares = "90/20"', r"\[split\]: shares cannot be used: .*adds up to 110"),
        (GOOD + '[split]\nshares = "90/10"\ntest = ["a"]', r"\[split\]: shares cannot stand beside"),
        (GOOD + '[split]\nvalidaton = ["a"]', r"\[split\]: no key 'validaton' \(did you mean validation\?\)"),
        (GOOD + '[text]\nsha256 = "12"', r"\[text\]: sha256 must be 64 hexadecimal"),
        (GOOD + "[text]\ncharacters = -1", r"\[text\]: characters must be a whole number above 0, was -1"),
        (GOOD + "[text]\nlines = 1", r"\[text\]: no key 'lines'"),
        (
            GOOD + '[[repair]]\ndocument = "d"\npattern = "("\nreplacement = ""',
            r"\[repair 1\]: pattern is not a regular",
        ),
        (
            GOOD + f'[[repair]]\ndocument = "d"\npattern = "{"(" * 5000}"\nreplacement = ""',
            r"\[repair 1\]: pattern is not a regular",
        ),
        (
            GOOD + '[[repair]]\ndocument = "d"\npattern = "a{99999999999999999999}"\nreplacement = ""',
            r"\[repair 1\]: pattern is not a regular",
        ),
        (
            GOOD + '[[repair]]\ndocument = "d"\npattern = "(a)"\nreplacement = "\\\\2"',
            r"\[repair 1\]: replacement does not fit its pattern: invalid group reference 2",
        ),
        (GOOD + "max_bytes = " + "9" * 5000, r"is not valid TOML"),
        (GOOD + "max_bytes = 0x" + "F" * 5000, r"max_bytes must be a whole number above 0, was a whole number of"),
        (GOOD.replace("[[source]]", "[source]"), r"source must be tables"),
        ("title = ", r"is not valid TOML"),
        ("\xff", r"is not valid TOML"),
        ("[[" * 5000, r"is not valid TOML"),
        ("#" * (2**17 + 1), r"longer than 131072 bytes"),
    ],
)
def test_each_mistake_is_named(recipes, broken, message):
    path = recipes.folder / "demo" / "corpus.toml"
    path.parent.mkdir()
    path.write_bytes(broken.encode("latin-1"))
    with pytest.raises(CorpusError, match=message) as caught:
        load_recipe("demo")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("behind", ["", "?sig=ab/cd", "#part/2", "/?a=/b#c/d"])
def test_a_file_is_named_by_its_address_less_what_stands_behind(recipes, behind):
    source = re.sub('https://[^"]*', f"https://host/a/x.tar.gz{behind}", GOOD)
    assert load_recipe(recipes.write("demo", source=source.partition("[[source]]\n")[2]).parent.name).sources[
        0
    ].filename == ("x.tar.gz")


def test_a_name_that_is_no_file_name(recipes):
    path = recipes.folder / "bad name" / "corpus.toml"
    path.parent.mkdir()
    path.write_text(GOOD)
    with pytest.raises(CorpusError, match="the folder's name must be of letters"):
        list_recipes()


def test_an_unknown_corpus_is_answered_with_the_nearest():
    with pytest.raises(CorpusError, match=r"no corpus 'shakespere': choose .*\(did you mean shakespeare\?\)"):
        load_recipe("shakespere")


def test_the_first_folder_with_a_name_wins(recipes, tmp_path):
    here = tmp_path / "work" / "corpora"
    for folder in (recipes.folder, here):
        (folder / "demo").mkdir(parents=True)
        (folder / "demo" / "corpus.toml").write_text(GOOD.replace('"T"', f'"{folder.name}"'))
    (here / "other").mkdir()
    (here / "other" / "corpus.toml").write_text(GOOD)
    (here / "no-recipe").mkdir()
    assert load_recipe("demo").title == recipes.folder.name
    assert {"demo", "other", "shakespeare"} <= set(recipe_paths())
    assert "no-recipe" not in recipe_paths()


def test_folders_of_the_environment(monkeypatch):
    monkeypatch.setenv("HOME", "")
    assert cache_folder({"CHARLM_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b", "HOME": "/c"}) == Path("/b/charlm")
    # an empty one is none: what the system has of the user holds
    assert cache_folder({"HOME": ""}) == Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "charlm"
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)  # nobody that the system knows
    with pytest.raises(ConfigError, match="set HOME or CHARLM_CACHE"):
        cache_folder({"HOME": ""})
    assert cache_folder({"HOME": "/c"}) == Path("/c/.cache/charlm")
    shipped = recipe_folders({})[-1]
    assert text_folder(shipped / "x" / "corpus.toml", {"CHARLM_CACHE": "/a"}) == Path("/a/corpora/x")
    assert text_folder(Path("corpora/x/corpus.toml"), {"CHARLM_CACHE": "/a"}) == Path("corpora/x/text")


def test_only_what_makes_the_text_changes_its_key(recipes):
    path = recipes.write("demo", source=GOOD.partition("[[source]]\n")[2])
    key = load_recipe("demo").key
    content = path.read_text()
    path.write_text(content.replace('"Test"', '"Another title"'))
    assert load_recipe("demo").key == key
    path.write_text(content.replace(SHA, "b" * 64))
    assert load_recipe("demo").key != key


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ('[split]\ntest = ["demo/zzz*"]', r"\[split\]: test 'demo/zzz\*' matches no document"),
        ('[split]\nvalidation = ["demo/a*"]\ntest = ["demo/*"]', r"\[split\]: 'demo/\*' is in validation and in test"),
        (
            '[[repair]]\ndocument = "demo/a.txt"\npattern = "x"\nreplacement = "y"',
            r"\[repair\]: 'x' matches 0 times, not 1, in 'demo/a.txt'",
        ),
        (
            '[[repair]]\ndocument = "demo/z.txt"\npattern = "x"\nreplacement = "y"',
            r"\[repair\]: no document 'demo/z.txt' in this corpus",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_its_source(server, recipes, rest, message):
    from charlm.corpora import get_corpus

    content = recipes.tar({"a.txt": b"one", "b.txt": b"two"})
    source = recipes.url_source(server.serve("/demo.tar.gz", content), content, 'name = "demo"\nmembers = ["*"]')
    recipes.write("demo", source=source, rest=rest)
    with pytest.raises(CorpusError, match=message):
        get_corpus("demo", allow_loopback_http=True)


def test_fetched_texts_are_those_that_the_recipes_pin():
    """Looks at what is fetched on this machine; fetching is not this test's."""
    found = [(recipe, find_installed(recipe)) for recipe in map(read_recipe, sorted(OURS.glob("*/corpus.toml")))]
    if not any(installed for _, installed in found):
        pytest.skip("no named corpus has been fetched here")
    for recipe, installed in found:
        if installed:
            text = installed.path.read_bytes().decode()
            assert len(text) == recipe.text_characters
            speeches = re.findall(r"(?:.+:\n(?:.+\n)+\n)", text) if recipe.name == "shakespeare" else [text]
            assert "".join(speeches) == text
