"""What each token of a response does: the function of the gram over it. The one rule for pages, traces and figures."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

import numpy as np

from hicra_verl.grams.gramset import FUNCTIONS, GramSet
from hicra_verl.grams.matcher import Ints, Matches
from hicra_verl.grams.text_matcher import TextMatcher, text_bytes


def function_indices(matches: Matches, grams: GramSet, row: int = 0, spaces: bool = False) -> Ints:
    """The function of each token of one response: that of the longest match over it, counted or not.

    Args:
        matches: of a batch (B, T); the tokens may be bytes.
        grams: the set that was matched.
        row: the response.
        spaces: give white space inside a match its function, too, as a reader of the phrase sees it. It is no planning
            token, so otherwise it has none.

    Returns:
        (T,) index into ``FUNCTIONS``; -1 where there is none.
    """
    found = np.full(matches.planning_mask.shape[1], -1, dtype=np.int64)
    places = np.flatnonzero(matches.row == row)
    length = matches.end_token[places] - matches.first_token[places]
    for place in places[np.argsort(length, kind="stable")].tolist():  # longer matches overwrite shorter ones
        first, end = matches.first_token[place], matches.end_token[place]
        found[first:end] = FUNCTIONS.index(grams.grams[int(matches.gram[place])].function)
    return found if spaces else np.where(matches.planning_mask[row], found, -1)


def token_functions(matches: Matches, grams: GramSet, row: int = 0, spaces: bool = False) -> list[str | None]:
    """``function_indices`` as names; None where there is none."""
    indices = function_indices(matches, grams, row, spaces).tolist()
    return [FUNCTIONS[index] if index >= 0 else None for index in indices]


def coloured_pieces(text: str, matcher: TextMatcher) -> list[tuple[str, str | None]]:
    """A text cut into runs of one function (None: execution), for showing."""
    [(matches, *_)] = matcher.match([text])
    functions = token_functions(matches, matcher.grams, spaces=True)
    runs = groupby(zip(text_bytes(text), functions, strict=False), itemgetter(1))  # a break follows the text
    return [(bytes(byte for byte, _ in run).decode("utf-8", errors="replace"), function) for function, run in runs]
