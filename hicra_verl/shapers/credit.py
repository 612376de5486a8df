"""The paper's shaping, and its parts: more credit for selected tokens, less blame."""

from __future__ import annotations

from collections import defaultdict

import torch

from hicra_verl.advantage import shape_advantages
from hicra_verl.extensions import SHAPERS, Fraction, needs
from hicra_verl.rollout import RolloutBatch


@SHAPERS.register("hicra")
def hicra(advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, *, alpha: float) -> torch.Tensor:
    """``A + alpha * |A|`` on selected tokens (paper, the HICRA advantage)."""
    return shape_advantages(advantages, mask, alpha)


@SHAPERS.register("credit_only")
def credit_only(advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, *, alpha: float) -> torch.Tensor:
    """``A + alpha * max(A, 0)`` on selected tokens: the bonus on positive advantages only (ours)."""
    return advantages + alpha * mask * advantages.clamp(min=0) if alpha else advantages.clone()


@SHAPERS.register("penalty_only")
def penalty_only(advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, *, alpha: float) -> torch.Tensor:
    """``A + alpha * max(-A, 0)`` on selected tokens: the softened penalty on negative ones only (ours)."""
    return advantages + alpha * mask * (-advantages).clamp(min=0) if alpha else advantages.clone()


@SHAPERS.register("scale")
def scale(advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, *, alpha: float) -> torch.Tensor:
    """``(1 + alpha) * A`` on selected tokens: credit and blame alike (ours)."""
    return advantages * (1 + alpha * mask)


@SHAPERS.register("released")
@needs("entropies", "groups")
def released(
    advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, *, alpha: float, fraction: Fraction = 0.3
) -> torch.Tensor:
    """``A * (1 + alpha * sign(A))`` as the authors' released trainer is quoted to do (second-hand, not the paper's).

    On selected tokens, and on each response's tokens of highest entropy (the top ``fraction`` of the response) where
    the response has a positive advantage and is longer than its group's mean; groups without a positive advantage are
    skipped. Of an agent loop's several outputs, each counts as a response.
    """
    own, lengths = batch.response_mask, batch.response_mask.sum(dim=1).float()
    good = ((advantages > 0) & own).any(dim=1)
    chosen = torch.zeros_like(mask)
    members: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(batch.require("groups", "released")):
        members[group].append(row)
    for rows in members.values():
        if not good[rows].any():
            continue
        chosen[rows] = mask[rows]
        for row in rows:
            if good[row] and lengths[row] > lengths[rows].mean():
                entropies = batch.require("entropies", "released")[row]
                threshold = entropies[own[row]].quantile(1 - fraction)
                chosen[row][own[row] & (entropies > threshold)] = 1
    return shape_advantages(advantages, chosen, alpha)
