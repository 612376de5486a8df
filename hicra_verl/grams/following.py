"""The words that follow a match, read from the tokens behind it alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hicra_verl.grams.layout import Reading
from hicra_verl.grams.pieces import BREAK

Ints = npt.NDArray[np.int64]

_TOKENS_A_WORD = 3  # read at first; twice as many each time that was not enough
_SPACE = 0x20
_CUT = BREAK - 1  # as little a part of UTF-8 as the break; the text goes on there, but was not read


def following(reading: Reading, last: Ints, rest: Ints, words: int) -> list[bytes | None]:
    """The white-space-separated pieces behind each match, joined by single spaces.

    Args:
        reading: the responses' tokens.
        last: (M,) the number of each match's last token.
        rest: (M,) bytes of that token that stand behind the match.
        words: how many pieces.

    Returns:
        None for a match where a break stands before the last of them ends.
    """
    found: list[bytes | None] = [None] * len(last)
    wanted, tokens = np.arange(len(last)), _TOKENS_A_WORD * words
    while len(wanted):
        again = _read(reading, wanted, last[wanted], rest[wanted], words, tokens, found)
        wanted, tokens = wanted[again], 2 * tokens
    return found


def _read(
    reading: Reading, wanted: Ints, last: Ints, rest: Ints, words: int, tokens: int, found: list[bytes | None]
) -> npt.NDArray[np.bool_]:
    """Fill in what a number of tokens behind each match says; (M,) bool, for which matches that was not enough."""
    keep = np.zeros(len(reading), dtype=bool)
    for ahead in range(tokens + 1):
        keep[np.minimum(last + ahead, len(keep) - 1)] = True
    kept = keep.copy()
    kept[1:] |= keep[:-1]  # behind each stretch of tokens, where others are left out, a cut
    numbers = np.flatnonzero(kept)
    is_cut = ~keep[numbers]
    rows = reading.rows(numbers)
    rows[is_cut] = reading.break_row
    starts, data, _ = reading.pieces.lay_out(rows)
    data[starts[is_cut]] = _CUT

    begin = starts[np.searchsorted(numbers, last) + 1] - rest
    begin += data[begin] == _SPACE
    stops = np.flatnonzero(data >= _CUT)
    stop = stops[np.searchsorted(stops, begin)]
    borders = np.append(np.flatnonzero((data == _SPACE) | (data >= _CUT)), np.full(words, len(data)))
    end = borders[np.searchsorted(borders, begin) + words - 1]
    at_break = (end == stop) & (data[stop] == BREAK) & (end > begin) & (data[end.clip(max=stop) - 1] != _SPACE)
    enough = (end < stop) | at_break
    text = data.tobytes()
    for match, start, until in zip(wanted[enough].tolist(), begin[enough].tolist(), end[enough].tolist(), strict=True):
        found[match] = text[start:until]
    return np.asarray(~enough & (data[stop] == _CUT))
