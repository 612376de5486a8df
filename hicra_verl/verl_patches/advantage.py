"""The advantage: verl computes the base estimator's, HICRA shapes it, verl goes on with that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hicra_verl.config import ESTIMATOR
from hicra_verl.verl_patches import active


def compute_advantage(original: Callable[..., Any], data: Any, adv_estimator: Any, *args: Any, **kwargs: Any) -> Any:
    """Shape, or measure, what the legacy, one-step-off-policy and fully-async trainers compute."""
    # V1 calls this function, too, with a part of the batch; it is measured where the whole of it is at hand.
    if adv_estimator != ESTIMATOR and (active.base_computes or not active.measuring()):
        return original(data, adv_estimator, *args, **kwargs)
    shaper = active.shaper_in_force()
    base = adv_estimator if shaper.config.measure_only else shaper.config.base
    data = original(data, base, *args, **kwargs)
    batch, others = data.batch, data.non_tensor_batch
    known = _known(batch, others["uid"].tolist() if "uid" in others else None)
    batch["advantages"] = shaper.shape(batch["advantages"], batch["responses"], batch["response_mask"], **known)
    return data


def compute_advantage_v1(original: Callable[..., Any], trainer: Any, batch: Any, metrics: dict[str, Any]) -> Any:
    """Shape, or measure, what the V1 trainer wrote to TransferQueue."""
    algorithm = trainer.config.algorithm
    if algorithm.adv_estimator != ESTIMATOR and not active.measuring():
        return original(trainer, batch, metrics)
    import transfer_queue as tq
    from tensordict import TensorDict
    from verl.workers.utils.padding import response_to_nested

    shaper = active.shaper_in_force()
    base = algorithm.adv_estimator if shaper.config.measure_only else shaper.config.base
    with active.base_in_place(algorithm, base):
        batch = original(trainer, batch, metrics)
    # Read back what verl wrote: rollout correction may have changed the mask that the loss will use.
    wanted = ["advantages", "responses", "response_mask", "old_log_probs", "rollout_log_probs", "entropy", "rm_scores"]
    fields = [*wanted, *(["prompts"] if shaper.token_ids is not None else [])]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
    if shaper.token_ids is not None:
        nested = (data[name].unbind() for name in ("prompts", "responses", "response_mask"))
        shaper.token_ids.add(batch.keys, *nested)
    padded = {name: data[name].to_padded_tensor(0) for name in wanted if name in data}
    known = _known(padded, *_names(batch.keys))  # padding has prompts of its own and no token of the policy
    shaped = shaper.shape(padded["advantages"], padded["responses"], padded["response_mask"], **known)
    if shaper.config.measure_only:
        return batch
    written = TensorDict({"advantages": response_to_nested(shaped, data["response_mask"])}, batch_size=len(batch))
    return tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=written)


def clear_groups(original: Callable[..., Any], buffer: Any, partition_id: str, uids: set[str]) -> None:
    """Note the scores of whole groups that dynamic filtering takes out of the V1 trainer's batches.

    These are groups without signal, those beyond what a batch holds and, in the asynchronous modes, stale ones.
    A group with a failed session is not whole, and not noted.
    """
    if active.shaper is not None and partition_id == "train" and buffer.filter_groups_metric is not None:
        import transfer_queue as tq

        whole = uids & buffer.finished_keys[partition_id]
        keys = [key for key in buffer.partitions[partition_id] if key.split("_")[0] in whole]
        if keys:
            data = tq.kv_batch_get(keys=keys, partition_id=partition_id, select_fields=["rm_scores"])
            scores = [float(rewards.sum()) for rewards in data["rm_scores"]]
            active.shaper.note_dropped(*_names(keys), scores)
    original(buffer, partition_id, uids)


def _names(keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """The group and the session of V1's rows, whose keys are {prompt}_{session}_{output}."""
    parts = [key.rsplit("_", 2) for key in keys]
    return [part[0] for part in parts], ["_".join(part[1:2]) for part in parts]


def _known(batch: Any, groups: list[str] | None, sessions: list[str] | None = None) -> dict[str, Any]:
    """The fields of ``RolloutBatch`` that the batch holds; the trainers differ in what they keep, and in names.

    Args:
        batch: (B, T) tensors by name.
        groups: (B,) the prompt of each row.
        sessions: (B,) the session of each row.
    """
    names = ("old_log_probs", "rollout_log_probs", "entropy")
    found = {name: batch[name].float().cpu() for name in names if name in batch}
    rewards = next((batch[name] for name in ("token_level_scores", "rm_scores") if name in batch), None)
    scores = None if rewards is None else rewards.float().sum(dim=1).cpu()
    return {
        "log_probs": found.get("old_log_probs"),
        "rollout_log_probs": found.get("rollout_log_probs"),
        "entropies": found.get("entropy"),
        "scores": scores,
        "groups": groups,
        "sessions": sessions,
    }
