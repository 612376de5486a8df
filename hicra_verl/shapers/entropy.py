"""Other papers' shaping by entropy and surprisal, for comparison. All see every token unless a selector is named."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Annotated, Any

import torch

from hicra_verl.extensions import SHAPERS, Between, Fraction, needs
from hicra_verl.rollout import RolloutBatch


def _selecting_all(target: Any) -> Any:
    target.selects = "all"
    return target


@SHAPERS.register("entropy_advantage")
@needs("entropies")
@_selecting_all
def entropy_advantage(
    advantages: torch.Tensor,
    mask: torch.Tensor,
    batch: RolloutBatch,
    *,
    scale: Annotated[float, Between(0)] = 0.4,
    kappa: Annotated[float, Between(1, open="low")] = 2.0,
) -> torch.Tensor:
    """``A + min(scale * H, |A| / kappa)`` (arXiv 2506.14758, equations 4 to 6; it takes 0.4 and 2 for GRPO).

    H is the entropy at the beginning of the step; the paper's is recomputed at each of its updates.
    """
    bonus = torch.minimum(scale * batch.require("entropies", "entropy_advantage"), advantages.abs() / kappa)
    return advantages + mask * bonus


@SHAPERS.register("gtpo")
@needs("entropies", "scores", "groups")
@_selecting_all
def gtpo(
    advantages: torch.Tensor,
    mask: torch.Tensor,
    batch: RolloutBatch,
    *,
    entropy_weight: Annotated[float, Between(0)] = 0.1,
    floor: Annotated[float, Between(0, open="low")] = 1e-8,
) -> torch.Tensor:
    """GTPO's token rewards, normalised (arXiv 2508.04349, equations 3, 5 and 6, as two replications quote them).

    Among a group's right responses that reach place t, of which there are n: ``1 + w * n * H / sum(H)``; among its
    wrong ones: ``-1 - w * n * (1/H) / sum(1/H)``. Right and wrong tokens of a group are then normalised apart, each by
    its own mean and standard deviation, so the base advantage has no part in it. ``floor`` bounds 1/H (ours).
    """
    shaped = torch.zeros_like(advantages)
    members: dict[tuple[str, bool], list[int]] = defaultdict(list)
    right = (batch.require("scores", "gtpo") > 0).tolist()
    for row, group in enumerate(batch.require("groups", "gtpo")):
        members[group, right[row]].append(row)
    for (_, succeeded), rows in members.items():
        own = batch.response_mask[rows]
        entropy = batch.require("entropies", "gtpo")[rows].clamp(min=floor)
        weight = torch.where(own, entropy if succeeded else 1 / entropy, 0)
        bonus = entropy_weight * own.sum(dim=0) * weight / weight.sum(dim=0).clamp(min=floor)
        rewards = ((1 + bonus) if succeeded else -(1 + bonus))[own]
        spread = rewards.std(unbiased=False)
        normalised = torch.zeros_like(advantages[rows])
        normalised[own] = (rewards - rewards.mean()) / (spread + 1e-8)
        shaped[rows] = normalised
    return torch.where(mask > 0, shaped, advantages)


@SHAPERS.register("stare")
@needs("log_probs", "entropies")
@_selecting_all
class Stare:
    """STARE: the most surprising credited tokens weigh more while the entropy is low (arXiv 2606.19236, its O1).

    ``A * credit`` on the top ``fraction`` by surprisal ``-log p`` of the tokens with A > 0, ``A * blame`` on that of
    those with A < 0 (its C2, with 0.9; 1 leaves them), while the batch's mean entropy is below ``target`` nats. With
    ``adapt`` above 0 both weights move by so much a step, up to 1.5 and down to 0.5: the state. The paper ranks within
    each micro-batch and by the policy being updated; here it is the whole batch and the policy before the step.
    """

    def __init__(
        self,
        fraction: Fraction = 0.1,
        credit: Annotated[float, Between(1, 1.5)] = 1.1,
        blame: Annotated[float, Between(0.5, 1)] = 1.0,
        target: Annotated[float, Between(0)] = 0.3,
        adapt: Annotated[float, Between(0, 1)] = 0.0,
    ) -> None:
        self.fraction, self.target, self.adapt = fraction, target, adapt
        self.credit, self.blame, self.open = credit, blame, False

    def __call__(self, advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
        entropy = float(batch.require("entropies", "stare")[batch.response_mask].mean())
        self.open = entropy < self.target
        if self.adapt:
            move = self.adapt * (1 if self.open else -1)
            self.credit, self.blame = min(max(self.credit + move, 1), 1.5), min(max(self.blame - move, 0.5), 1)
        shaped = advantages.clone()
        for chosen, weight in ((advantages > 0, self.credit), (advantages < 0, self.blame)):
            places = (chosen & (mask > 0) & batch.response_mask).flatten().nonzero().flatten()
            if self.open and len(places):
                surprisal = -batch.require("log_probs", "stare").flatten()[places]
                most = places[surprisal.topk(math.ceil(self.fraction * len(places))).indices]
                shaped.view(-1)[most] *= weight
        return shaped

    def metrics(self) -> dict[str, float]:
        """Whether the gate was open, and the weights."""
        return {"open": float(self.open), "credit": self.credit, "blame": self.blame}

    def state_dict(self) -> dict[str, float]:
        """The weights, which ``adapt`` moves."""
        return {"credit": self.credit, "blame": self.blame}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take up the weights of an earlier step."""
        self.credit, self.blame = state["credit"], state["blame"]
