"""HICRA with its side effect on the whole batch taken out again.

``alpha * |A|`` is never negative, so HICRA lifts the mean advantage and its norm; with a large alpha advantages become
positive on the whole, and training can run away.
"""

from __future__ import annotations

import torch

from hicra_verl.advantage import shape_advantages
from hicra_verl.extensions import SHAPERS
from hicra_verl.rollout import RolloutBatch


@SHAPERS.register("centred")
def centred(advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, *, alpha: float) -> torch.Tensor:
    """``A' - mean(A' - A)``, A' HICRA's, the mean over the policy's own tokens of the batch (ours)."""
    shaped = shape_advantages(advantages, mask, alpha)
    shift = (shaped - advantages)[batch.response_mask]
    return shaped - shift.mean() if len(shift) and alpha else shaped


@SHAPERS.register("norm_matched")
def norm_matched(advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, *, alpha: float) -> torch.Tensor:
    """``A' * |A|_2 / |A'|_2``, A' HICRA's, the norms over the policy's own tokens of the batch (ours)."""
    shaped = shape_advantages(advantages, mask, alpha)
    before, after = advantages[batch.response_mask].norm(), shaped[batch.response_mask].norm()
    return shaped * (before / after) if after > 0 and alpha else shaped
