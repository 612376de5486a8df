"""Normalised texts with the place of each byte in the texts as they were: the fast way of ``grams/text.py``'s rules.

Texts are whole, so a character never needs its neighbours, and all of it is done on bytes. A character that becomes a
shorter one leaves ``FILLER`` where it was longer, so that places stay.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hicra_verl.grams.matcher import Bools, Ints
from hicra_verl.grams.pieces import BREAK
from hicra_verl.grams.text import fold

FILLER = 0xFE  # a byte that no UTF-8 text holds, and no break
LONGEST_CHARACTER = 4  # bytes

_SPACE = 0x20

_ASCII = bytes(range(128))
_FOLDED = bytes(
    code if code >= 128 else ord(" " if chr(code).isspace() else fold(chr(code))) for code in range(256)
)  # fmt: skip


class Layout(NamedTuple):
    """Texts, laid end to end, each with a break behind it.

    Attributes:
        text: (N,) bytes, normalised.
        places: (N,) where each of its bytes was; None if nothing has moved.
        whole: (T,) the bytes at their places, with fillers and all white space.
    """

    text: npt.NDArray[np.uint8]
    places: Ints | None
    whole: npt.NDArray[np.uint8]

    def spans(self, begin: Ints, finish: Ints) -> tuple[Ints, Ints]:
        """Where parts of the normalised text begin and end in the texts as they were.

        Args:
            begin: (M,) first byte of each.
            finish: (M,) one past the last.
        """
        if self.places is None:
            return begin, finish
        first, end = self.places[begin], self.places[finish - 1] + 1
        for _ in range(LONGEST_CHARACTER - 1):
            end = end + (self.whole[end] == FILLER)  # a break ends the text, so there is a byte
        return first, end

    def covered(self, first: Ints, end: Ints) -> Bools:
        """(T,) the bytes in one of the spans; white space is in none."""
        change = np.zeros(len(self.whole) + 1, dtype=np.int32)
        np.add.at(change, first, 1)
        np.add.at(change, end, -1)
        space = self.whole == _SPACE
        if self.places is not None:
            filler = self.whole == FILLER
            for _ in range(LONGEST_CHARACTER - 1):
                space[1:] |= space[:-1] & filler[1:]
        inside: Bools = np.cumsum(change[:-1]) > 0
        inside[space] = False
        return inside

    def following(self, finish: Ints, words: int) -> list[bytes | None]:
        """The white-space-separated pieces behind each part, joined by single spaces; None where a break comes first.

        Args:
            finish: (M,) one past the last byte of each.
            words: how many pieces.
        """
        text = self.text
        begin = finish + (text[finish] == _SPACE)
        stops = np.flatnonzero(text == BREAK)
        stop = stops[np.searchsorted(stops, begin)]
        borders = np.append(np.flatnonzero((text == _SPACE) | (text == BREAK)), np.full(words, len(text)))
        end = borders[np.searchsorted(borders, begin) + words - 1]
        full = (end < stop) | ((end == stop) & (end > begin) & (text[end.clip(max=stop) - 1] != _SPACE))
        data = text.tobytes()
        pairs = zip(begin.tolist(), end.tolist(), full.tolist(), strict=True)
        return [data[start:until] if one else None for start, until, one in pairs]


def lay_out(data: bytes) -> Layout | None:
    """Normalise texts.

    Args:
        data: their bytes (``text_bytes``), with a break behind each.

    Returns:
        None if a character becomes a longer one, for which there is no room.
    """
    for char in set(data.translate(None, _ASCII + bytes([BREAK])).decode()):
        old, new = char.encode(), _replacement(char)
        if len(new) > len(old):
            return None
        if new != old:
            data = data.replace(old, new.ljust(len(old), bytes([FILLER])))
    data = data.translate(_FOLDED)
    whole = np.frombuffer(data, dtype=np.uint8)
    places = np.flatnonzero(whole != FILLER) if FILLER in data else None
    if b"  " in data or places is not None:
        text = whole if places is None else whole[places]
        space = text == _SPACE
        again = np.flatnonzero(~np.concatenate([[False], space[1:] & space[:-1]]))
        text, places = text[again], again if places is None else places[again]
        return Layout(text, places, whole)
    return Layout(whole, None, whole)


@cache
def _replacement(char: str) -> bytes:
    return b" " if char.isspace() else fold(char).encode()
