"""The n-grams of texts, as 64-bit keys, by array operations alone.

What a word is (the paper does not say; ours): a run of letters, with apostrophes inside. An n-gram is n words of one
line with single spaces between them: punctuation, line breaks, numbers, variables (single letters but "a" and "i") and
LaTeX end a run, unless allowed. Every n-gram is therefore a phrase that matches where it was found, under the rules of
``grams/text.py`` and with word boundaries at its ends.

A key is a hash of the words. Among 10^8 different n-grams the chance that any two share one is about 3 in 10,000.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from hicra_verl.grams.text import fold

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

ALLOWABLE = ("numbers", "variables", "latex")

_CLAUSE, _GLUE, _SYMBOL = "\0", "\1", "\2"
"""What ends a run: punctuation that a clause begins after; what also spoils the word that touches it (a digit beside
letters; LaTeX); anything else."""
_PUNCTUATION = frozenset('.,;:!?…\n\r*#>|()[]"“”„—–')
_SPACE, _APOSTROPHE = ord(" "), ord("'")
_LATEX = re.compile(
    r"\$\$.{0,4000}?\$\$|\$[^$\n]{0,500}\$|\\\(.{0,1000}?\\\)|\\\[.{0,4000}?\\\]"
    r"|\\begin\{(\w{1,20}\*?)\}.{0,8000}?\\end\{\1\}|\\[a-zA-Z]+(?:\s?\{[^{}]{0,500}\})*",
    re.DOTALL,
)

_rng = np.random.default_rng(2509_03646)  # fixed: keys must agree between machines
_OF_BYTE = _rng.integers(0, 2**64, 256, dtype=np.uint64)
_BASE, *_OF_PLACE = (_rng.integers(0, 2**63, 33, dtype=np.uint64) * 2 + 1).tolist()
MAX_N = len(_OF_PLACE)


@dataclass(frozen=True)
class Words:
    """What counts as a word, and how many make an n-gram.

    Attributes:
        low: the fewest words.
        high: the most words.
        allow: of ``ALLOWABLE``, what is kept instead of ending a run.
    """

    low: int = 3
    high: int = 5
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ngrams:
    """The n-grams of some texts.

    Attributes:
        data: the texts as matched, one after the other.
        key: (N,) what each n-gram is.
        text: (N,) index of the text it stands in, ascending for each number of words.
        begin: (N,) its first byte in ``data``.
        end: (N,) one past its last byte.
        opens: (N,) bool, whether a line or a clause begins with it.
    """

    data: bytes
    key: Keys
    text: Ints
    begin: Ints
    end: Ints
    opens: npt.NDArray[np.bool_]

    def phrase(self, place: int) -> str:
        """The n-gram at a place."""
        return self.data[self.begin[place] : self.end[place]].decode("utf-8")


class _Classes(dict[int, str]):
    """``str.translate``'s table: letters folded, the rest a space or what ends a run."""

    def __init__(self, numbers: bool) -> None:
        super().__init__()
        self._numbers = numbers

    def __missing__(self, code: int) -> str:
        char = chr(code)
        folded = fold(char)
        if char in _PUNCTUATION:
            found = _CLAUSE
        elif char.isspace():
            found = " "
        elif folded.isalpha() or folded == "'" or (self._numbers and char.isdigit()):
            found = folded
        else:
            found = _GLUE if char.isalnum() or char == "_" else _SYMBOL
        self[code] = found
        return found


_TABLES = {numbers: _Classes(numbers) for numbers in (False, True)}


