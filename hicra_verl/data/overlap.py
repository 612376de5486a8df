"""Finding the same problem twice: to the letter, or nearly."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

SHINGLE_WORDS = 3  # ours
NEAR = 0.7  # ours: share of word triples in common (Jaccard) from which two problems count as one

_WORD = re.compile(r"\w+")


def key(problem: str) -> str:
    """What two spellings of one problem share: the words and numbers, case and LaTeX punctuation aside."""
    return " ".join(_WORD.findall(problem.casefold()))


def shingles(problem: str) -> frozenset[str]:
    """The problem's word triples; of a shorter problem, all its words as one."""
    words = key(problem).split()
    if len(words) < SHINGLE_WORDS:
        return frozenset([" ".join(words)])
    return frozenset(" ".join(words[i : i + SHINGLE_WORDS]) for i in range(len(words) - SHINGLE_WORDS + 1))


class NearIndex:
    """Problems that others are compared with; every comparison is exact (no sampling or hashing).

    Args:
        problems: the texts.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: Sequence[str] = list(problems)
        self._sizes: list[int] = []
        self._holders: dict[str, list[int]] = defaultdict(list)
        for number, problem in enumerate(self.problems):
            found = shingles(problem)
            self._sizes.append(len(found))
            for shingle in found:
                self._holders[shingle].append(number)

    def nearest(self, problem: str) -> tuple[float, int] | None:
        """The most similar problem: (Jaccard similarity of word triples, its index); None if nothing is shared."""
        found = shingles(problem)
        common = Counter(holder for shingle in found for holder in self._holders.get(shingle, ()))
        if not common:
            return None
        similarity = {number: count / (len(found) + self._sizes[number] - count) for number, count in common.items()}
        best = max(similarity, key=lambda number: (similarity[number], -number))
        return similarity[best], best
