"""One trained tokenizer of every family in the table, for the contract tests."""

from __future__ import annotations

import pytest

from charlm.config import TokenizerConfig
from charlm.tokenizers import TOKENIZERS, Tokenizer, train_tokenizer

#: Words, code, two scripts, runs of spaces, tabs, line ends of both kinds.
TEXT = (
    "KING HENRY:\nOnce more unto the breach, dear friends, once more;\n\n"
    "\tif (x == 0x41) {\r\n\t\treturn  x;   /* the sum */\r\n\t}\n"
    "Der Käse schmeckt, größer als je.   \n"
    "Ночь, улица, фонарь, аптека.\n"
) * 40


def spec_of(family: str) -> str:
    """A spec of that family that `TEXT` can fill."""
    return f"{family}:310" if TOKENIZERS[family].sizes else family


@pytest.fixture(scope="session")
def trained() -> dict[str, Tokenizer]:
    return {family: train_tokenizer(TokenizerConfig(tokenizer=spec_of(family)), [TEXT]) for family in TOKENIZERS}


@pytest.fixture(params=sorted(TOKENIZERS))
def tokenizer(request: pytest.FixtureRequest, trained: dict[str, Tokenizer]) -> Tokenizer:
    return trained[request.param]
