"""The paper's shaping, and its parts: more credit for selected tokens, less blame."""

from __future__ import annotations

import torch

from hicra_verl.advantage import shape_advantages
from hicra_verl.extensions import SHAPERS
from hicra_verl.rollout import RolloutBatch


@SHAPERS.register("hicra")
def hicra(advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, *, alpha: float) -> torch.Tensor:
    """``A + alpha * |A|`` on selected tokens (paper, the HICRA advantage)."""
    return shape_advantages(advantages, mask, alpha)
