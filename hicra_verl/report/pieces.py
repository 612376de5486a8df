"""The pieces a report is made of: how numbers, postings and texts become bytes that the page's script reads.

A piece has a name, such as ``rows/0/3``. Its bytes are compressed and written as base64, since a page opened from a
disk may load scripts but not files. What is inside is JSON, or a blob: a header in JSON that says where arrays begin,
then the arrays (little-endian, each at a multiple of 8 bytes).
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hicra_verl.files import make_folder, writing

ROWS_PER_BLOCK = 65_536
ROWS_PER_TEXT = 32
PROMPTS_PER_BLOCK = 1_024
WORD_SHARDS = 256

Array = npt.NDArray[Any]


def packed(data: bytes) -> bytes:
    """A piece's bytes as the page finds them: gzip in base64. Level 1: the time counts, and base64 eats the rest."""
    return base64.b64encode(gzip.compress(data, 1, mtime=0))


def as_json(value: Any) -> bytes:
    """A value as JSON in UTF-8; half of a character becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def columns_blob(columns: Mapping[str, Array]) -> bytes:
    """Arrays of one length, by name.

    Args:
        columns: (N,) each, of a type that the page knows (f4, i4, u4, u2, u1, i1).
    """
    places, size = {}, 0
    for name, values in columns.items():
        places[name] = size
        size = _aligned(size + values.nbytes)
    rows = len(next(iter(columns.values()))) if columns else 0

    def header(start: int) -> dict[str, Any]:
        kinds = {name: [values.dtype.str[1:], start + places[name]] for name, values in columns.items()}
        return {"rows": rows, "columns": kinds}

    body = bytearray(size)
    for name, values in columns.items():
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        body[places[name] : places[name] + values.nbytes] = little.tobytes()
    return _blob(header, bytes(body))


def postings_blob(postings: Mapping[str, tuple[int, bytes]]) -> bytes:
    """For each key, how many rows hold it, and these rows as ``varints`` of their differences."""

    def header(start: int) -> dict[str, Any]:
        found, place = {}, start
        for key, (count, data) in postings.items():
            found[key] = [place, len(data), count]
            place += len(data)
        return {"words": found}

    return _blob(header, b"".join(data for _, data in postings.values()))


def _blob(header: Any, body: bytes) -> bytes:
    """The header says where the body's arrays begin, which depends on the header's own length."""
    start = 0
    while True:
        text = as_json(header(start))
        needed = _aligned(4 + len(text))
        if needed <= start:
            return len(text).to_bytes(4, "little") + text + bytes(start - 4 - len(text)) + body
        start = needed


def _aligned(size: int) -> int:
    return -(-size // 8) * 8


def varints(values: Array) -> tuple[bytes, Array]:
    """Whole numbers below 2^32 as LEB128, seven bits a byte.

    Args:
        values: (N,) of them.

    Returns:
        The bytes, and (N,) how many each number took.
    """
    values = values.astype(np.uint64)
    lengths = np.ones(len(values), dtype=np.int64)
    for bits in (7, 14, 21, 28):
        lengths += values >= (1 << bits)
    ends = np.cumsum(lengths)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    for place in range(5):
        chosen = np.flatnonzero(lengths > place)
        if not len(chosen):
            break
        more = (lengths[chosen] > place + 1).astype(np.uint8) << 7
        digit = ((values[chosen] >> np.uint64(7 * place)) & np.uint64(127)).astype(np.uint8)
        out[ends[chosen] - lengths[chosen] + place] = digit | more
    return out.tobytes(), lengths


def varint(value: int) -> bytes:
    """One number of ``varints``."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def shard_of(word: bytes) -> int:
    """Where a word's postings are: FNV-1a of its UTF-8, as the page's script computes it, too."""
    found = 0x811C9DC5
    for byte in word:
        found = ((found ^ byte) * 0x01000193) & 0xFFFFFFFF
    return found % WORD_SHARDS


@dataclass(frozen=True)
class Store:
    """Where pieces go: into files of a folder, or, for one page, into memory.

    Attributes:
        folder: of the pieces; None for one page.
        kept: the pieces of one page, as base64.
    """

    folder: Path | None
    kept: dict[str, bytes] = field(default_factory=dict)

    def put(self, name: str, data: bytes) -> int:
        """Write a piece; what it takes, in bytes."""
        content = packed(data)
        if self.folder is None:
            self.kept[name] = content
            return len(content)
        path = self.folder / f"{name}.js"
        make_folder(path.parent)
        with writing(path, binary=True, sync=False) as stream:
            stream.write(b'hicra.piece("%s","%s")\n' % (name.encode(), content))
        return path.stat().st_size
