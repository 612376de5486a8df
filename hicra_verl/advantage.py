"""The HICRA advantage: a pure function of tensors.

The paper (arXiv 2509.03646, the HICRA advantage): ``A'[i,t] = A[i,t] + alpha * |A[i,t]|`` if token t of response i is
a planning token, else ``A[i,t]``. So a planning token's credit grows by alpha where the response did better than
its group and its blame shrinks by alpha where it did worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import EllipsisType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_PART_TOKENS = 1 << 17


def shape_advantages(advantages: torch.Tensor, planning_mask: torch.Tensor, alpha: float) -> torch.Tensor:
    """Add ``alpha * |A|`` to the advantages of planning tokens.

    Args:
        advantages: (B, T) float, or any shape; the base estimator's.
        planning_mask: bool, or weights from 0 to 1 (ours), of the same shape.
        alpha: the paper's alpha, 0.2 in all its experiments.

    Returns:
        A new tensor of the same shape and dtype. Bit-equal to ``advantages`` wherever the mask is False, and
        everywhere if alpha is 0.

    Raises:
        ValueError: if the shapes differ or the mask is neither boolean nor floating point.
    """
    import torch

    if advantages.shape != planning_mask.shape:
        raise ValueError(
            f"advantages {tuple(advantages.shape)} and planning_mask {tuple(planning_mask.shape)} must have one shape: "
            "the mask is made from the same responses, token for token"
        )
    if planning_mask.dtype != torch.bool and not planning_mask.is_floating_point():
        raise ValueError(f"planning_mask must be a bool tensor, or weights from 0 to 1, got {planning_mask.dtype}")
    if alpha == 0:
        return advantages.clone()
    shaped = torch.empty_like(advantages)
    for rows in row_parts(advantages.shape):
        base, mask = advantages[rows], planning_mask[rows]
        if mask.dtype == torch.bool:
            shaped[rows] = torch.where(mask, base + alpha * base.abs(), base)
        else:
            shaped[rows] = base + (alpha * mask * base.abs()).to(base.dtype)
    return shaped


def row_parts(shape: Sequence[int]) -> list[slice | EllipsisType]:
    """The rows of a tensor, some at a time, so that what is made on the way stays in a core's cache."""
    if not shape:
        return [...]
    rows = max(1, _PART_TOKENS // max(1, math.prod(shape[1:])))
    return [slice(start, start + rows) for start in range(0, shape[0], rows)]
