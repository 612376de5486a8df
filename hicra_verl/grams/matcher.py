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

from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import ahocorasick_rs
import numpy as np
import numpy.typing as npt

from hicra_verl.grams.candidates import Candidates, TooManyPartsError
from hicra_verl.grams.following import following
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.layout import Reading, Vocabulary
from hicra_verl.grams.pieces import BREAK, CONTINUES, ONLY_SPACE
from hicra_verl.grams.text import is_word, normalise
from hicra_verl.parallel import in_threads

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_CHUNK_TOKENS = 1 << 18  # tokens handled at once: few enough for a cache, enough that threads seldom ask for the lock
_MANY_TOKENS = 1000  # of a tokenizer; single bytes say too little to be sifted

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
        rest: (M,) normalised bytes of these tokens that stand behind the match.
        counted: (M,) bool; the leftmost-longest, non-overlapping ones.
        following: for each counted match, in order, the next words of the normalised text (see
            ``GramMatcher.with_following``), joined by single spaces; empty where they were not asked for.
    """

    planning_mask: Bools
    gram: Ints
    row: Ints
    first_token: Ints
    end_token: Ints
    rest: Ints
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
        self.token_bytes = token_bytes
        self._vocabulary = Vocabulary(token_bytes)
        self._candidates = self._find_candidates(patterns) if len(token_bytes) > _MANY_TOKENS else None

    def _find_candidates(self, patterns: list[str]) -> Candidates | None:
        """Which tokens can be part of a match; None if the gram set is too large for that question to pay."""
        words = self._vocabulary
        rows = np.full(2 * words.break_row, words.break_row)
        rows[::2] = np.arange(words.break_row)
        starts, text, _ = words.pieces.lay_out(rows)
        holding = np.unique(np.searchsorted(starts, self._find(text)[1], side="right") - 1) // 2
        try:
            candidates = Candidates(patterns, words.pieces.spelt(), holding.tolist())
        except TooManyPartsError:
            return None
        words.set_classes(candidates.classes, candidates.class_of)
        return candidates

    def match(
        self, token_ids: npt.ArrayLike, token_mask: npt.ArrayLike | None = None, following_words: int = 0
    ) -> Matches:
        """Find the grams in a batch of responses.

        Args:
            token_ids: (B, T) integers. Ids outside the tokenizer's vocabulary match nothing.
            token_mask: (B, T), true where a token is the model's own; None means all of them.
            following_words: fills ``Matches.following`` (see ``with_following``).

        Raises:
            ValueError: if the shapes are not (B, T) and equal.
        """
        ids, mask = _checked(token_ids, token_mask)
        planning_mask = np.zeros(ids.shape, dtype=bool)

        def part(rows: slice) -> tuple[npt.NDArray[Any], ...]:
            gram, row, *others = self._match_chunk(ids[rows], mask[rows], planning_mask[rows])
            return gram, row + rows.start, *others

        found = in_threads(part, _chunks(ids.shape)) or [(np.zeros(0, dtype=np.int64),) * 6]
        gram, row, first, end, rest, counted = (np.concatenate(field) for field in zip(*found, strict=True))
        matches = Matches(planning_mask, gram, row, first, end, rest, counted.astype(bool), [])
        return self.with_following(ids, mask, matches, following_words) if following_words else matches

    def with_following(self, ids: npt.ArrayLike, mask: npt.ArrayLike | None, matches: Matches, words: int) -> Matches:
        """The matches with the words that follow each counted one.

        Args:
            ids: (B, T) what they were found in.
            mask: (B, T) likewise.
            matches: the matches.
            words: how many of the white-space-separated pieces that follow; None stands where the response ends, or a
                special token stands, before that.
        """
        ids, mask = _checked(ids, mask)
        row, end, rest = (field[matches.counted] for field in (matches.row, matches.end_token, matches.rest))

        def part(rows: slice) -> list[bytes | None]:
            here = slice(*np.searchsorted(row, [rows.start, rows.stop]))
            reading = Reading(self._vocabulary, ids[rows], mask[rows])
            return following(reading, reading.numbers(row[here] - rows.start, end[here] - 1), rest[here], words)

        return replace(matches, following=list(chain.from_iterable(in_threads(part, _chunks(ids.shape)))))

    def _match_chunk(self, ids: Ints, mask: Bools, planning_mask: Bools) -> tuple[npt.NDArray[Any], ...]:
        """Fill the planning mask; the other fields of ``Matches``, in order."""
        reading = Reading(self._vocabulary, ids, mask)
        if self._candidates is not None:
            numbers, rows = self._candidates.around(reading)
        else:
            numbers = np.arange(len(reading))
            rows = reading.rows(numbers)
        starts, text, flags = reading.pieces.lay_out(rows)
        gram, begin, finish = self._find(text)
        first = np.searchsorted(starts, begin, side="right") - 1
        last = np.searchsorted(starts, finish, side="left") - 1
        if reading.resolved:
            _extend_over_split_character(last, finish, starts, flags, len(text))

        # Tokens between first and last are marked, except those that are white space only.
        change = np.bincount(first, minlength=len(rows) + 1) - np.bincount(last + 1, minlength=len(rows) + 1)
        marked = np.flatnonzero((np.cumsum(change)[:-1] > 0) & (flags & ONLY_SPACE == 0))
        planning_mask[reading.cells(numbers[marked])] = True
        row, first_column = reading.cells(numbers[first])
        end_column = reading.cells(numbers[last])[1] + 1
        return gram, row, first_column, end_column, starts[last + 1] - finish, _leftmost_longest(begin, finish)

    def _find(self, data: npt.NDArray[np.uint8]) -> tuple[Ints, Ints, Ints]:
        """All matches with word boundaries: (M,) gram, begin and end byte, ordered by end."""
        text = data.tobytes()
        raw = self._automaton.find_matches_as_indexes(text, overlapping=True)
        flat = np.fromiter(chain.from_iterable(raw), dtype=np.int64, count=3 * len(raw))
        gram, begin, finish = flat[0::3], flat[1::3], flat[2::3]
        # The neighbours' class; the text always ends with a break, and before its start stands nothing.
        before = np.where(begin > 0, _BYTE_KIND[data[begin - 1]], _NOT_WORD) if len(begin) else data[:0]
        after = _BYTE_KIND[data[finish]]
        for side, multibyte in (("before", before == _MULTIBYTE), ("after", after == _MULTIBYTE)):
            for match in np.flatnonzero(multibyte):
                char = _char_before(text, begin[match]) if side == "before" else _char_at(text, finish[match])
                (before if side == "before" else after)[match] = _WORD if char and is_word(char) else _NOT_WORD
        good = ~((self._starts_word[gram] & (before == _WORD)) | (self._ends_word[gram] & (after == _WORD)))
        return gram[good], begin[good], finish[good]


_NOT_WORD, _WORD, _MULTIBYTE = 0, 1, 2
_BYTE_KIND = np.array(
    [_MULTIBYTE if byte >= 0x80 and byte != BREAK else int(byte < 0x80 and is_word(chr(byte))) for byte in range(256)],
    dtype=np.uint8,
)


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
    length = finish - begin
    longest = int(length.max(initial=0))
    order = np.argsort(begin * (longest + 1) + longest - length, kind="stable")
    start, stop = begin[order], finish[order]
    # The first match that begins behind all before it counts; a second one in its cluster overlaps it.
    leads = np.ones(len(order), dtype=bool)
    leads[1:] = start[1:] >= np.maximum.accumulate(stop)[:-1]
    counted[order[leads]] = True
    cluster = np.flatnonzero(leads)
    size = np.diff(cluster, append=len(order))
    for lead, count in zip(cluster[size > 2].tolist(), size[size > 2].tolist(), strict=True):
        free_from = stop[lead]
        for match in range(lead + 1, lead + count):
            if start[match] >= free_from:
                counted[order[match]] = True
                free_from = stop[match]
    return counted


def _checked(token_ids: npt.ArrayLike, token_mask: npt.ArrayLike | None) -> tuple[Ints, Bools]:
    ids = np.asarray(token_ids)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"token_ids must be integers of shape (B, T), got {ids.dtype} {ids.shape}")
    mask = np.ones(ids.shape, dtype=bool) if token_mask is None else np.asarray(token_mask).astype(bool, copy=False)
    if mask.shape != ids.shape:
        raise ValueError(f"token_ids {ids.shape} and token_mask {mask.shape} must have one shape")
    return ids, mask


def _chunks(shape: tuple[int, ...]) -> list[slice]:
    """The rows of a batch, some at a time."""
    if 0 in shape:
        return []
    rows = max(1, _CHUNK_TOKENS // shape[1])
    return [slice(start, min(start + rows, shape[0])) for start in range(0, shape[0], rows)]
