"""A tokenizer's tokens as tables of normalised bytes, and texts laid out from them without decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hicra_verl.grams.pieces import (
    BREAK,
    ENDS_SPACE,
    PARTIAL,
    STARTS_SPACE,
    Piece,
    resolve_run,
    static_piece,
)

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

Classes = npt.NDArray[np.uint16]

ODD = np.uint16(1 << 13)
_SHORT = 4  # tokens: as many as a character has bytes


@dataclass(frozen=True)
class Pieces:
    """What tokens add to the text, one row a token.

    Attributes:
        data: the rows' normalised bytes one after the other.
        offset: (R,) where each row's begin in ``data``.
        length: (R,) how many they are.
        flags: (R,) see ``grams/pieces.py``.
    """

    data: Bytes
    offset: Ints
    length: Ints
    flags: Bytes

    def lay_out(self, rows: Ints) -> tuple[Ints, Bytes, Bytes]:
        """Write tokens one after the other: (N,) offset of each, the text, (N,) flags of each."""
        offset, length, flags = self.offset.take(rows), self.length.take(rows), self.flags.take(rows)
        # A white space run that spans tokens keeps the space of its first token only.
        joined = np.flatnonzero((flags[1:] & STARTS_SPACE != 0) & (flags[:-1] & ENDS_SPACE != 0)) + 1
        offset[joined] += 1
        length[joined] -= 1
        ends = np.cumsum(length)
        starts = ends - length
        source = np.repeat(offset - starts, length)
        source += np.arange(len(source))
        return starts, self.data.take(source), flags

    def spelt(self, first: int = 0) -> list[bytes]:
        """The rows' normalised bytes, from a row on."""
        data = self.data.tobytes()
        begin, length = self.offset[first:], self.length[first:]
        return [data[start:stop] for start, stop in zip(begin.tolist(), (begin + length).tolist(), strict=True)]


class Reading:
    """The tokens (B, T), B and T not 0, of some responses, each followed by a break: numbered in the text's order.

    Attributes:
        pieces: what the tokens are of.
        classes: (N,) of the tokens, see ``Vocabulary``.
        resolved: whether there are tokens made of parts of characters.
    """

    def __init__(self, words: Vocabulary, ids: Ints, mask: Bools) -> None:
        self.pieces, self._ids, self._mask, self._width = words.pieces, ids, mask, ids.shape[1] + 1
        self.break_row = words.break_row
        self._rows: Ints | None = None
        self._position: Ints | None = None
        self.resolved = False
        if ids.min() < 0 or ids.max() >= words.break_row:
            self._mask = mask & (ids >= 0) & (ids < words.break_row)
            self._ids = np.where(self._mask, ids, 0)
        grid = np.zeros((len(ids), self._width), dtype=np.uint16)
        np.multiply(words.classes.take(self._ids), self._mask, out=grid[:, :-1])
        self.classes = grid.ravel()
        if (self.classes & ODD).any():
            self._resolve(words)

    def __len__(self) -> int:
        return len(self.classes)

    def rows(self, numbers: Ints) -> Ints:
        """The rows of ``pieces`` that tokens are."""
        if self._rows is not None:
            return self._rows[numbers]
        row = numbers // self._width
        at_end = numbers - row * self._width == self._width - 1
        place = numbers - row
        place -= at_end
        rows: Ints = self._ids.ravel().take(place).astype(np.int64, copy=False)
        rows[at_end | ~self._mask.ravel().take(place)] = self.break_row
        return rows

    def cells(self, numbers: Ints) -> tuple[Ints, Ints]:
        """The response that tokens are of, and their column."""
        cells = numbers if self._position is None else self._position[numbers]
        row = cells // self._width  # quicker than divmod
        return row, cells - row * self._width

    def numbers(self, row: Ints, column: Ints) -> Ints:
        """The other way round."""
        cells: Ints = row * self._width + column
        return cells if self._position is None else np.searchsorted(self._position, cells)

    def _resolve(self, words: Vocabulary) -> None:
        """Leave out tokens that are nothing, and make those that are parts of characters whole."""
        rows = self.rows(np.arange(len(self)))
        self._position = np.flatnonzero(~words.is_empty.take(rows))
        self._rows = rows[self._position]
        partial = np.flatnonzero(words.is_partial.take(self._rows))
        classes = words.classes
        if len(partial):
            self.pieces = words.resolve(self._rows, partial)
            new = [words.class_of(piece) for piece in self.pieces.spelt(len(classes))]
            classes = np.append(classes, np.array(new, dtype=np.uint16))
            self.resolved = True
        self.classes = classes.take(self._rows)


