"""Shapers without a formula of their own: nothing changes, or only selected tokens learn."""

from __future__ import annotations

import torch

from hicra_verl.extensions import SHAPERS, selects
from hicra_verl.rollout import RolloutBatch


@SHAPERS.register("none")
def none(advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """``A``: the base estimator's advantages, with everything measured (ours)."""
    return advantages.clone()


@SHAPERS.register("mask_out")
@selects("high_entropy")
def mask_out(
    advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, *, per_kept_token: bool = False
) -> torch.Tensor:
    """``A`` on selected tokens, ``0`` on the others: only selected tokens learn.

    The 80/20 rule (arXiv 2506.01939, equation 6) is this with ``selector_args={fraction: 0.2}``. Its loss divides by
    the kept tokens; ``per_kept_token=true`` multiplies by all over kept ones, so that verl's ``token-mean`` does so,
    on the whole (verl averages each mini-batch). Its code ranks each micro-batch by the policy being updated; here it
    is the whole batch, by the policy before the step.
    """
    kept = mask.sum(dtype=torch.float64)
    scale = float(batch.response_mask.sum() / kept) if per_kept_token and kept > 0 else 1.0
    return advantages * mask * scale
