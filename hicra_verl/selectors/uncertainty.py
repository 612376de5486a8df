"""The tokens of which the policy was least certain."""

from __future__ import annotations

import torch

from hicra_verl.extensions import SELECTORS, Fraction, needs
from hicra_verl.metrics.forks import high_entropy_mask
from hicra_verl.rollout import RolloutBatch


@SELECTORS.register("high_entropy")
@needs("entropies")
def high_entropy(batch: RolloutBatch, *, fraction: Fraction = 0.3) -> torch.Tensor:
    """The tokens drawn from the distributions of highest entropy in the batch (paper: the top 30%)."""
    return high_entropy_mask(batch.require("entropies", "high_entropy"), batch.response_mask, fraction)


@SELECTORS.register("low_probability")
@needs("log_probs")
def low_probability(batch: RolloutBatch, *, fraction: Fraction = 0.2) -> torch.Tensor:
    """The tokens of lowest probability in the batch (ours: the lowest 20%)."""
    return high_entropy_mask(-batch.require("log_probs", "low_probability"), batch.response_mask, fraction)
