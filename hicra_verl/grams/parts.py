"""How often grams are counted when only a part of their set is matched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hicra_verl.grams.matcher import Bools, Ints, _leftmost_longest
from hicra_verl.grams.text_matcher import TextMatcher


def counts_of_parts(matcher: TextMatcher, texts: Sequence[str], parts: Sequence[Bools]) -> list[Ints]:
    """What a new matcher of each part would count, from the whole set's matches.

    A gram's matches do not depend on which others are in the set; only which of those that overlap is counted does. So
    the part's are the whole's less those of dropped grams, and the leftmost-longest are chosen anew among them: a gram
    that a dropped one had covered is counted then.

    Args:
        matcher: of the whole set.
        texts: the texts.
        parts: (G,) bool each, which grams are kept.

    Returns:
        (G,) for each part.
    """
    counts = [np.zeros(len(matcher.grams), dtype=np.int64) for _ in parts]
    for found in matcher.match(texts):
        matches = found.matches
        for part, total in zip(parts, counts, strict=True):
            kept = part[matches.gram]
            gram, begin, end = matches.gram[kept], matches.first_token[kept], matches.end_token[kept]
            total += np.bincount(gram[_leftmost_longest(begin, end)], minlength=len(total))
    return counts
