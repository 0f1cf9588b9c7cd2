"""Checkpoints written anew, hashes and all, as somebody would who wants them to be believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from specimen import Arrays

from charlm.runs import arrays, records


def write_arrays(path: Path, content: Arrays) -> None:
    """Make them the content of `path`, whatever they are."""
    path.write_bytes(b"".join(bytes(piece) for piece in arrays.pieces(content)))


def sign(step: Path) -> None:
    """Make a manifest that vouches for what lies in the step's folder."""
    manifest = step / "manifest.json"
    record = records.load(manifest.read_bytes(), manifest.name)
    for name, facts in record["files"].items():
        content = (step / name).read_bytes()
        facts |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest.write_bytes(records.dump(record))


def vouch(run: Path, fingerprint: str | None = None) -> None:
    """Make a run.json that vouches for the tokenizer's files, of this fingerprint where one is given."""
    path = run / "run.json"
    record = records.load(path.read_bytes(), path.name)
    for name, facts in record["files"].items():
        content = (run / name).read_bytes()
        facts |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path.write_bytes(records.dump(record | ({"vocabulary": fingerprint} if fingerprint else {})))


def fingerprint_of(form: bytes) -> str:
    """The fingerprint that a tokenizer of this saved form has."""
    canonical = json.dumps(json.loads(form), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _with(value: float) -> Callable[[Arrays, str], Arrays]:
    def change(weights: Arrays, name: str) -> Arrays:
        array = weights[name].copy()
        array.reshape(-1)[array.size // 2] = value
        return weights | {name: array}

    return change


TENSORS: dict[str, Callable[[Arrays, str], Arrays]] = {
    "missing": lambda weights, name: {key: array for key, array in weights.items() if key != name},
    "extra": lambda weights, name: weights | {"x_more": weights[name]},
    "renamed": lambda weights, name: {key + "_" * (key == name): array for key, array in weights.items()},
    "longer": lambda weights, name: weights | {name: np.concatenate([weights[name], weights[name]])},
    "flat": lambda weights, name: weights | {name: weights[name].reshape(-1, 1)},
    "empty": lambda weights, name: weights | {name: weights[name][:0]},
    "double": lambda weights, name: weights | {name: weights[name].astype(np.float64)},
    "whole": lambda weights, name: weights | {name: np.ones(weights[name].shape, dtype=np.int32)},
    "nan": _with(float("nan")),
    "inf": _with(float("-inf")),
}
