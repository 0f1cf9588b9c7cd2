"""Named corpora and any text of one's own, as one text with its splits. Cheap to import; no torch, no network."""

from charlm.corpora.corpus import Corpus, CorpusFacts, open_corpus
from charlm.corpora.doctor import CorpusReport, check_corpus
from charlm.corpora.folders import recipe_folders, recipe_paths, text_folder
from charlm.corpora.install import find_installed, get_corpus, is_fetched
from charlm.corpora.progress import NoProgress, Progress
from charlm.corpora.recipe import Recipe, RecipeSplit, Source, describe, list_recipes, load_recipe, read_recipe
from charlm.corpora.splits import DEFAULT_SPLIT, Shares, parse_split

__all__ = [
    "DEFAULT_SPLIT",
    "Corpus",
    "CorpusFacts",
    "CorpusReport",
    "NoProgress",
    "Progress",
    "Recipe",
    "RecipeSplit",
    "Shares",
    "Source",
    "check_corpus",
    "describe",
    "find_installed",
    "get_corpus",
    "is_fetched",
    "list_recipes",
    "load_recipe",
    "open_corpus",
    "parse_split",
    "read_recipe",
    "recipe_folders",
    "recipe_paths",
    "text_folder",
]
