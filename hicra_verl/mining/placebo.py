"""A placebo: random phrases that flag as many tokens as a gram set, to tell *which* phrases from *how many* tokens.

The authors' own placebo ("random n-grams") is described no further. Ours: each gram is replaced by a random phrase of
as many words that occurs about as often in a corpus of solutions; then phrases are exchanged until the share of
flagged tokens agrees. Same corpus, set, tokenizer and seed give the same file.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from hicra_verl.errors import HicraError
from hicra_verl.grams.gramset import Gram, GramSet
from hicra_verl.grams.text import normalise
from hicra_verl.grams.text_matcher import TokenisedCorpus
from hicra_verl.mining.ngrams import Words, find_ngrams

TOLERANCE = 0.02  # ours: relative difference of the two shares of flagged tokens
MAX_EXCHANGES = 2_000
NEIGHBOURS = 10  # a replacement is drawn among this many more and this many less frequent phrases


class PlaceboError(HicraError):
    """The corpus cannot give a placebo; the message says what is missing."""


def count_phrases(solutions: Sequence[str], lengths: set[int]) -> dict[int, Counter[str]]:
    """How often each phrase occurs, by its number of words."""
    counts: dict[int, Counter[str]] = {length: Counter() for length in lengths}
    found = find_ngrams(solutions, Words(min(lengths), max(lengths)))
    _, first, uses = np.unique(found.key, return_index=True, return_counts=True)
    for place, count in zip(first.tolist(), uses.tolist(), strict=True):
        phrase = found.phrase(place)
        length = phrase.count(" ") + 1
        if length in counts:
            counts[length][phrase] = count
    return counts


def make_placebo(
    reference: GramSet, solutions: Sequence[str], tokenizer: Any, table: list[bytes | None], seed: int
) -> tuple[GramSet, dict[str, float]]:
    """Draw a placebo of a set.

    Args:
        reference: the set to match.
        solutions: texts to draw from, and to measure both sets on.
        tokenizer: what counts the tokens.
        table: ``token_bytes(tokenizer)``.
        seed: of the draw.

    Returns:
        The placebo, and both shares of flagged tokens (``reference``, ``placebo``).

    Raises:
        PlaceboError: if the corpus is too small for the reference's lengths and frequencies.
    """
    corpus = TokenisedCorpus([tokenizer(text, add_special_tokens=False)["input_ids"] for text in solutions], table)
    target = corpus.flagged_share(reference)
    if target == 0:
        raise PlaceboError(f"{reference.name} matches nothing in these solutions, so there is no share to agree with")
    words_of = [len(normalise(gram.text).split()) for gram in reference]
    counts = count_phrases(solutions, set(words_of))
    pool = _Pool(counts, reference, random.Random(seed))
    chosen = [
        pool.draw(length, counts[length][normalise(gram.text)])
        for gram, length in zip(reference, words_of, strict=True)
    ]
    share = corpus.flagged_share(_as_set(reference, chosen, seed))
    for _ in range(MAX_EXCHANGES):
        if abs(share - target) <= TOLERANCE * target:
            return _as_set(reference, chosen, seed), {"reference": target, "placebo": share}
        place = pool.rng.randrange(len(chosen))
        before, length = chosen[place], words_of[place]
        # The missing (or superfluous) tokens, in occurrences of a phrase of this length.
        chosen[place] = pool.draw(length, max(1.0, before[0] + (target - share) * corpus.tokens / length))
        changed = corpus.flagged_share(_as_set(reference, chosen, seed))
        if abs(changed - target) < abs(share - target):
            share, rejected = changed, before
        else:
            chosen[place], rejected = before, chosen[place]
        insort(pool.ranked[length], rejected, key=itemgetter(0))
    raise PlaceboError(f"no set of random phrases came within {TOLERANCE:.0%} of {target:.2%} flagged tokens")


class _Pool:
    """The phrases that may replace grams: (frequency, phrase) by length, the rarest first."""

    def __init__(self, counts: dict[int, Counter[str]], reference: GramSet, rng: random.Random) -> None:
        self.rng = rng
        holds_a_gram = re.compile("|".join(rf"\b{re.escape(normalise(gram.text))}\b" for gram in reference))
        self.ranked: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for length, phrases in counts.items():
            candidates = sorted((count, text) for text, count in phrases.items() if not holds_a_gram.search(text))
            rng.shuffle(candidates)
            self.ranked[length] = sorted(candidates, key=itemgetter(0))  # those of one frequency stay in random order

    def draw(self, length: int, frequency: float) -> tuple[int, str]:
        """Take a phrase of about this frequency out of the pool."""
        candidates = self.ranked[length]
        if not candidates:
            raise PlaceboError(f"the corpus holds too few phrases of {length} words; give more solutions")
        first = bisect_left(candidates, frequency, key=itemgetter(0))
        last = bisect_right(candidates, frequency, key=itemgetter(0))
        middle = self.rng.randint(first, last)  # anywhere among those of just this frequency
        low, high = max(0, middle - NEIGHBOURS), min(len(candidates), middle + NEIGHBOURS)
        return candidates.pop(self.rng.randrange(low, high))


def _as_set(reference: GramSet, chosen: list[tuple[int, str]], seed: int) -> GramSet:
    grams = tuple(Gram(text, "other", f"random phrase, seed {seed}") for _, text in chosen)
    description = f"Random phrases that flag as many tokens as {reference.name}"
    return GramSet(f"placebo-{reference.name}-{seed}", grams, description)
