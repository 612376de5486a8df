"""The tokens of strategic grams: the paper's planning tokens."""

from __future__ import annotations

import torch

from hicra_verl.extensions import SELECTORS, needs
from hicra_verl.rollout import RolloutBatch


@SELECTORS.register("grams")
@needs("planning_mask")
def grams(batch: RolloutBatch) -> torch.Tensor:
    """The tokens of strategic grams (paper, section 2)."""
    return batch.planning_mask


@SELECTORS.register("all")
def everything(batch: RolloutBatch) -> torch.Tensor:
    """All of the policy's own tokens."""
    return batch.response_mask