def find_ngrams(texts: Sequence[str], words: Words) -> Ngrams:
    """Every n-gram of every text, in the order of their number of words, then of their position.

    Args:
        texts: solutions as they were written.
        words: what an n-gram is.
    """
    table = _TABLES["numbers" in words.allow]
    plain = []
    for text in texts:
        if "latex" not in words.allow and ("\\" in text or "$" in text):
            text = _LATEX.sub(_GLUE, text)
        plain.append(" ".join(text.translate(table).split()))
    data = (_CLAUSE + _CLAUSE.join(plain) + _CLAUSE).encode("utf-8", errors="replace")
    buffer = np.frombuffer(data, dtype=np.uint8)
    begin, end = _words(buffer, "variables" in words.allow)
    lengths = [len(text.encode("utf-8", errors="replace")) for text in plain]
    text_of = np.searchsorted(np.cumsum([1, *(length + 1 for length in lengths)]), begin, side="right") - 1
    hashes = _word_hashes(buffer, begin, end)
    # Two words are of one run if just a space stands between them.
    joined = (begin[1:] - end[:-1] == 1) & (buffer[end[:-1]] == _SPACE) if len(begin) else np.zeros(0, dtype=bool)

    found = []
    whole = np.ones(len(begin), dtype=bool)  # whether the n words from here on are of one run
    sums = np.zeros(len(begin), dtype=np.uint64)
    for n in range(1, words.high + 1):
        count = max(0, len(begin) - n + 1)
        whole, sums = whole[:count], sums[:count] + hashes[n - 1 : n - 1 + count] * np.uint64(_OF_PLACE[n - 1])
        if n > 1:
            whole = whole & joined[n - 2 : n - 2 + count]
        if n >= words.low:
            place = np.flatnonzero(whole)
            found.append((_mixed(sums[place] + np.uint64(n)), text_of[place], begin[place], end[place + n - 1]))
    key, text, first, last = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    before = np.where(buffer[first - 1] == _SPACE, buffer[first - 2], buffer[first - 1])
    return Ngrams(data, key, text, first, last, before == ord(_CLAUSE))


def _words(buffer: npt.NDArray[np.uint8], variables: bool) -> tuple[Ints, Ints]:
    """First byte, and one past the last, of each word that may stand in an n-gram."""
    letter = buffer > _APOSTROPHE  # what else is left is a space, a break, or glue
    inner = np.flatnonzero(buffer == _APOSTROPHE)
    letter[inner[letter[inner - 1] & letter[inner + 1]]] = True  # the data begins and ends with a break
    edge = np.diff(letter.view(np.int8))
    begin, end = np.flatnonzero(edge == 1) + 1, np.flatnonzero(edge == -1) + 1
    good = (buffer[begin - 1] != ord(_GLUE)) & (buffer[end] != ord(_GLUE))
    if not variables:
        characters = np.concatenate([[0], np.cumsum((buffer & 0xC0) != 0x80)])
        first = buffer[begin]
        plain = (first == ord("a")) | (first == ord("i")) | (first <= ord("9"))
        good &= (characters[end] - characters[begin] > 1) | plain
    return begin[good], end[good]


def _word_hashes(buffer: npt.NDArray[np.uint8], begin: Ints, end: Ints) -> Keys:
    """A hash of each word: a polynomial in its bytes, from prefix sums, then mixed. All arithmetic is modulo 2^64."""
    sums = np.zeros(len(buffer) + 1, dtype=np.uint64)
    np.cumsum(_OF_BYTE[buffer] * _powers(_BASE, len(buffer)), out=sums[1:])
    # The sum of a word at position p holds the factor BASE^p; the word's hash must not.
    return _mixed((sums[end] - sums[begin]) * _powers(pow(_BASE, -1, 2**64), len(buffer))[begin])


@cache
def _powers_up_to(base: int, size: int) -> Keys:
    powers: Keys = np.full(size, base, dtype=np.uint64)
    powers[0] = 1
    np.multiply.accumulate(powers, out=powers)
    return powers


def _powers(base: int, size: int) -> Keys:
    """The first powers of a base; those up to the next power of two are kept."""
    powers = _powers_up_to(base, 1 << size.bit_length())
    return powers[:size]


def _mixed(keys: Keys) -> Keys:
    """Spread every bit over all bits (the finaliser of SplitMix64)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
