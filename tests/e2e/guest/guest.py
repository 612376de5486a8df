"""A guest's whole package: a selector, and a shaper with a state, as CONTRIBUTING.md shows them."""

from __future__ import annotations

from typing import Annotated

import torch

from hicra_verl.extensions import Between
from hicra_verl.rollout import RolloutBatch


def long_tokens(batch: RolloutBatch, *, at_least: Annotated[int, Between(1)] = 4) -> torch.Tensor:
    """Tokens that spell so many bytes or more."""
    lengths = torch.tensor([len(spelt or b"") for spelt in batch.token_bytes])
    known = batch.token_ids.clamp(max=len(lengths) - 1)  # a policy may write ids that its tokenizer does not have
    return lengths[known] >= at_least


class Warmup:
    """HICRA whose alpha grows to its full value over the first steps."""

    def __init__(self, alpha: float, steps: Annotated[int, Between(1)] = 10) -> None:
        self.alpha, self.steps, self.seen = alpha, steps, 0

    def __call__(self, advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
        self.seen += 1
        return advantages + self.current() * mask * advantages.abs()

    def current(self) -> float:
        return self.alpha * min(1.0, self.seen / self.steps)

    def metrics(self) -> dict[str, float]:
        return {"alpha": self.current(), "seen": self.seen}

    def state_dict(self) -> dict[str, int]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.seen = state["seen"]
