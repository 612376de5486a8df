"""What a step reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hicra_verl.verl_patches import active, staged

REWARD = "pkg://hicra_verl.reward"


def compute_timing_metrics(original: Callable[..., Any], batch: Any, timing_raw: dict[str, float]) -> dict[str, Any]:
    """Add the step's HICRA metrics to those that verl logs."""
    metrics: dict[str, Any] = original(batch, timing_raw)
    if active.shaper is not None:
        metrics.update(active.reported or active.shaper.take_metrics(timing_raw.get("step")))
    return metrics


def compute_metrics_v1(
    original: Callable[..., Any], trainer: Any, batch: Any, metrics: dict[str, Any], *args: Any, **kwargs: Any
) -> None:
    """Add the reward's counts, write the traces and the token ids, and let a staged run's rules look at the step."""
    original(trainer, batch, metrics, *args, **kwargs)
    if trainer.config.reward.custom_reward_function.path == REWARD:
        metrics.update(_reward_counts(batch))
    if staged.before_saving(trainer):
        return  # fit() asks again once the step is over
    active.reported = {}
    if active.shaper is not None:
        active.shaper.write(trainer.global_steps)
    staged.observe(trainer, metrics)


def _reward_counts(batch: Any) -> dict[str, float]:
    """Means of what ``hicra_verl.reward`` counts beside the score; verl logs them in validation only."""
    import transfer_queue as tq

    from hicra_verl.reward import COUNTED

    rows = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding")]
    data = tq.kv_batch_get(keys=rows, partition_id=batch.partition_id, select_fields=["extra_fields"])
    counted = [fields.get("reward_extra_info", {}) for fields in data.pop("extra_fields").tolist()]
    found = {name: [float(info[name]) for info in counted if name in info] for name in COUNTED}
    return {f"reward/{name}/mean": sum(values) / len(values) for name, values in found.items() if values}
