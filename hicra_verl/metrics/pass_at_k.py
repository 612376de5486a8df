"""Pass@k: the chance that at least one of k samples is right."""

from __future__ import annotations


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of Pass@k from more than k samples (Chen et al., arXiv 2107.03374, equation 1).

    Args:
        samples: samples taken of one problem, at least k.
        correct: how many of them are right.
        k: 1 gives the share of right samples.

    Raises:
        ValueError: if there are fewer than k samples, or more right ones than samples.
    """
    if not 0 <= correct <= samples:
        raise ValueError(f"{correct} right samples of {samples}")
    if not 1 <= k <= samples:
        raise ValueError(f"Pass@{k} needs at least {k} samples of each problem, got {samples}")
    if samples - correct < k:
        return 1.0
    miss = 1.0
    for place in range(samples - correct + 1, samples + 1):
        miss *= 1.0 - k / place
    return 1.0 - miss
