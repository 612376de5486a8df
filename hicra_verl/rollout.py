"""One batch of rollouts, as selectors, shapers and measurements see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hicra_verl.errors import HicraError

if TYPE_CHECKING:
    import torch

B_T = "(B, T)"
"""B responses, one row each, padded to T tokens."""


class MissingFieldError(HicraError):
    """A field of the batch that the trainer does not keep."""


@dataclass(frozen=True)
class RolloutBatch:
    """B responses of a training step, on the CPU. What a trainer does not keep is None.

    Attributes:
        token_ids: (B, T) int; whatever stands where ``response_mask`` is False is to be ignored.
        response_mask: (B, T) bool, True on the policy's own tokens: no padding, no output of a tool.
        planning_mask: (B, T) bool, the policy's own tokens that lie in a strategic gram (paper, section 2).
        log_probs: (B, T) float, log-probability of each token under the policy about to be updated, in nats.
        entropies: (B, T) float, entropy of the distribution each token was drawn from, in nats.
        scores: (B,) float, the sum of each response's rewards.
        groups: (B,) the prompt each response answers.
        sessions: (B,) the session each response belongs to: of an agent loop's several outputs, the last one counts.
        token_bytes: (V,) the bytes each token id spells, None for added and special tokens.
    """

    token_ids: torch.Tensor
    response_mask: torch.Tensor
    planning_mask: torch.Tensor
    log_probs: torch.Tensor | None = None
    entropies: torch.Tensor | None = None
    scores: torch.Tensor | None = None
    groups: Sequence[str] | None = None
    sessions: Sequence[str] | None = None
    token_bytes: Sequence[bytes | None] | None = None

    def require(self, name: str, who: str) -> Any:
        """A field that must be there.

        Args:
            name: the field.
            who: what needs it, for the message: ``selector high_entropy``.

        Raises:
            MissingFieldError: if this trainer does not keep it.
        """
        value = getattr(self, name)
        if value is None:
            raise MissingFieldError(
                f"{who} needs {name}, which this trainer does not keep",
                remedy="verl's V1 trainer does (trainer.use_v1=true), unless rollout_correction.bypass_mode is on",
            )
        return value
