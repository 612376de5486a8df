"""One batch of rollouts, as selectors, shapers and measurements see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hicra_verl.errors import HicraError

if TYPE_CHECKING:
    import torch


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
        rollout_log_probs: (B, T) float, ``log_probs`` as the rollout engine computed them while it wrote.
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
    rollout_log_probs: torch.Tensor | None = None

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

    def check_shape(self, found: Any, who: str) -> None:
        """Refuse what is no tensor of this batch's shape (B, T).

        Raises:
            HicraError: naming ``who`` returned it, and what it is.
        """
        shape = tuple(self.token_ids.shape)
        if not hasattr(found, "dtype") or tuple(found.shape) != shape:
            got = tuple(found.shape) if hasattr(found, "dtype") else type(found).__name__
            raise HicraError(f"{who} returned {got}, expected a tensor of shape (B, T) = {shape}")

    def checked_mask(self, found: Any, who: str) -> torch.Tensor:
        """A mask, or weights from 0 to 1, with nothing selected where ``response_mask`` is False.

        Raises:
            HicraError: if it is neither, naming ``who`` returned it.
        """
        import torch

        self.check_shape(found, who)
        if found.dtype == torch.bool:
            return torch.logical_and(found, self.response_mask)
        if not found.is_floating_point():
            raise HicraError(f"{who} returned {found.dtype}, expected bool, or weights from 0 to 1")
        own = found[self.response_mask]
        if not bool(((own >= 0) & (own <= 1)).all()):
            raise HicraError(f"{who} returned weights outside 0 to 1, or NaN")
        return torch.where(self.response_mask, found.float(), 0.0)
