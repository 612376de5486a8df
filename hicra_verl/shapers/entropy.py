"""Other papers' shaping by entropy and surprisal, for comparison. All see every token unless a selector is named."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Annotated

import torch

from hicra_verl.extensions import SHAPERS, Between, Fraction, needs, selects
from hicra_verl.rollout import RolloutBatch


@SHAPERS.register("entropy_advantage")
@needs("entropies")
@selects("all")
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
@selects("all")
def gtpo(
    advantages: torch.Tensor,
    mask: torch.Tensor,
    batch: RolloutBatch,
    *,
    floor: Annotated[float, Between(0, open="low")] = 1e-8,
) -> torch.Tensor:
    """GTPO's token rewards, normalised (arXiv 2508.04349, equations 3, 5 and 6, as two replications quote them).

    Among a group's right responses that reach place t, of which there are n: ``1 + w * n * H / sum(H)``; among its
    wrong ones: ``-1 - w * n * (1/H) / sum(1/H)``. Right and wrong tokens of a group are then normalised apart, each by
    their own mean and standard deviation. So the base advantage has no part in it, w cancels, and tokens of right
    responses below their mean get a negative advantage. ``floor`` bounds 1/H (ours).
    """
    shaped = torch.zeros_like(advantages)
    members: dict[tuple[str, bool], list[int]] = defaultdict(list)
    right = (batch.require("scores", "gtpo") > 0).tolist()
    for row, group in enumerate(batch.require("groups", "gtpo")):
        members[group, right[row]].append(row)
    for (_, succeeded), rows in members.items():
        own = batch.response_mask[rows]
        entropy = batch.require("entropies", "gtpo")[rows].double().clamp(min=floor)
        weight = torch.where(own, entropy if succeeded else 1 / entropy, 0)
        bonus = own.sum(dim=0) * weight / weight.sum(dim=0).clamp(min=1e-300)
        rewards = bonus[own] if succeeded else -bonus[own]
        # Without a difference among tokens there is none to learn from: a set of one, or equal entropies.
        spread = float(rewards.std(unbiased=False)) if len(rewards) else 0.0
        if spread > 1e-9:
            values = torch.zeros_like(shaped[rows])
            values[own] = ((rewards - rewards.mean()) / spread).to(values.dtype)
            shaped[rows] = values
    return advantages + mask * (shaped - advantages)


@SHAPERS.register("stare")
@needs("log_probs", "entropies")
@selects("all")
class Stare:
    """STARE: the most surprising credited tokens weigh more while the entropy is low (arXiv 2606.19236, its O1).

    ``A * credit`` on the top ``fraction`` by surprisal ``-log p`` of the tokens with A > 0, ``A * blame`` on that of
    those with A < 0, while the batch's mean entropy is below ``target`` nats: the paper's W and M, 1.1 and, in its
    variant C2, 0.9. A blame of 1 is O1. With ``adapt`` above 0 the weights move by so much a batch, up to 1.5 and,
    in C2, down to 0.5: the state. The paper ranks each micro-batch by the policy being updated; here it is the whole
    batch, by the policy before the step.
    """

    def __init__(
        self,
        fraction: Fraction = 0.1,
        credit: Annotated[float, Between(1, 1.5)] = 1.1,
        blame: Annotated[float, Between(0.5, 1)] = 1.0,
        target: Annotated[float, Between(0)] = 0.3,
        adapt: Annotated[float, Between(0, 1)] = 0.0,
    ) -> None:
        self.fraction, self.target, self.adapt, self.penalises = fraction, target, adapt, blame < 1
        self.credit, self.blame, self.gate = credit, blame, False

    def __call__(self, advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
        entropy = float(batch.require("entropies", "stare")[batch.response_mask].mean())
        self.gate = entropy < self.target
        if self.adapt and entropy == entropy:  # a batch without tokens has no mean
            move = self.adapt * ((entropy < self.target) - (entropy > self.target))
            self.credit = min(max(self.credit + move, 1.0), 1.5)
            self.blame = min(max(self.blame - move, 0.5), 1.0) if self.penalises else self.blame
        weights = torch.ones_like(advantages)
        for chosen, weight in ((advantages > 0, self.credit), (advantages < 0, self.blame)):
            places = (chosen & (mask > 0) & batch.response_mask).flatten().nonzero().flatten()
            if self.gate and len(places):
                surprisal = -batch.require("log_probs", "stare").flatten()[places]
                weights.view(-1)[places[surprisal.topk(math.ceil(self.fraction * len(places))).indices]] = weight
        return advantages * (1 + mask * (weights - 1))

    def metrics(self) -> dict[str, float]:
        """Whether the weights are in force, and what they are."""
        return {"gate": float(self.gate), "credit": self.credit, "blame": self.blame}

    def state_dict(self) -> dict[str, float]:
        """The weights, which ``adapt`` moves."""
        return {"credit": self.credit, "blame": self.blame} if self.adapt else {}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take up the weights of an earlier step; without ``adapt`` the settings' stand."""
        if self.adapt and state:
            self.credit, self.blame = state["credit"], state["blame"]
