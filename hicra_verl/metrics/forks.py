"""Fork tokens: those where the policy was least certain what to write next."""

from __future__ import annotations

import torch

HIGH_ENTROPY_SHARE = 0.3
"""The paper's "high entropy" is the top 30% of tokens; it does not say of what. Ours: of the batch's own tokens."""


def high_entropy_mask(entropy: torch.Tensor, own: torch.Tensor, share: float = HIGH_ENTROPY_SHARE) -> torch.Tensor:
    """Mark the tokens with the highest entropy of a batch.

    Args:
        entropy: (B, T) float, the entropy of the distribution each token was drawn from, in any unit.
        own: (B, T) bool, the policy's own tokens; the others are neither counted nor marked.
        share: of the policy's own tokens, 0 < share < 1.

    Returns:
        (B, T) bool. At least ``share`` of the own tokens, rounded down; more only where entropies tie at the threshold.

    Raises:
        ValueError: if the shapes differ.
    """
    if entropy.shape != own.shape:
        raise ValueError(f"entropy {tuple(entropy.shape)} and own {tuple(own.shape)} must have one shape (B, T)")
    values = entropy[own]
    kept = int(share * len(values))
    if kept == 0:
        return torch.zeros_like(own)
    threshold = values.kthvalue(len(values) - kept + 1).values
    return own & (entropy >= threshold)
