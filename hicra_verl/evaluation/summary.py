"""What an evaluation's samples say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from hicra_verl.evaluation.run import Sample
from hicra_verl.grading.grade import REASONS
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.entropy import entropy_nats
from hicra_verl.metrics.pass_at_k import pass_at_k

BOOTSTRAP_DRAWS = 10_000
CONFIDENCE = 0.95


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95% percentile interval of a mean, resampling its values (here: problems) with replacement.

    Args:
        values: one a problem.
        seed: of the resampling.
    """
    array = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = np.array([array[rng.integers(0, len(array), len(array))].mean() for _ in range(BOOTSTRAP_DRAWS)])
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def summarise(samples: Sequence[Sample], grams: GramSet) -> dict[str, Any]:
    """One benchmark's figures.

    Args:
        samples: all of its samples.
        grams: the gram set for semantic entropy.

    Returns:
        ``problems``, ``samples``, ``pass@1`` with ``pass@1_interval``, ``pass@K`` for every power of two up to the
        samples a problem has (all 0 to 1), ``clip_rate`` (share of responses cut off), ``length_tokens`` (mean),
        ``semantic_entropy_nats`` (over all responses), and ``grades``: how many responses were graded how.
    """
    by_problem: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_problem[sample.uid].append(sample)
    right = {uid: (len(group), sum(sample.correct for sample in group)) for uid, group in sorted(by_problem.items())}
    fewest = min(total for total, _ in right.values())
    figures: dict[str, Any] = {"problems": len(right), "samples": len(samples)}
    k = 1
    while k <= fewest:
        per_problem = [pass_at_k(total, correct, k) for total, correct in right.values()]
        figures[f"pass@{k}"] = float(np.mean(per_problem))
        if k == 1:
            figures["pass@1_interval"] = bootstrap_interval(per_problem)
        k *= 2
    figures["clip_rate"] = float(np.mean([sample.finish_reason == "length" for sample in samples]))
    figures["length_tokens"] = float(np.mean([sample.tokens for sample in samples]))
    figures["semantic_entropy_nats"] = entropy_nats(
        TextMatcher(grams).gram_counts([sample.response for sample in samples])
    )
    grades = [sample.grade for sample in samples]
    figures["grades"] = {reason: grades.count(reason) for reason in REASONS if reason in grades}
    return figures
