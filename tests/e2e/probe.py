"""Loaded by verl in every process of a test run (VERL_USE_EXTERNAL_MODULES): records what verl computes and receives.

``base_*.pt``   what verl's own code returns as the base advantage, in the trainer
``actor_*.pt``  what the actor's loss function is given, in the training worker
"""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import Any

import torch
import wrapt

FOLDER = Path(os.environ["HICRA_PROBE_FOLDER"])


def save(kind: str, tensors: dict[str, Any]) -> None:
    torch.save(tensors, FOLDER / f"{kind}_{time.monotonic_ns():020d}.pt")


def record_base(utils: Any) -> None:
    original = utils.compute_advantage_for_multi_trajectories

    @functools.wraps(original)
    def compute(data: Any, batch_keys: list[str], *args: Any, **kwargs: Any) -> Any:
        result = original(data, batch_keys, *args, **kwargs)
        batch = result.batch
        uid = result.non_tensor_batch["uid"].tolist()
        fields = {name: batch[name].clone() for name in ("advantages", "response_mask", "token_level_rewards")}
        save("base", {**fields, "keys": list(batch_keys), "uid": uid, "estimator": str(kwargs["adv_estimator"])})
        return result

    utils.compute_advantage_for_multi_trajectories = compute


def record_actor(losses: Any) -> None:
    original = losses.ppo_loss

    @functools.wraps(original)
    def ppo_loss(config: Any, model_output: Any, data: Any, dp_group: Any = None) -> Any:
        fields = ("advantages", "response_mask", "responses")
        save("actor", {name: data[name].to_padded_tensor(0) for name in fields})
        return original(config, model_output, data, dp_group)

    losses.ppo_loss = ppo_loss


wrapt.register_post_import_hook(record_base, "verl.trainer.ppo.v1.utils")
wrapt.register_post_import_hook(record_actor, "verl.workers.utils.losses")
