"""Bytes: the id of a byte is its value. No vocabulary to learn, every text and every file fits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from charlm.config import TokenizerConfig
from charlm.tokenizers.base import Ids, Tokenizer
from charlm.tokenizers.escapes import to_bytes
from charlm.tokenizers.saved import no_other_fields

BYTE_IDS = 256
BYTES = tuple(bytes([value]) for value in range(BYTE_IDS))


class ByteTokenizer(Tokenizer):
    """UTF-8 bytes; V = 256. A character outside ASCII is two to four ids."""

    family = "byte"
    name = "byte"

    def __init__(self) -> None:
        super().__init__(BYTES)

    @classmethod
    def train(cls, config: TokenizerConfig, size: int | None, chunks: Iterable[str]) -> ByteTokenizer:
        """Nothing to learn; the text is not read."""
        return cls()

    @classmethod
    def from_json(cls, values: dict[str, Any], where: Path) -> ByteTokenizer:
        no_other_fields(values, (), where)
        return cls()

    def _settings(self) -> dict[str, Any]:
        return {}

    def _encode(self, text: str, unknown: str) -> Ids:
        return np.frombuffer(to_bytes(text, unknown), dtype=np.uint8)

    def decode_bytes(self, ids: Any) -> bytes:
        return self._checked(ids).astype(np.uint8).tobytes()
