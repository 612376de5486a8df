"""What the groups of a training step (several responses to one prompt) say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hicra_verl.metrics.pass_at_k import pass_at_k


def group_metrics(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Pass@k on the training rollouts, and how many groups teach a group-relative estimator nothing.

    Args:
        scores: the responses' scores by prompt. A response is right if its score is above zero (verl's rewards are 0 or
            1, or -1 or 1).

    Returns:
        ``pass@k`` (unbiased) for k = 1, 2, 4, … up to the size of the smallest group; ``any_correct``: share of the
        groups with a right response; ``groups_without_signal_fraction``: share of the groups whose scores are all
        equal. Empty if there is no group.
    """
    if not scores:
        return {}
    right = [(len(group), sum(score > 0 for score in group)) for group in scores.values()]
    fewest = min(size for size, _ in right)
    metrics = {}
    k = 1
    while k <= fewest:
        metrics[f"pass@{k}"] = sum(pass_at_k(size, correct, k) for size, correct in right) / len(right)
        k *= 2
    metrics["any_correct"] = sum(correct > 0 for _, correct in right) / len(right)
    metrics["groups_without_signal_fraction"] = sum(len(set(group)) == 1 for group in scores.values()) / len(scores)
    return metrics
