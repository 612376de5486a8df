"""A small batch as verl's trainers pass it on, and grams that stand in it."""

from __future__ import annotations

import numpy as np
import torch
from verl import DataProto

from hicra_verl.grams import Gram, GramSet

GRAMS = GramSet("test", (Gram("so", "other", ""), Gram("but wait", "other", "")))
TABLE = [b" so", b" but", b" wait", b" x", b" y", None]


def batch(seed: int = 0) -> DataProto:
    """4 prompts x 4 responses of 12 tokens, some shorter, with tool tokens masked out in the middle."""
    rng = np.random.default_rng(seed)
    responses = torch.from_numpy(rng.integers(0, len(TABLE), (16, 12)))
    response_mask = torch.ones(16, 12, dtype=torch.long)
    for row, length in enumerate(rng.integers(3, 13, 16)):
        response_mask[row, length:] = 0
    attention_mask = torch.cat([torch.ones(16, 2, dtype=torch.long), response_mask], dim=1)
    response_mask[::3, 1] = 0
    score = rng.random(16).astype(np.float32)
    rewards = torch.zeros(16, 12)
    rewards[torch.arange(16), attention_mask[:, 2:].sum(1) - 1] = torch.from_numpy(score)
    tensors = {
        "prompts": torch.zeros(16, 2, dtype=torch.long),
        "attention_mask": attention_mask,
        "responses": responses,
        "response_mask": response_mask,
        "token_level_rewards": rewards,
        "values": torch.from_numpy(rng.random((16, 12)).astype(np.float32)),
    }
    uid = np.repeat([f"prompt {i}" for i in range(4)], 4).astype(object)
    return DataProto.from_dict(tensors, non_tensors={"uid": uid, "score": score.astype(object)})
