"""The command that trains with given settings, to be pasted into a shell."""

from __future__ import annotations

import shlex
from typing import Any

from charlm.cli.options import off_name
from charlm.config import SECTIONS, Config, Setting, flag_of, resolve, settings_of
from charlm.config.ranges import shown_value
from charlm.config.sections import NGRAM_SETTINGS

# A training would choose them by itself; it chooses lanes and passes only together with the size.
ALWAYS = ("hidden_size", "learning_rate", "dropout")


def train_command(config: Config) -> str:
    """``charlm train TEXT --hidden-size 512 ...``: the texts, a flag for each setting that is not the default."""
    usual, words = resolve([]).config, []
    always = (*ALWAYS, *(NGRAM_SETTINGS if config.model.ngram_embedding_size else NGRAM_SETTINGS[:1]))
    for section, cls in SECTIONS.items():
        for name, known in settings_of(cls).items():
            value = getattr(getattr(config, section), name)
            if name != "corpus" and (name in always or value != getattr(getattr(usual, section), name)):
                words += _flag(known, value)
    texts = list(config.corpus.corpus)
    # behind --, a file may be called like a flag
    words = [*words, "--", *texts] if any(text.startswith("-") for text in texts) else [*texts, *words]
    return shlex.join(["charlm", "train", *words])


def _flag(known: Setting, value: Any) -> list[str]:
    if known.type is bool:
        return [flag_of(known.name) if value else off_name(known)]
    values = value if known.type is tuple else (value,)
    return [word for one in values for word in (flag_of(known.name), shown_value(one))]
