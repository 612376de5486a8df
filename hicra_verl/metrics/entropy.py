"""Entropies of distributions given by counts, in nats."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hicra_verl.metrics.table import Metric


def entropy_nats(counts: npt.ArrayLike) -> float:
    """Shannon entropy, in nats, of the frequency distribution that ``counts`` gives; 0.0 if all counts are zero.

    The paper's semantic entropy is this entropy of the frequencies of strategic grams; it names neither the base of
    the logarithm nor the window. Ours: natural logarithm, over all responses of a training step.
    """
    values = np.asarray(counts, dtype=np.float64)
    values = values[values > 0]
    if len(values) == 0:
        return 0.0
    fractions = values / values.sum()
    return float(-(fractions * np.log(fractions)).sum()) + 0.0  # no negative zero


def corrected_entropy_nats(counts: npt.ArrayLike) -> float:
    """The entropy with Miller and Madow's correction for small samples: plus (K - 1) / 2N.

    K is the number of distinct outcomes seen, N of observations. The plain estimate is too low, the more so the fewer
    observations; a step with few grams therefore seems less diverse than it is. Ours: the paper corrects nothing.
    """
    values = np.asarray(counts, dtype=np.float64)
    total = values.sum()
    return entropy_nats(values) + ((values > 0).sum() - 1) / (2 * total) if total > 0 else 0.0


def normalised_entropy(counts: npt.ArrayLike) -> float:
    """The entropy divided by its maximum, that of all outcomes equally often; 0 to 1. 0.0 for fewer than two outcomes.

    Args:
        counts: one an outcome, those never seen included.
    """
    outcomes = np.asarray(counts).size
    return entropy_nats(counts) / math.log(outcomes) if outcomes > 1 else 0.0


def conditional_entropy_nats(counts: Mapping[tuple[Any, Any], int]) -> float:
    """Entropy, in nats, of what follows given what it follows: the mean over givens, by frequency, of their entropies.

    The paper: conditional entropy of the procedural n-grams after a strategic gram, plotted as change from the start;
    it gives neither n nor the window. Ours: the next three words, over all responses of a training step.

    Args:
        counts: how often each (given, following) pair was seen.
    """
    by_given: dict[Any, list[int]] = defaultdict(list)
    for (given, _), count in counts.items():
        by_given[given].append(count)
    total = sum(counts.values())
    return sum(sum(seen) / total * entropy_nats(seen) for seen in by_given.values()) if total else 0.0


DIVERSITY = "Diversity of plans (nats)"

# fmt: off
METRICS = [
    Metric("hicra/semantic_entropy_nats", "semantic entropy", "nats",
           "entropy of the frequencies of the grams, counted leftmost-longest", "paper; window and base ours",
           lambda step: entropy_nats(step.gram_counts), texts=True, chart=DIVERSITY),
    Metric("hicra/semantic_entropy_corrected_nats", "corrected for sample size", "nats",
           "the same plus (K-1)/2N, for K distinct grams in N: the plain value is too low when grams are few",
           "Miller and Madow; ours",
           lambda step: corrected_entropy_nats(step.gram_counts), texts=True, chart=DIVERSITY),
    Metric("hicra/semantic_entropy_normalised", "semantic entropy, of its maximum", "fraction",
           "the plain value / ln of the number of grams in the set", "ours",
           lambda step: normalised_entropy(step.gram_counts), texts=True),
    Metric("hicra/semantic_entropy_normalised_corrected", "semantic entropy, corrected, of its maximum", "fraction",
           "the corrected value / ln of the number of grams in the set", "ours",
           lambda step: corrected_entropy_nats(step.gram_counts) / math.log(len(step.grams))
           if len(step.grams) > 1 else None, texts=True),
    Metric("hicra/semantic_entropy_correct_nats", "semantic entropy of right responses", "nats",
           "the plain value over right responses only", "ours",
           lambda step: entropy_nats(step.gram_counts_correct) if step.scores else None, texts=True),
    Metric("hicra/semantic_entropy_correct_corrected_nats", "semantic entropy of right responses, corrected", "nats",
           "the corrected value over right responses only", "ours",
           lambda step: corrected_entropy_nats(step.gram_counts_correct) if step.scores else None, texts=True),
    Metric("hicra/distinct_grams", "different grams", "grams", "different grams seen; it rises with their number",
           "ours", lambda step: float((step.gram_counts > 0).sum()), texts=True),
    Metric("hicra/conditional_entropy_nats", "words after a gram", "nats",
           "entropy of the three white-space-separated words after a gram, given the gram: the mean over grams by "
           "frequency; a gram with fewer words after it does not count; it rises with the number of grams: compare "
           "`…_matched_nats`", "paper; n and window ours",
           lambda step: conditional_entropy_nats(step.following), texts=True),
    Metric("hicra/conditional_entropy_change_nats", "words after a gram, change with size", "nats",
           "the same less its value at the run's first step", "paper", texts=True,
           of="hicra/conditional_entropy_nats", compare=lambda now, first: now - first),
]
# fmt: on
