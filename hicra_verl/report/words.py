"""The index of words: which responses hold a word, so that the page searches a million of them without reading them.

A word is a run of letters, digits, underscores and combining marks of the lowercased text. The page's script has the
same rule (``/[\\p{L}\\p{N}_\\p{M}]+/gu`` on ``toLowerCase()``).

Each section of a run writes its part of the index to a file, in shards; afterwards each shard is merged on its own. So
the index need not fit in memory.
"""

from __future__ import annotations

import pickle
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hicra_verl.files import writing
from hicra_verl.report.pieces import WORD_SHARDS, Array, shard_of, varint, varints

HOLDS = WORD_SHARDS
"""The shard, after those of words, that says which responses hold a gram."""

_SPACED = bytes(code if code >= 128 or chr(code).isalnum() or code == ord("_") else ord(" ") for code in range(256))


@cache
def _in_words(char: str) -> bool:
    """Marks count, too: a word of Hindi does not end at a vowel sign."""
    return char == "_" or char.isalnum() or unicodedata.category(char).startswith("M")


def words_of(text: str) -> set[bytes]:
    """The words of a text, in UTF-8.

    On bytes, since splitting these at ASCII's punctuation is several times faster than a regular expression of any
    script; the few words that hold other characters are looked at one by one.
    """
    data = text.lower().encode("utf-8", "replace").translate(_SPACED)
    words = set(data.split())
    if not data.isascii():
        for word in [word for word in words if not word.isascii()]:
            words.remove(word)
            words.update("".join(char if _in_words(char) else " " for char in word.decode()).encode().split())
    return words


class Postings(NamedTuple):
    """Of one section and shard: for each of N keys, the rows that hold it.

    Attributes:
        keys: (N,) words, or indices of grams as text.
        first: (N,) the first row.
        last: (N,) the last one.
        count: (N,) how many.
        lengths: (N,) bytes in ``rest`` that are the key's.
        rest: the rows after the first, as varints of differences.
    """

    keys: list[str]
    first: list[int]
    last: list[int]
    rows: list[int]
    lengths: list[int]
    rest: bytes


class Index:
    """Collects which row holds which key."""

    def __init__(self) -> None:
        self.numbers: defaultdict[bytes, int] = defaultdict()
        self.numbers.default_factory = self.numbers.__len__
        self._keys, self._rows = array("I"), array("I")
        self._sizes = array("I")

    def add(self, row: int, keys: Iterable[bytes]) -> None:
        """Add a row, which must be above those before it.

        Args:
            row: its number.
            keys: what it holds, each once.
        """
        before, numbers = len(self._keys), self.numbers
        self._keys.extend([numbers[key] for key in keys])
        self._rows.append(row)
        self._sizes.append(len(self._keys) - before)

    def shards(self, place: dict[bytes, int], count: int) -> list[Postings]:
        """What was added, in shards.

        Args:
            place: the shard of each key; what is missing is added.
            count: how many shards there are.
        """
        names = list(self.numbers)
        for name in names:
            if name not in place:
                place[name] = shard_of(name) if count > 1 else 0
        shard = np.array([place[name] for name in names], dtype=np.int64)
        order = np.argsort(shard, kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        keys = rank[np.frombuffer(self._keys, dtype=np.uint32)] if len(self._keys) else np.zeros(0, dtype=np.int64)
        rows = np.repeat(np.frombuffer(self._rows, dtype=np.uint32), np.frombuffer(self._sizes, dtype=np.uint32))
        by_key = np.argsort(keys, kind="stable")
        keys, rows = keys[by_key], rows[by_key].astype(np.int64)
        first, count_of = _starts(keys, len(names))
        data, lengths = varints(np.delete(np.diff(rows, prepend=0), first))
        owner = np.delete(keys, first)
        taken = np.bincount(owner, weights=lengths, minlength=len(names)).astype(np.int64)
        ends = np.cumsum(taken)
        found = []
        bounds = np.searchsorted(shard[order], np.arange(count + 1))
        for number in range(count):
            part = slice(int(bounds[number]), int(bounds[number + 1]))
            begin = int(ends[part.start] - taken[part.start]) if part.start < part.stop else 0
            stop = int(ends[part.stop - 1]) if part.start < part.stop else 0
            found.append(
                Postings(
                    [names[place].decode() for place in order[part].tolist()],
                    rows[first[part]].tolist(),
                    rows[first[part] + count_of[part] - 1].tolist(),
                    count_of[part].tolist(),
                    taken[part].tolist(),
                    data[begin:stop],
                )
            )
        return found


def _starts(keys: Array, count: int) -> tuple[Array, Array]:
    """Where each key's rows begin in the sorted keys, and how many there are; every key has one."""
    sizes = np.bincount(keys, minlength=count)
    return np.cumsum(sizes) - sizes, sizes


def write_shards(path: Path, shards: Sequence[Postings]) -> None:
    """Write the shards of a section one after the other, behind a table of where each begins."""
    parts = [pickle.dumps(tuple(shard), protocol=5) for shard in shards]
    ends = np.cumsum([8 * (len(parts) + 1), *map(len, parts)]).astype("<u8")
    with writing(path, binary=True, sync=False) as stream:
        stream.write(ends.tobytes())
        stream.writelines(parts)


def read_shard(path: Path, number: int) -> Postings:
    """One of them."""
    with path.open("rb") as stream:
        stream.seek(8 * number)
        begin, end = np.frombuffer(stream.read(16), dtype="<u8").tolist()
        stream.seek(begin)
        return Postings(*pickle.loads(stream.read(end - begin)))


def merged(parts: Iterable[Postings]) -> dict[str, tuple[int, bytes]]:
    """The postings of consecutive sections as one, by key, sorted: how many rows, and all of them as varints."""
    data: defaultdict[str, list[bytes]] = defaultdict(list)
    last: dict[str, int] = {}
    count: defaultdict[str, int] = defaultdict(int)
    for part in parts:
        place = 0
        for key, first, final, rows, length in zip(*part[:5], strict=True):
            data[key] += (varint(first - last.get(key, 0)), part.rest[place : place + length])
            last[key] = final
            count[key] += rows
            place += length
    return {key: (count[key], b"".join(data[key])) for key in sorted(data)}
