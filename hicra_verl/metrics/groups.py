"""What the groups of a training step (several responses to one prompt) say.

A response is right if its score is above zero (verl's rewards are 0 or 1, or -1 or 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hicra_verl.metrics.pass_at_k import pass_at_k
from hicra_verl.metrics.table import Metric, Values

if TYPE_CHECKING:
    from hicra_verl.metrics.step import StepMetrics

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


def _of_sampled(measure: Callable[[Scores], Values]) -> Callable[[StepMetrics], Values]:
    """A measure of all groups that were sampled, trained on or not; None where some were dropped unseen."""
    return lambda step: None if step.filtering == "unseen" else measure({**step.scores, **step.dropped})


def _of_kept(measure: Callable[[Scores], Values]) -> Callable[[StepMetrics], Values]:
    """A measure of the groups that were trained on; None where nothing is dropped, for it is the same."""
    return lambda step: None if step.filtering == "none" else measure(step.scores)


def _kept_fraction(step: StepMetrics) -> float | None:
    sampled = len(step.scores) + len(step.dropped)
    return len(step.scores) / sampled if step.filtering == "seen" and sampled else None


CHART = "Pass@k on training prompts"
KEPT = "the same of the groups trained on, where dynamic filtering drops others (`algorithm.filter_groups`)"

# fmt: off
METRICS = [
    Metric("hicra/pass@{k}", "Pass@{} on training rollouts", "fraction",
           "unbiased Pass@k over the step's groups, k = 1, 2, 4, … up to the smallest group; right: score above zero",
           "Chen et al., arXiv 2107.03374", _of_sampled(pass_at_powers), texts=True, chart=CHART,
           members=("1", "8")),
    Metric("hicra/pass@{k}_kept", "Pass@{} of groups trained on", "fraction", KEPT, "ours",
           _of_kept(pass_at_powers), texts=True, chart=CHART, members=("1", "8")),
    Metric("hicra/any_correct", "any correct", "fraction",
           "groups with a right response / groups; it rises with the size of groups, unlike `pass@k`", "ours",
           _of_sampled(any_correct), texts=True, chart=CHART),
    Metric("hicra/any_correct_kept", "any correct, groups trained on", "fraction", KEPT, "ours",
           _of_kept(any_correct), texts=True),
    Metric("hicra/groups_without_signal_fraction", "groups without signal", "fraction",
           "groups whose scores are all equal / groups; it falls with the size of groups", "ours",
           _of_sampled(without_signal), texts=True),
    Metric("hicra/groups_without_signal_fraction_kept", "groups without signal, trained on", "fraction", KEPT, "ours",
           _of_kept(without_signal), texts=True),
    Metric("hicra/groups_kept_fraction", "groups trained on", "fraction",
           "groups trained on / groups sampled, with dynamic filtering", "ours", _kept_fraction),
]
# fmt: on