def _no_class(piece: bytes) -> int:
    return 0


def _pieces(found: Sequence[Piece]) -> Pieces:
    length = np.array([len(piece.data) for piece in found], dtype=np.int64)
    return Pieces(
        np.frombuffer(b"".join(piece.data for piece in found), dtype=np.uint8),
        np.cumsum(length) - length,
        length,
        np.array([piece.flags for piece in found], dtype=np.uint8),
    )


class Vocabulary:
    """The tokens of a tokenizer; after the last one's row comes that of the break.

    Args:
        token_bytes: the bytes of each token id, None for ids that never match.

    Attributes:
        classes: (R,) of each row: ``ODD`` for tokens that are nothing by themselves, for the others whatever their
            reader needs.
        class_of: the same for normalised bytes.
    """

    def __init__(self, token_bytes: list[bytes | None]) -> None:
        self.token_bytes = token_bytes
        self.break_row = len(token_bytes)
        self.pieces = _pieces([*map(static_piece, token_bytes), Piece(bytes([BREAK]), 0)])
        self.is_partial = self.pieces.flags & PARTIAL != 0
        self.is_empty = np.array([raw == b"" for raw in token_bytes] + [False])
        self.class_of: Callable[[bytes], int] = _no_class
        self.set_classes(np.zeros(len(self.pieces.length), dtype=np.uint16), self.class_of)
        # Where a token begins with a character's first byte, a run of tokens can be cut: what is before is over.
        self._leads = np.array([not raw or raw[0] & 0xC0 != 0x80 for raw in token_bytes] + [True])
        self._number = np.cumsum(self.is_partial)  # of partial tokens, from 1 on
        self._resolve_run = lru_cache(maxsize=1 << 16)(resolve_run)

    def set_classes(self, classes: Classes, class_of: Callable[[bytes], int]) -> None:
        """Put every token into a class below ``ODD``."""
        self.classes, self.class_of = np.where(self.is_partial | self.is_empty, np.uint16(ODD), classes), class_of

    def resolve(self, rows: Ints, partial: Ints) -> Pieces:
        """Give the partial ones of some tokens, rows of their own (in place): characters made whole.

        Returns:
            The pieces that the rows now are of: those of the vocabulary, then new ones.
        """
        held = rows[partial]
        begins = self._leads[held]
        begins[0] = True
        begins[1:] |= np.diff(partial) > 1
        begin = np.flatnonzero(begins)
        run = np.cumsum(begins) - 1
        within = np.arange(len(partial)) - begin[run]
        kind, examples = self._kinds(held, begin, run, within)
        added: list[Piece] = []
        base = np.zeros(len(examples), dtype=np.int64)
        for number, example in enumerate(examples):
            base[number] = self.break_row + 1 + len(added)
            tokens = held[begin[example] : begin[example + 1] if example + 1 < len(begin) else None].tolist()
            added += self._resolve_run(tuple(self.token_bytes[token] for token in tokens))
        rows[partial] = base[kind[run]] + within
        own, new = self.pieces, _pieces(added)
        return Pieces(
            np.concatenate([own.data, new.data]),
            np.concatenate([own.offset, new.offset + len(own.data)]),
            np.concatenate([own.length, new.length]),
            np.concatenate([own.flags, new.flags]),
        )

    def _kinds(self, held: Ints, begin: Ints, run: Ints, within: Ints) -> tuple[Ints, list[int]]:
        """Which runs are equal: each one's kind, and a run of each kind."""
        base = int(self._number[-1]) + 1
        key: Ints = np.zeros(len(begin), dtype=np.int64)
        size = np.diff(begin, append=len(held))
        long = size > _SHORT if base**_SHORT < 1 << 62 else size > 0
        for place in range(_SHORT):
            at = np.flatnonzero(within == place)
            key[run[at]] = key[run[at]] * base + self._number[held[at]]
        seen: dict[tuple[int, ...], int] = {}
        for number in np.flatnonzero(long).tolist():
            tokens = tuple(held[begin[number] : begin[number] + size[number]].tolist())
            key[number] = -1 - seen.setdefault(tokens, len(seen))
        _, example, kind = np.unique(key, return_index=True, return_inverse=True)
        return kind, example.tolist()
