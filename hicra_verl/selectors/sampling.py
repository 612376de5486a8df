"""Controls: tokens chosen by chance, or by their place."""

from __future__ import annotations

import zlib
from typing import Annotated

import torch

from hicra_verl.extensions import SELECTORS, Between, Fraction, needs
from hicra_verl.rollout import RolloutBatch


@SELECTORS.register("random")
@needs("planning_mask")
def random(
    batch: RolloutBatch, *, fraction: Fraction | None = None, seed: Annotated[int, Between(0, 2**32 - 1)] = 0
) -> torch.Tensor:
    """Tokens drawn at random: as many of the batch as lie in strategic grams, or a fraction (ours).

    The draw depends on the seed and on the batch alone, so a resumed run draws the same.
    """
    own = batch.response_mask.flatten().nonzero().flatten()
    count = int(batch.planning_mask.sum()) if fraction is None else int(fraction * len(own))
    content = batch.token_ids.masked_fill(~batch.response_mask, 0).contiguous()
    generator = torch.Generator().manual_seed(zlib.crc32(content.numpy().tobytes(), seed))
    mask = torch.zeros(batch.response_mask.numel(), dtype=torch.bool)
    mask[own[torch.randperm(len(own), generator=generator)[:count]]] = True
    return mask.view_as(batch.response_mask)


@SELECTORS.register("first_tokens")
def first_tokens(batch: RolloutBatch, *, count: Annotated[int, Between(1)] = 32) -> torch.Tensor:
    """The first tokens of each response (ours)."""
    return batch.response_mask & (batch.response_mask.cumsum(dim=1) <= count)
