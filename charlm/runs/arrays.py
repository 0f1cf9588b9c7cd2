"""Arrays on disk in the safetensors format: written piece by piece, checked before anything is allocated.

The format (github.com/huggingface/safetensors): eight bytes with the header's length, little-endian; the
header, a JSON table of name -> dtype, shape and begin and end of its data; then the data without holes.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from charlm.errors import RunError
from charlm.runs.records import parse

Arrays = Mapping[str, npt.NDArray[Any]]

# name in the format -> numpy's name; what training and generation are made of, and no more
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "I64": "int64",
    "U64": "uint64",
    "I32": "int32",
    "U32": "uint32",
    "I16": "int16",
    "U16": "uint16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
CODES = {name: code for code, name in DTYPES.items()}
LARGEST_HEADER = 1 << 20
LONGEST_NAME = 200
MOST_AXES = 8


def pieces(arrays: Arrays) -> Iterator[bytes | memoryview]:
    """The file of `arrays`, header first, then the memory of each array, with no copy of the whole.

    Raises:
        ValueError: a dtype or name that the format, as charlm reads it, does not have.
    """
    # subtle: widest items first keep every array aligned in the file, and the name makes the order the same always
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    header, end = {}, 0
    for name, array in ordered:
        if array.dtype.name not in CODES or not _is_name(name) or array.ndim > MOST_AXES:
            raise ValueError(f"cannot store the array {name!r} of dtype {array.dtype} and shape {array.shape}")
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": CODES[array.dtype.name], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    if len(text) > LARGEST_HEADER:
        raise ValueError(f"{len(arrays)} arrays are more than one file holds")
    yield struct.pack("<Q", len(text)) + text
    for _, array in ordered:
        little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        yield little.reshape(-1).view(np.uint8).data


def size_of(arrays: Arrays) -> int:
    """Bytes of the arrays' data."""
    return sum(array.nbytes for array in arrays.values())


def not_finite(arrays: Arrays) -> str | None:
    """The name of an array that holds NaN or infinity, or None."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return name
    return None


def load(content: bytes, where: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file's `content`, by name, writable; memory: the content once more.

    Raises:
        RunError: the header is not one that `pieces` writes for data of this length.
    """
    check_header(content, where)
    try:
        arrays = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise RunError(f"{where} is damaged: {str(error).splitlines()[0]}") from None
    except MemoryError:
        raise RunError(f"{where} ({len(content):,} bytes) does not fit into memory twice") from None
    return dict(sorted(arrays.items()))


def check_header(content: bytes, where: str) -> None:
    """Refuse a header that is anything but names, known dtypes and shapes that fill the data exactly."""
    if len(content) < 8:
        raise RunError(f"{where} is damaged: cut off")
    (length,) = struct.unpack("<Q", content[:8])
    if length > min(LARGEST_HEADER, len(content) - 8):
        raise RunError(f"{where} is damaged: its header says it has {length:,} bytes")
    header = parse(content[8 : 8 + length], f"{where} (header)")
    spans = sorted(_span(name, entry, where) for name, entry in header.items())
    place = 0
    for begin, end, name in spans:
        if begin != place:
            raise RunError(f"{where}: {name!r} begins at {begin}, where the data before it ends at {place}")
        place = end
    if place != len(content) - 8 - length:
        raise RunError(f"{where} is damaged: {place:,} bytes of data expected, {len(content) - 8 - length:,} there")


def _span(name: str, entry: Any, where: str) -> tuple[int, int, str]:
    """Begin, end and name of one array, its entry checked."""
    if not _is_name(name):
        raise RunError(f"{where}: {name[:LONGEST_NAME]!r} cannot be the name of an array")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise RunError(f"{where}: the entry of {name!r} must have dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise RunError(f"{where}: {name!r} has dtype {str(dtype)[:20]!r}: choose {', '.join(DTYPES)}")
    if not _are_sizes(shape) or len(shape) > MOST_AXES:
        raise RunError(f"{where}: the shape of {name!r} must be up to {MOST_AXES} whole numbers")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise RunError(f"{where}: data_offsets of {name!r} must be two whole numbers")
    size = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if offsets[1] - offsets[0] != size:
        raise RunError(f"{where}: {name!r} of shape {shape} needs {size:,} bytes, has {offsets[1] - offsets[0]:,}")
    return offsets[0], offsets[1], name


def _is_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name.isascii() and name.isprintable() and name != "__metadata__"


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**62 for item in value)
