"""A tokenizer's tokens as tables of normalised bytes, and texts laid out from them without decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Reading:
    """Tokens to be read, in the order of the text.

    Attributes:
        pieces: what the rows are of.
        rows: (N,) of ``pieces``; the last is a break.
        position: (N,) the token of the batch that each row is, in a grid that has a column of breaks behind the last
            one; None if it is all of them.
        resolved: whether there are rows made of parts of characters.
        break_row: the row that breaks the text.
    """

    pieces: Pieces
    rows: Ints
    position: Ints | None
    resolved: bool
    break_row: int

    def lay_out(self) -> tuple[Ints, Bytes, Bytes]:
        """See ``Pieces.lay_out``."""
        return self.pieces.lay_out(self.rows)

    def places(self, numbers: Ints) -> Ints:
        """Where in the grid some of the tokens stand."""
        return numbers if self.position is None else self.position[numbers]

    def only(self, kept: Ints) -> Reading:
        """Some of the tokens."""
        return replace(self, rows=self.rows[kept], position=self.places(kept))


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
    """

    def __init__(self, token_bytes: list[bytes | None]) -> None:
        self.token_bytes = token_bytes
        self.break_row = len(token_bytes)
        self.pieces = _pieces([*map(static_piece, token_bytes), Piece(bytes([BREAK]), 0)])
        self.is_partial = self.pieces.flags & PARTIAL != 0
        self.is_empty = np.array([raw == b"" for raw in token_bytes] + [False])
        self._is_odd = self.is_partial | self.is_empty
        # Where a token begins with a character's first byte, a run of tokens can be cut: what is before is over.
        self._leads = np.array([not raw or raw[0] & 0xC0 != 0x80 for raw in token_bytes] + [True])
        self._number = np.cumsum(self.is_partial)  # of partial tokens, from 1 on
        self._resolve_run = lru_cache(maxsize=1 << 16)(resolve_run)

    def read(self, ids: Ints, mask: Bools) -> Reading:
        """The tokens (B, T) of some responses, each response ended by a break."""
        grid = np.full((ids.shape[0], ids.shape[1] + 1), self.break_row, dtype=np.int64)
        known = ids.size == 0 or (ids.min() >= 0 and ids.max() < self.break_row)
        np.copyto(grid[:, :-1], ids, where=mask if known else mask & (ids >= 0) & (ids < self.break_row))
        rows = grid.ravel()
        if not self._is_odd.take(rows).any():
            return Reading(self.pieces, rows, None, False, self.break_row)
        position = np.flatnonzero(~self.is_empty.take(rows))
        rows = rows[position]
        partial = np.flatnonzero(self.is_partial.take(rows))
        pieces = self._resolve(rows, partial) if len(partial) else self.pieces
        return Reading(pieces, rows, position, len(partial) > 0, self.break_row)

    def _resolve(self, rows: Ints, partial: Ints) -> Pieces:
        """Give tokens that hold parts of characters rows of their own (in place), made of what stands around them.

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
