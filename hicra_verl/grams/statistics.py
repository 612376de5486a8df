"""What a gram set does on a corpus: how often, in how many solutions, how much of the text, and beside what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from hicra_verl.grams.gramset import FUNCTIONS, GramSet
from hicra_verl.grams.matcher import Bools, Ints
from hicra_verl.grams.operations import words_in
from hicra_verl.grams.text_matcher import TextMatcher, TokenisedCorpus, batches, visible_bytes

MAX_PAIRED = 60  # of a solution's grams, how many count in pairs; bounds the table
LEAST_WORDS = (1, 2, 3)


@dataclass
class Statistics:
    """A set's statistics on a corpus.

    Attributes:
        solutions: texts looked at.
        solutions_with: (G,) texts that hold each gram, in longer ones or not.
        uses: (G,) how often each is counted: leftmost-longest, without overlaps.
        inside: (G,) how often each stands inside another match and so is not counted.
        by_function: function to the number of texts that hold one of its grams.
        without: texts that hold no gram.
        shares: least number of words (1, 2, 3) to the share of the text that grams of that many words or more flag.
        unit: what that share is of: tokens, or characters (UTF-8 bytes, white space aside) without a tokenizer.
        pairs: pairs of grams (first below second) to the number of texts that count both.
        contained: pairs (shorter, longer) where the shorter gram matches inside the longer one's text.
    """

    solutions: int
    solutions_with: Ints
    uses: Ints
    inside: Ints
    by_function: dict[str, int]
    without: int
    shares: dict[int, float]
    unit: str
    pairs: Counter[tuple[int, int]]
    contained: list[tuple[int, int]] = field(default_factory=list)

    def together(self, least: int = 5) -> list[tuple[int, int, int, float]]:
        """Pairs that stand together more often than chance has it: (first, second, texts, log2 of the ratio)."""
        rows = []
        for (first, second), count in self.pairs.items():
            if count >= least:
                chance = self.solutions_with[first] * self.solutions_with[second] / self.solutions
                rows.append((first, second, count, math.log2(count / chance)))
        return sorted(rows, key=lambda row: -row[2] * row[3])


def statistics(grams: GramSet, texts: Iterable[str], tokenizer: Any = None, table: Any = None) -> Statistics:
    """Measure a set.

    Args:
        grams: the set.
        texts: the corpus; read once, some at a time.
        tokenizer: what counts tokens; None counts characters.
        table: ``token_bytes(tokenizer)``.
    """
    size = len(grams)
    zeros = np.zeros(size, dtype=np.int64)
    found = Statistics(0, zeros, zeros.copy(), zeros.copy(), dict.fromkeys(FUNCTIONS, 0), 0, {}, "", Counter())
    functions = np.array([FUNCTIONS.index(gram.function) for gram in grams])
    matcher = TextMatcher(grams)
    parts_of_set = {least: tuple(gram for gram in grams if words_in(gram) >= least) for least in LEAST_WORDS}
    subsets = {least: replace(grams, grams=part) for least, part in parts_of_set.items() if part}
    compiled = {grams.grams: matcher}  # subsets are often the same: a large set takes seconds to compile
    for subset in subsets.values():
        if subset.grams not in compiled:
            compiled[subset.grams] = TextMatcher(subset)
    flagged, whole = Counter[int](), 0
    for batch in batches(texts):
        found.solutions += len(batch)
        held: list[tuple[Ints, Ints, Bools]] = []
        for part in matcher.match(batch):
            matches = part.matches
            found.uses += matches.gram_counts(size)
            found.inside += np.bincount(matches.gram[~matches.counted], minlength=size)
            held.append((part.owner, matches.gram, matches.counted))
        owner, gram, counted = (np.concatenate(arrays) for arrays in zip(*held, strict=True))
        in_text = np.unique(owner * size + gram)
        found.solutions_with += np.bincount(in_text % size, minlength=size)
        of_function = np.unique(in_text // size * len(FUNCTIONS) + functions[in_text % size])
        for function, count in Counter((of_function % len(FUNCTIONS)).tolist()).items():
            found.by_function[FUNCTIONS[function]] += count
        found.without += len(batch) - len(np.unique(owner))
        together = np.unique(owner[counted] * size + gram[counted])
        _, starts = np.unique(together // size, return_index=True)
        for grams_of_text in np.split(together % size, starts[1:]):
            found.pairs.update(combinations(grams_of_text[:MAX_PAIRED].tolist(), 2))
        if tokenizer is None:
            found.unit = "characters"
            whole += visible_bytes(batch)
            for least, subset in subsets.items():
                parts = compiled[subset.grams].match(batch)
                flagged[least] += sum(int(part.matches.planning_mask.sum()) for part in parts)
        else:
            found.unit = "tokens"
            ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in batch]
            corpus = TokenisedCorpus(ids, table)
            whole += corpus.tokens
            for least, subset in subsets.items():
                flagged[least] += corpus.flagged_tokens(subset)
    found.contained = contained(matcher)
    found.shares = {least: flagged[least] / max(1, whole) for least in LEAST_WORDS}
    return found


def contained(matcher: TextMatcher) -> list[tuple[int, int]]:
    """Pairs (shorter, longer) of a set's grams where the shorter one matches inside the longer one's text."""
    rows = []
    for found in matcher.match([gram.text for gram in matcher.grams]):
        pairs = zip(found.matches.gram.tolist(), found.owner.tolist(), strict=True)
        rows += [(gram, owner) for gram, owner in pairs if gram != owner]
    return sorted(set(rows))


@dataclass(frozen=True)
class Agreement:
    """How two sets agree on a corpus; shares are of its characters (UTF-8 bytes, white space aside).

    Attributes:
        first: share that the first set flags.
        second: share that the second flags.
        both: share that both flag.
        only_first: (G,) counted uses of the first set's grams of which the second flags nothing.
        only_second: the same of the second's.
    """

    first: float
    second: float
    both: float
    only_first: Ints
    only_second: Ints

    @property
    def jaccard(self) -> float:
        """What both flag, of what either flags; 1 if neither flags anything."""
        either = self.first + self.second - self.both
        return self.both / either if either else 1.0


def agreement(first: GramSet, second: GramSet, texts: Iterable[str]) -> Agreement:
    """Compare what two sets flag."""
    matchers = TextMatcher(first), TextMatcher(second)
    flagged = np.zeros(3, dtype=np.int64)
    whole = 0
    only = [np.zeros(len(grams), dtype=np.int64) for grams in (first, second)]
    for batch in batches(texts):
        whole += visible_bytes(batch)
        for parts in zip(*(matcher.match(batch) for matcher in matchers), strict=True):
            left, right = (part.matches.planning_mask[0] for part in parts)
            flagged += [int(left.sum()), int(right.sum()), int((left & right).sum())]
            for mine, others_mask, part in zip(only, (right, left), parts, strict=True):
                mine += _untouched(part.matches, others_mask, len(mine))
    shares = flagged / max(1, whole)
    return Agreement(float(shares[0]), float(shares[1]), float(shares[2]), only[0], only[1])


def _untouched(matches: Any, mask: Bools, size: int) -> Ints:
    """(size,) counted matches that hold no flagged place."""
    sums = np.concatenate([[0], np.cumsum(mask)])
    alone = matches.counted & (sums[matches.end_token] == sums[matches.first_token])
    return np.bincount(matches.gram[alone], minlength=size)


def frequent_first(counts: Sequence[int] | Ints) -> list[int]:
    """Indices by falling count; equal counts keep their order."""
    return sorted(range(len(counts)), key=lambda place: -int(counts[place]))
