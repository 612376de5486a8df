"""Measures of variety that do not grow with the sample, because each looks at a fixed number of observations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.entropy import entropy_nats
from hicra_verl.metrics.table import Metric

if TYPE_CHECKING:
    from hicra_verl.grams.gramset import GramSet
    from hicra_verl.grams.matcher import Matches
    from hicra_verl.metrics.step import StepMetrics
    from hicra_verl.metrics.sums import TokenClasses
    from hicra_verl.rollout import RolloutBatch

Ints = npt.NDArray[np.int64]

BUDGET = 500
"""Ours: (gram, words) pairs, or grams, that a value is of. A step with fewer has no such value."""

DRAWS = 20
"""Ours: draws of pairs that are averaged."""

_WINDOWS = 10_000  # matched at once
_BARE = re.compile(r"(?:^|(?<= ))[^\w\n ]+(?=[ \n])", re.MULTILINE)  # a word without a letter or digit
_cached_matcher = lru_cache(maxsize=2)(TextMatcher)


def matched_entropies_nats(given: Ints, counts: Ints, budget: int = BUDGET, draws: int = DRAWS) -> list[float]:
    """Conditional entropies, in nats, of random draws of pairs; empty for fewer pairs than ``budget``.

    The entropy of what follows a gram grows with the number of pairs it is estimated from, far beyond any that a step
    has; so only values of equally many pairs compare. Draws are without replacement, and the same for the same counts.

    Args:
        given: (K,) which gram each different pair begins with.
        counts: (K,) how often each of them was seen.
        budget: pairs of a draw.
        draws: how many.
    """
    order = np.lexsort((counts, given))  # so that the order in which pairs were met has no influence
    given, ends = given[order], np.cumsum(counts[order])
    if not len(ends) or ends[-1] < budget:
        return []
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        drawn = np.searchsorted(ends, rng.choice(ends[-1], budget, replace=False, shuffle=False), side="right")
        found.append(entropy_nats(np.unique(drawn, return_counts=True)[1]) - entropy_nats(np.bincount(given[drawn])))
    return found


def rarefied(counts: npt.ArrayLike, budget: int = BUDGET) -> float | None:
    """How many different outcomes ``budget`` observations are expected to hold; None if there are fewer observations.

    Hurlbert 1971: the sum over outcomes of 1 - C(N - n, budget) / C(N, budget), for n of the N observations each.
    """
    seen = np.asarray(counts, dtype=np.int64)
    total = int(seen.sum())
    if total < budget:
        return None
    log = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])  # of factorials
    rest = total - seen[(seen > 0) & (total - seen >= budget)]  # the others are in every draw
    missed = np.exp(log[rest] - log[rest - budget] - log[total] + log[total - budget])
    return float((seen > 0).sum() - missed.sum())


def procedural(windows: Sequence[bytes], grams: GramSet) -> npt.NDArray[np.bool_]:
    """(W,) bool: whether the words of a window are procedural only: no gram is in it, and no word of bare punctuation.

    The paper's conditional entropy is of *procedural* n-grams; it does not say how they are told. A gram that begins in
    the window and ends behind it is not seen.

    Args:
        windows: words joined by spaces, of the normalised text.
        grams: the gram set.
    """
    kept = np.ones(len(windows), dtype=bool)
    for begin in range(0, len(windows), _WINDOWS):
        part = [window.decode() for window in windows[begin : begin + _WINDOWS]]
        text = "".join(f"{words}\n" for words in part)
        bare = [found.start() for found in _BARE.finditer(text)]
        kept[begin + np.searchsorted(np.cumsum([len(words) + 1 for words in part]), bare, side="right")] = False
        ends = np.cumsum([len(window) + 1 for window in windows[begin : begin + _WINDOWS]])
        for found in _cached_matcher(grams).match([text.replace("\n", "\ufffd")]):  # no gram matches across U+FFFD
            kept[begin + np.searchsorted(ends, found.matches.first_token, side="right")] = False
    return kept


def _pairs(following: Mapping[tuple[int, bytes], int], grams: GramSet) -> tuple[Ints, Ints]:
    windows = list({window for _, window in following})
    kept = dict(zip(windows, procedural(windows, grams).tolist(), strict=True))
    rows = [(gram, count) for (gram, window), count in following.items() if kept[window]]
    given, counts = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return given, counts


def _matched(step: StepMetrics) -> tuple[int, list[float]]:
    """How many pairs there are, and the entropies of the draws."""
    if "matched" not in step.made:
        given, counts = _pairs(step.following, step.grams)
        step.made["matched"] = int(counts.sum()), matched_entropies_nats(given, counts)
    found: tuple[int, list[float]] = step.made["matched"]
    return found


def _draw(step: StepMetrics, batch: RolloutBatch, matches: Matches, classes: TokenClasses) -> None:
    """Draw as soon as a batch was added, which the trainer does not wait for."""
    _matched(step)


def _mean(step: StepMetrics) -> float | None:
    _, draws = _matched(step)
    return float(np.mean(draws)) if draws else None


def _spread(step: StepMetrics) -> float | None:
    pairs, draws = _matched(step)
    # Draws that hold most of the pairs resemble each other; the factor makes up for it (finite population).
    return float(np.std(draws, ddof=1)) * ((pairs - 1) / (pairs - BUDGET)) ** 0.5 if pairs > BUDGET else None


# fmt: off
METRICS = [
    Metric("hicra/conditional_entropy_matched_nats", "words after a gram, matched for size", "nats",
           f"conditional entropy of {BUDGET} random (gram, three words) pairs, the mean of {DRAWS} seeded draws; only "
           "words without another gram and without a word of bare punctuation; left out where there are fewer pairs",
           "paper; size, n and window ours", _mean, add=_draw, texts=True),
    Metric("hicra/conditional_entropy_matched_sd", "words after a gram, matched for size, spread", "nats",
           "standard deviation of these draws, as if no two shared a pair", "ours", _spread, texts=True),
    Metric("hicra/conditional_entropy_matched_change_nats", "words after a gram, change", "nats",
           "the mean less its value at the run's first step", "paper; size ours", texts=True,
           of="hicra/conditional_entropy_matched_nats", compare=lambda now, first: now - first,
           chart="Words after a gram, change (nats)"),
    Metric("hicra/distinct_grams_rarefied", "different grams, matched for size", "grams",
           f"different grams expected in {BUDGET} of those counted; left out where fewer were counted",
           "Hurlbert 1971, rarefaction; ours", lambda step: rarefied(step.gram_counts), texts=True),
]
# fmt: on
