"""Fork tokens: those where the policy was least certain what to write next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hicra_verl.metrics.table import Metric

if TYPE_CHECKING:
    import torch

    from hicra_verl.grams.matcher import Matches
    from hicra_verl.metrics.step import StepMetrics
    from hicra_verl.rollout import RolloutBatch

HIGH_ENTROPY_FRACTION = 0.3
"""The paper's "high entropy" is the top 30% of tokens; it does not say of what. Ours: of the batch's own tokens."""


def high_entropy_mask(
    entropy: torch.Tensor, response_mask: torch.Tensor, fraction: float = HIGH_ENTROPY_FRACTION
) -> torch.Tensor:
    """Mark the tokens with the highest entropy of a batch.

    Args:
        entropy: (B, T) float, the entropy of the distribution each token was drawn from, in any unit.
        response_mask: (B, T) bool, the policy's own tokens; the others are neither counted nor marked.
        fraction: of the policy's own tokens, 0 < fraction < 1.

    Returns:
        (B, T) bool. At least ``fraction`` of the own tokens, rounded down; more only where entropies tie at the
        threshold.

    Raises:
        ValueError: if the shapes differ.
    """
    if entropy.shape != response_mask.shape:
        shapes = f"entropy {tuple(entropy.shape)} and response_mask {tuple(response_mask.shape)}"
        raise ValueError(f"{shapes} must have one shape (B, T)")
    values = entropy[response_mask]
    kept = int(fraction * len(values))
    if kept == 0:
        return response_mask.new_zeros(response_mask.shape)
    threshold = values.kthvalue(len(values) - kept + 1).values
    return response_mask & (entropy >= threshold)


def _add(step: StepMetrics, batch: RolloutBatch, matches: Matches) -> None:
    if batch.entropies is not None:
        high = high_entropy_mask(batch.entropies, batch.response_mask, step.entropy_fraction)
        step.sums["high"] += int(high.sum())
        step.sums["high_and_planning"] += int((high & batch.planning_mask).sum())


def _of(step: StepMetrics, tokens: float) -> float | None:
    return step.sums["high_and_planning"] / tokens if step.sums["high"] and tokens else None


CHART = "Planning and high-entropy tokens"

# fmt: off
METRICS = [
    Metric("hicra/planning_high_entropy_fraction", "planning that is high-entropy", "fraction",
           "planning tokens that are high-entropy / planning tokens; high-entropy: the top 30% of the step's batch",
           "paper; of the batch: ours", lambda step: _of(step, step.planning_tokens), add=_add, chart=CHART,
           old_name="hicra/planning_high_entropy_share"),
    Metric("hicra/high_entropy_planning_fraction", "high-entropy that is planning", "fraction",
           "the same tokens / high-entropy tokens", "paper", lambda step: _of(step, step.sums["high"]), chart=CHART,
           old_name="hicra/high_entropy_planning_share"),
]
# fmt: on
