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

from hicra_verl.errors import HicraError
from hicra_verl.grams.layout import ODD, Classes, Ints, Reading
from hicra_verl.grams.pieces import BREAK
from hicra_verl.grams.text import is_word

NO_PART = 0  # the class of tokens that are in no match
ANY = 1  # the class of tokens that may fit anywhere
BEGINS = np.uint16(1 << 15)  # bit of a class: a gram can begin in the token
ALONE = np.uint16(1 << 14)  # bit of a class: a gram can lie in the token whole
_CLASS = np.uint16(int(ODD) - 1)

_ENDS, _GOES_ON = 1, 2  # bits of a pair: in the second token a gram can end; the second can lie in a gram whole

_UNKNOWN = ANY | int(BEGINS) | int(ALONE)

_MAX_CLASSES = 1 << 12  # their table has up to 16 MiB
_MAX_PARTS = 1 << 20  # of all grams
_MAX_CHAIN = 64  # tokens; longer ones are white space without end


class TooManyPartsError(HicraError):
    """The grams are too many or too long for this test to pay."""


class Candidates:
    """The classes of tokens for a gram set.

    Args:
        patterns: the normalised grams.
        vocabulary: the normalised bytes of each token id.
        whole: those of the ids that hold a whole gram.

    Attributes:
        classes: (V,) of the token ids.
        class_of: the class of a token made of parts of characters, by its normalised bytes.

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
            raise TooManyPartsError("the grams have too many parts to sift tokens by them")
        first = 0
        for pattern in self._patterns:
            self._add_places(pattern, first)
            first += len(pattern)
        self._kinds: dict[tuple[frozenset[int], frozenset[int], frozenset[int], bool], int] = {}
        classes = {piece: self._class_of(piece.decode(), new=True) for piece in set(vocabulary) if BREAK not in piece}
        self.classes: Classes = np.array([classes.get(piece, NO_PART) for piece in vocabulary], dtype=np.uint16)
        self.class_of = lru_cache(maxsize=1 << 16)(self._find_class)
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
            return _UNKNOWN if piece.strip(bytes([BREAK])) else NO_PART
        text = piece.decode()
        return _UNKNOWN if any(map(text.__contains__, self._patterns)) else self._class_of(text, new=False)

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
                return _UNKNOWN
            if len(self._kinds) + 2 >= _MAX_CLASSES:
                raise TooManyPartsError("the grams have too many parts to sift tokens by them")
            self._kinds[kind] = len(self._kinds) + 2
        return self._kinds[kind] | int(BEGINS) * (whole or bool(begun)) | int(ALONE) * whole

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
        pairs[ANY, 1:] = pairs[1:, ANY] = _ENDS | _GOES_ON
        by_place: tuple[dict[int, list[int]], ...] = (defaultdict(list), defaultdict(list), defaultdict(list))
        for (*places, _), number in self._kinds.items():
            for members, found in zip(by_place, places, strict=True):
                for place in found:
                    members[place].append(number)
        up_to, inside, last = by_place
        for place, before in up_to.items():
            for behind, bit in ((inside[place], _GOES_ON), (last[place], _ENDS)):
                pairs[np.ix_(before, behind)] |= bit
        self._pairs = pairs.ravel()

    def around(self, reading: Reading) -> tuple[Ints, Ints]:
        """Of some responses, the tokens to read: those that a match can be in, and what stands beside them.

        Returns:
            Numbers of tokens, and their rows; where tokens are left out, one of them is a break.
        """
        end = len(reading) - 1
        chains = self._chains(reading.classes)
        if chains is None:
            every = np.arange(len(reading))
            return every, reading.rows(every)
        left, right = np.maximum(chains[0] - 1, 0), np.minimum(chains[1] + 1, end)
        if reading.resolved:  # a token that only goes on with a character says nothing of it
            empty = reading.pieces.length[reading.rows(np.arange(len(reading)))] == 0
            while (inner := empty[left] & (left > 0)).any():
                left -= inner
            while (inner := empty[right] & (right < end)).any():
                right += inner
        keep, is_break = np.zeros((2, len(reading)), dtype=bool)
        behind = np.append(np.minimum(right + 1, end), end)
        keep[behind] = is_break[behind] = True
        while len(left):
            keep[left], is_break[left] = True, False
            going = np.flatnonzero(left < right)
            left, right = left[going] + 1, right[going]
        numbers = np.flatnonzero(keep)
        rows = reading.rows(numbers)
        rows[is_break[numbers]] = reading.break_row
        return numbers, rows

    def _chains(self, classes: Classes) -> tuple[Ints, Ints] | None:
        """The first and the last token of each chain that can hold a match; each match begins with a chain.

        Args:
            classes: (N,) of tokens in a row; the last one is ``NO_PART``.

        Returns:
            None if a chain seems to have no end.
        """
        can_begin = classes >= BEGINS
        can_begin[:-1] &= (classes[1:] != NO_PART) | (classes[:-1] & ALONE != 0)
        first = np.flatnonzero(can_begin)
        last = np.where(classes.take(first) & ALONE != 0, first, -1)
        number, at = np.arange(len(first)), first
        before = (classes.take(at) & _CLASS).astype(np.int64)
        for _ in range(_MAX_CHAIN):
            at = at + 1
            behind = (classes.take(at) & _CLASS).astype(np.int64)
            fit = self._pairs.take(before * self._size + behind)
            ends = np.flatnonzero(fit & _ENDS)
            last[number[ends]] = at[ends]
            goes_on = np.flatnonzero(fit & _GOES_ON)
            if not len(goes_on):
                found = np.flatnonzero(last >= 0)
                return first[found], last[found]
            number, at, before = number[goes_on], at[goes_on], behind[goes_on]
        return None
