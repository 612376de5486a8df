"""Which tokens can be part of a match: a quick test that never says no wrongly, so that few tokens need be read.

A match lies in one token, or it begins in one, goes on through tokens that lie in it whole, and ends in another: at
each border of two of its tokens, the two fit together at some place of the gram. Tokens that fit at the same places
are of one class, and a table says which classes fit. Reading the chains of fitting tokens leaves about one token in
eight of a solution in mathematics; the automaton then reads those, and nothing depends on this test but speed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hicra_verl.grams.layout import Reading
from hicra_verl.grams.pieces import BREAK
from hicra_verl.grams.text import is_word

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Classes = npt.NDArray[np.uint16]

NO_PART = 0  # the class of tokens that are in no match
ANY = 1  # the class of tokens that may fit anywhere
BEGINS = 1 << 15  # bit of a class: a gram can begin in the token
_CLASS = BEGINS - 1

_ENDS, _GOES_ON = 1, 2  # bits of a pair: in the second token a gram can end; the second can lie in a gram whole

_MAX_CLASSES = 1 << 12  # their table has up to 16 MiB
_MAX_PARTS = 1 << 20  # of all grams
_MAX_CHAIN = 64  # tokens; longer ones are white space without end


class TooManyPartsError(Exception):
    """The grams are too many or too long for this test to pay."""


class Candidates:
    """The classes of tokens for a gram set.

    Args:
        patterns: the normalised grams.
        vocabulary: the normalised bytes of each token id.
        whole: those of the ids that hold a whole gram.

    Raises:
        TooManyPartsError: if the test would not pay.
    """

    def __init__(self, patterns: Iterable[str], vocabulary: Sequence[bytes], whole: Iterable[int]) -> None:
        self._whole = {vocabulary[row].decode() for row in whole}
        # A place is a border of two characters of a gram; the places of all grams are numbered through.
        self._heads: dict[str, list[int]] = defaultdict(list)  # what stands before a place
        self._tails: dict[str, list[int]] = defaultdict(list)  # what stands behind a place
        self._parts: dict[str, list[tuple[int, int]]] = defaultdict(list)  # what stands between two places
        self._behind_space: set[int] = set()
        self._patterns = sorted(set(patterns))
        if sum(len(pattern) ** 2 for pattern in self._patterns) > 2 * _MAX_PARTS:
            raise TooManyPartsError
        first = 0
        for pattern in self._patterns:
            self._add_places(pattern, first)
            first += len(pattern)
        self._kinds: dict[tuple[frozenset[int], frozenset[int], frozenset[int], bool], int] = {}
        classes = {piece: self._class_of(piece.decode(), new=True) for piece in set(vocabulary) if BREAK not in piece}
        self._own = np.array([classes.get(piece, NO_PART) for piece in vocabulary], dtype=np.uint16)
        self._class_of_piece = lru_cache(maxsize=1 << 16)(self._find_class)
        self._fill_table()

    def _add_places(self, pattern: str, first: int) -> None:
        for cut in range(1, len(pattern)):
            self._heads[pattern[:cut]].append(first + cut)
            self._tails[pattern[cut:]].append(first + cut)
            if pattern[cut - 1] == " ":
                self._behind_space.add(first + cut)
            for end in range(cut + 1, len(pattern)):
                self._parts[pattern[cut:end]].append((first + cut, first + end))

    def _find_class(self, piece: bytes) -> int:
        """The class of what a token made of parts of characters spells."""
        if not piece:
            return ANY
        if BREAK in piece:
            return ANY | BEGINS if piece.strip(bytes([BREAK])) else NO_PART
        text = piece.decode()
        return ANY | BEGINS if any(map(text.__contains__, self._patterns)) else self._class_of(text, new=False)

    def _class_of(self, text: str, new: bool) -> int:
        """A text's class, with the bit ``BEGINS``; of a kind not seen before, a new class if there may be one."""
        begun = self._begun(text)
        up_to = frozenset(begun).union(place for _, place in self._parts.get(text, ()))
        inside, last = self._from(text)
        whole = text in self._whole
        if not (up_to or inside or last or whole):
            return NO_PART
        kind = (up_to, inside, last, whole)
        if kind not in self._kinds:
            if not new:
                return ANY | BEGINS
            if len(self._kinds) + 2 >= _MAX_CLASSES:
                raise TooManyPartsError
            self._kinds[kind] = len(self._kinds) + 2
        return self._kinds[kind] | BEGINS * (whole or bool(begun))

    def _begun(self, text: str) -> list[int]:
        """The places that a token's end can be at if a gram begins in it."""
        found = []
        for cut in range(len(text)):
            places = self._heads.get(text[cut:])
            if places and (cut == 0 or not (is_word(text[cut - 1]) and is_word(text[cut]))):
                found += places
        return found

    def _from(self, text: str) -> tuple[frozenset[int], frozenset[int]]:
        """The places that a token's beginning can be at: if it lies in the gram whole, and if the gram ends in it."""
        inside, last = self._from_exactly(text)
        if text[:1] == " ":  # a white space run keeps the space of its first token only
            inside_too, last_too = self._from_exactly(text[1:]) if len(text) > 1 else (self._behind_space, set[int]())
            inside |= inside_too & self._behind_space
            last |= last_too & self._behind_space
        return frozenset(inside), frozenset(last)

    def _from_exactly(self, text: str) -> tuple[set[int], set[int]]:
        last: set[int] = set()
        for cut in range(1, len(text) + 1):
            places = self._tails.get(text[:cut])
            if places and (cut == len(text) or not (is_word(text[cut - 1]) and is_word(text[cut]))):
                last.update(places)
        return {place for place, _ in self._parts.get(text, ())}, last

    def _fill_table(self) -> None:
        self._size = len(self._kinds) + 2
        pairs = np.zeros((self._size, self._size), dtype=np.uint8)
        self._alone: Bools = np.zeros(self._size, dtype=bool)
        pairs[ANY, 1:] = pairs[1:, ANY] = _ENDS | _GOES_ON
        self._alone[ANY] = True
        by_place: tuple[dict[int, list[int]], ...] = (defaultdict(list), defaultdict(list), defaultdict(list))
        for (*places, whole), number in self._kinds.items():
            self._alone[number] = whole
            for members, found in zip(by_place, places, strict=True):
                for place in found:
                    members[place].append(number)
        up_to, inside, last = by_place
        for place, before in up_to.items():
            for behind, bit in ((inside[place], _GOES_ON), (last[place], _ENDS)):
                pairs[np.ix_(before, behind)] |= bit
        self._pairs = pairs.ravel()

    def around(self, reading: Reading) -> Reading:
        """Of some responses, the tokens that a match can be in, and the neighbours that say what stands beside it.

        Where tokens are left out, a break stands. Every token comes back where this test does not pay.
        """
        rows, classes, empty = reading.rows, self._own, None
        if reading.resolved:
            new = map(self._class_of_piece, reading.pieces.spelt(len(classes)))
            classes = np.append(classes, np.fromiter(new, dtype=np.uint16))
            empty = reading.pieces.length[rows] == 0
        chains = self._chains(classes.take(rows))
        if chains is None:
            return reading
        first, last = chains
        keep = np.zeros(len(rows), dtype=bool)
        keep[-1] = True
        end = len(rows) - 1
        at, right = np.maximum(first - 1, 0), np.minimum(last + 1, end)
        while empty is not None and (inner := empty[at] & (at > 0)).any():
            at -= inner
        while empty is not None and (inner := empty[right] & (right < end)).any():
            right += inner
        breaks = np.minimum(right + 1, end)
        while len(at):
            keep[at] = True
            going = at < right
            at, right = at[going] + 1, right[going]
        breaks = breaks[~keep[breaks]]
        keep[breaks] = True
        rows[breaks] = reading.break_row
        return reading.only(np.flatnonzero(keep))

    def _chains(self, classes: Classes) -> tuple[Ints, Ints] | None:
        """The first and the last token of each chain that can hold a match; each match begins with a chain.

        Args:
            classes: (N,) of tokens in a row; the last one is ``NO_PART``.

        Returns:
            None if a chain seems to have no end.
        """
        plain = classes & np.uint16(_CLASS)
        first = np.flatnonzero(classes >= BEGINS)
        last = np.where(self._alone.take(plain.take(first)), first, -1)
        number, at = np.arange(len(first)), first
        for _ in range(_MAX_CHAIN):
            fit = self._pairs.take(plain.take(at).astype(np.int64) * self._size + plain.take(at + 1))
            at = at + 1
            ends = np.flatnonzero(fit & _ENDS)
            last[number[ends]] = at[ends]
            goes_on = np.flatnonzero(fit & _GOES_ON)
            if not len(goes_on):
                found = np.flatnonzero(last >= 0)
                return first[found], last[found]
            number, at = number[goes_on], at[goes_on]
        return None
