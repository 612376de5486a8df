"""Shapers without a formula of their own: nothing changes, or only selected tokens learn."""

from __future__ import annotations

import torch

from hicra_verl.extensions import SHAPERS
from hicra_verl.rollout import RolloutBatch


@SHAPERS.register("none")
def none(advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """``A``: the base estimator's advantages, with everything measured (ours)."""
    return advantages.clone()


@SHAPERS.register("mask_out")
def mask_out(
    advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, *, per_kept_token: bool = True
) -> torch.Tensor:
    """``A * N / K`` on the K selected tokens of N, ``0`` on the others: only selected tokens learn.

    The 80/20 rule (arXiv 2506.01939, equation 6) is this with ``selector=high_entropy selector_args.fraction=0.2``. Its
    loss divides by the kept tokens; N / K makes verl's ``token-mean``, which divides by all, do so.
    ``per_kept_token=false`` leaves the division by all tokens, as an earlier version of that paper has it.
    """
    kept = mask.sum()
    scale = batch.response_mask.sum() / kept if per_kept_token and kept > 0 else 1.0
    return advantages * mask * scale
