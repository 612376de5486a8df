"""What the groups of a training step (several responses to one prompt) say.

A response is right if its score is above zero (verl's rewards are 0 or 1, or -1 or 1).
"""

from __future__ import annotations

from collections.abc import Mapping

from hicra_verl.metrics.pass_at_k import pass_at_k
from hicra_verl.metrics.table import Metric

Scores = Mapping[str, Mapping[str, float]]
"""Prompt to session to score."""


def pass_at_powers(scores: Scores) -> dict[str, float]:
    """Unbiased Pass@k on the training rollouts, for k = 1, 2, 4, … up to the size of the smallest group; by k."""
    right = [(len(group), sum(score > 0 for score in group.values())) for group in scores.values()]
    fewest = min((size for size, _ in right), default=0)
    powers = [1 << power for power in range(fewest.bit_length())]
    return {str(k): sum(pass_at_k(size, correct, k) for size, correct in right) / len(right) for k in powers}


def any_correct(scores: Scores) -> float | None:
    """Fraction of the groups with a right response."""
    right = [any(score > 0 for score in group.values()) for group in scores.values()]
    return sum(right) / len(right) if right else None


def without_signal(scores: Scores) -> float | None:
    """Fraction of the groups whose scores are all equal: they teach a group-relative estimator nothing."""
    equal = [len(set(group.values())) == 1 for group in scores.values()]
    return sum(equal) / len(equal) if equal else None


CHART = "Pass@k on training prompts"

# fmt: off
METRICS = [
    Metric("hicra/pass@{k}", "Pass@{} on training rollouts", "fraction",
           "unbiased Pass@k over the step's groups, k = 1, 2, 4, … up to the smallest group; right: score above zero",
           "Chen et al., arXiv 2107.03374", lambda step: pass_at_powers(step.scores), texts=True, chart=CHART,
           members=("1", "8")),
    Metric("hicra/any_correct", "any correct", "fraction", "groups with a right response / groups", "ours",
           lambda step: any_correct(step.scores), texts=True, chart=CHART),
    Metric("hicra/groups_without_signal_fraction", "groups without signal", "fraction",
           "groups whose scores are all equal / groups", "ours", lambda step: without_signal(step.scores), texts=True),
]
# fmt: on
