"""Find strategic grams in token ids.

The written semantics, which the tests hold against a slow and obvious reference on real tokenizers:

- The text is the concatenation of the tokens' bytes, under the rules of ``grams/text.py``.
- A gram matches where it stands in the text with word boundaries at its ends: where the gram's end character is a
  word character, the neighbouring character of the text is not one.
- A token is a planning token if at least one of its non-space bytes lies in a match; overlapping matches all count.
- Special tokens, added tokens and masked-out tokens never match, and no gram matches across them.
- For counting, matches are leftmost-longest and do not overlap.

The fast path never decodes. Each token's text is normalised once, at compile time; a batch of responses becomes one
byte string by array indexing, one pass of an Aho-Corasick automaton finds all grams in it, and array operations map
the matches back to tokens. Only tokens that hold a part of a multi-byte character need their neighbours to be
understood; runs of those are normalised together (``resolve_run``) and remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import ahocorasick_rs
import numpy as np
import numpy.typing as npt

from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.pieces import (
    BREAK,
    CONTINUES,
    ENDS_SPACE,
    ONLY_SPACE,
    PARTIAL,
    STARTS_SPACE,
    Piece,
    resolve_run,
    static_piece,
)
from hicra_verl.grams.text import is_word, normalise

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_CHUNK_TOKENS = 1 << 18  # tokens handled at once; bounds the working memory to a few hundred MB at any batch size

_DFA_CHARACTERS = 1 << 18  # of all grams; beyond, the fast form of the automaton takes seconds and gigabytes


@dataclass(frozen=True)
class Matches:
    """What was found in a batch.

    Attributes:
        planning_mask: (B, T) bool.
        gram: (M,) index into the gram set, of every match, ordered by row and position.
        row: (M,) the response.
        first_token: (M,) first token that holds a part of the match.
        end_token: (M,) one past the last such token.
        counted: (M,) bool; the leftmost-longest, non-overlapping ones.
        following: for each counted match, in order, the next words of the normalised text (see ``GramMatcher.match``);
            empty where they were not asked for.
    """

    planning_mask: Bools
    gram: Ints
    row: Ints
    first_token: Ints
    end_token: Ints
    counted: Bools
    following: list[bytes | None]

    def gram_counts(self, n_grams: int) -> Ints:
        """(n_grams,) how often each gram was counted."""
        return np.bincount(self.gram[self.counted], minlength=n_grams)


class GramMatcher:
    """A gram set compiled for one tokenizer.

    Args:
        grams: the gram set.
        token_bytes: the bytes of each token id, None for ids that never match (``grams.token_bytes``).
    """

    def __init__(self, grams: GramSet, token_bytes: list[bytes | None]) -> None:
        self.grams = grams
        patterns = [normalise(gram.text) for gram in grams]
        kinds = ahocorasick_rs.Implementation
        small = sum(map(len, patterns)) <= _DFA_CHARACTERS
        self._automaton = ahocorasick_rs.BytesAhoCorasick(
            [pattern.encode() for pattern in patterns], implementation=kinds.DFA if small else kinds.ContiguousNFA
        )
        self._starts_word = np.array([is_word(pattern[0]) for pattern in patterns])
        self._ends_word = np.array([is_word(pattern[-1]) for pattern in patterns])

        # One row a token id, then the break row. `_bytes` holds the rows' normalised bytes one after the other.
        self.token_bytes = token_bytes
        self._break_row = len(token_bytes)
        pieces = [static_piece(raw) for raw in token_bytes] + [Piece(bytes([BREAK]), 0)]
        self._bytes = np.frombuffer(b"".join(piece.data for piece in pieces), dtype=np.uint8)
        self._length = np.array([len(piece.data) for piece in pieces], dtype=np.int64)
        self._offset = np.cumsum(self._length) - self._length
        self._flags = np.array([piece.flags for piece in pieces], dtype=np.uint8)
        self._empty = np.array([raw == b"" for raw in token_bytes] + [False])
        self._resolve_run = lru_cache(maxsize=1 << 16)(resolve_run)

    def match(
        self, token_ids: npt.ArrayLike, token_mask: npt.ArrayLike | None = None, following_words: int = 0
    ) -> Matches:
        """Find the grams in a batch of responses.

        Args:
            token_ids: (B, T) integers. Ids outside the tokenizer's vocabulary match nothing.
            token_mask: (B, T), true where a token is the model's own; None means all of them.
            following_words: after each counted match, return this many of the white-space-separated pieces that follow
                it, joined by single spaces; None where the response ends, or a special token stands, before that.

        Raises:
            ValueError: if the shapes are not (B, T) and equal.
        """
        ids = np.asarray(token_ids)
        if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"token_ids must be integers of shape (B, T), got {ids.dtype} {ids.shape}")
        mask = np.ones(ids.shape, dtype=bool) if token_mask is None else np.asarray(token_mask).astype(bool)
        if mask.shape != ids.shape:
            raise ValueError(f"token_ids {ids.shape} and token_mask {mask.shape} must have one shape")

        rows_per_chunk = max(1, _CHUNK_TOKENS // max(1, ids.shape[1]))
        planning_mask = np.zeros(ids.shape, dtype=bool)
        found: list[tuple[Ints, Ints, Ints, Ints, Bools]] = []
        following: list[bytes | None] = []
        for start in range(0, max(1, len(ids)), rows_per_chunk):
            chunk = slice(start, start + rows_per_chunk)
            marked, (gram, row, first, end, counted), words = self._match_chunk(
                ids[chunk], mask[chunk], following_words
            )
            planning_mask[chunk] = marked
            found.append((gram, row + start, first, end, counted))
            following += words
        gram, row, first, end, counted = (np.concatenate(part) for part in zip(*found, strict=True))
        return Matches(planning_mask, gram, row, first, end, counted, following)

    def _match_chunk(
        self, ids: Ints, mask: Bools, following_words: int
    ) -> tuple[Bools, tuple[Ints, Ints, Ints, Ints, Bools], list[bytes | None]]:
        n_rows, n_columns = ids.shape
        # A last column of breaks ends each response. Runs of breaks (padding, tool output) shrink to one.
        rows = np.full((n_rows, n_columns + 1), self._break_row, dtype=np.int64)
        np.copyto(rows[:, :-1], ids, where=mask & (ids >= 0) & (ids < self._break_row))
        rows = rows.ravel()
        is_break = rows == self._break_row
        keep = ~self._empty[rows]
        keep[1:] &= ~(is_break[1:] & is_break[:-1])
        position = np.flatnonzero(keep)  # where each kept token stands in the (n_rows, n_columns + 1) grid
        rows = rows[position]

        starts, text, flags = self._lay_out(rows)
        gram, begin, finish = self._find(text)
        first = np.searchsorted(starts, begin, side="right") - 1
        last = np.searchsorted(starts, finish, side="left") - 1
        if np.any(flags & CONTINUES):
            _extend_over_split_character(last, finish, starts, flags, len(text))

        # Tokens between first and last are marked, except those that are white space only.
        change = np.bincount(first, minlength=len(rows) + 1) - np.bincount(last + 1, minlength=len(rows) + 1)
        marked = (np.cumsum(change)[:-1] > 0) & (flags & ONLY_SPACE == 0)
        grid = np.zeros(n_rows * (n_columns + 1), dtype=bool)
        grid[position[marked]] = True

        row, first_column = np.divmod(position[first], n_columns + 1)
        end_column = position[last] - row * (n_columns + 1) + 1
        counted = _leftmost_longest(begin, finish)
        words = (
            [_next_words(text, stop, following_words) for stop in finish[counted].tolist()] if following_words else []
        )
        return grid.reshape(n_rows, n_columns + 1)[:, :-1], (gram, row, first_column, end_column, counted), words

    def _lay_out(self, rows: Ints) -> tuple[Ints, bytes, npt.NDArray[np.uint8]]:
        """Write the tokens one after the other: (N,) offset of each, the text, (N,) flags of each."""
        data, offset, length, flags = self._bytes, self._offset[rows], self._length[rows], self._flags[rows]
        partial = np.flatnonzero(flags & PARTIAL)
        if len(partial):
            extra: list[bytes] = []
            end_of_data = len(data)
            for run in np.split(partial, np.flatnonzero(np.diff(partial) > 1) + 1):
                pieces = self._resolve_run(tuple(self.token_bytes[row] for row in rows[run]))
                for index, piece in zip(run.tolist(), pieces, strict=True):
                    offset[index], length[index], flags[index] = end_of_data, len(piece.data), piece.flags
                    end_of_data += len(piece.data)
                    extra.append(piece.data)
            data = np.concatenate([data, np.frombuffer(b"".join(extra), dtype=np.uint8)])

        # A white space run that spans tokens keeps the space of its first token only.
        joined = np.zeros(len(rows), dtype=np.int64)
        joined[1:] = (flags[1:] & STARTS_SPACE != 0) & (flags[:-1] & ENDS_SPACE != 0)
        offset += joined
        length -= joined
        starts = np.cumsum(length) - length
        source = np.repeat(offset - starts, length)
        source += np.arange(len(source))
        return starts, data[source].tobytes(), flags

    def _find(self, text: bytes) -> tuple[Ints, Ints, Ints]:
        """All matches with word boundaries: (M,) gram, begin and end byte, ordered by end."""
        raw = self._automaton.find_matches_as_indexes(text, overlapping=True)
        flat = np.fromiter(chain.from_iterable(raw), dtype=np.int64, count=3 * len(raw))
        gram, begin, finish = flat[0::3], flat[1::3], flat[2::3]
        # The neighbours' class; the text always ends with a break, and before its start stands nothing.
        kind = _BYTE_KIND[np.frombuffer(text, dtype=np.uint8)]
        before = np.where(begin > 0, kind[begin - 1], _NOT_WORD) if len(begin) else kind[:0]
        after = kind[finish]
        for sides, places, character in ((before, begin, _char_before), (after, finish, _char_at)):
            for match in np.flatnonzero(sides == _MULTIBYTE):
                sides[match] = _WORD if is_word(character(text, places[match])) else _NOT_WORD
        good = ~((self._starts_word[gram] & (before == _WORD)) | (self._ends_word[gram] & (after == _WORD)))
        return gram[good], begin[good], finish[good]


_NOT_WORD, _WORD, _MULTIBYTE = 0, 1, 2
_BYTE_KIND = np.array(
    [_MULTIBYTE if byte >= 0x80 and byte != BREAK else int(byte < 0x80 and is_word(chr(byte))) for byte in range(256)],
    dtype=np.uint8,
)


def _next_words(text: bytes, position: int, count: int) -> bytes | None:
    """The next ``count`` pieces of a normalised text, or None if a break comes first. The text ends with a break."""
    window = 32 * count
    while True:
        piece = text[position : position + window]
        end = piece.find(BREAK)
        words = (piece if end < 0 else piece[:end]).split()
        if len(words) > count or (len(words) == count and (end >= 0 or piece.endswith(b" "))):
            return b" ".join(words[:count])
        if end >= 0:
            return None
        window *= 2


def _char_at(text: bytes, position: int) -> str:
    """The character whose first byte is at ``position``, or "" if no character starts there."""
    width = 2 if text[position] < 0xE0 else 3 if text[position] < 0xF0 else 4
    return text[position : position + width].decode("utf-8", errors="ignore")


def _char_before(text: bytes, position: int) -> str:
    """The character that ends just before ``position``; the byte there is known to be part of a valid one."""
    start = position - 1
    while text[start] & 0xC0 == 0x80:
        start -= 1
    return text[start:position].decode("utf-8", errors="ignore")


def _extend_over_split_character(
    last: Ints, finish: Ints, starts: Ints, flags: npt.NDArray[np.uint8], end_of_text: int
) -> None:
    """Move ``last`` (in place) over the following tokens that hold the rest of a match's final character."""
    ends = np.append(starts[1:], end_of_text)
    active = np.flatnonzero(finish == ends[last])  # the match ends with its last token's last character
    while len(active):
        following = last[active] + 1
        inside = following < len(flags)
        active, following = active[inside], following[inside]
        goes_on = flags[following] & CONTINUES != 0
        active, following = active[goes_on], following[goes_on]
        last[active] = following
        active = active[starts[following] == ends[following]]  # a token with text of its own ends the character


def _leftmost_longest(begin: Ints, finish: Ints) -> Bools:
    """(M,) bool: of each set of overlapping matches, the leftmost one, and the longest of those."""
    counted = np.zeros(len(begin), dtype=bool)
    free_from = 0
    order = np.lexsort((-finish, begin))
    for match, start, stop in zip(order.tolist(), begin[order].tolist(), finish[order].tolist(), strict=True):
        if start >= free_from:
            counted[match] = True
            free_from = stop
    return counted
