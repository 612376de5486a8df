"""What a step reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hicra_verl.verl_patches import active, staged

REWARD = "pkg://hicra_verl.reward"


def wrap_timing_metrics(original: Callable[..., Any]) -> Callable[..., Any]:
    """Add the step's HICRA metrics to those that verl logs."""

    def compute_timing_metrics(batch: Any, timing_raw: dict[str, float]) -> dict[str, Any]:
        metrics: dict[str, Any] = original(batch, timing_raw)
        if active.shaper is not None:
            metrics.update(active.reported or active.shaper.take_metrics(timing_raw.get("step")))
        return metrics

    return compute_timing_metrics


def wrap_compute_metrics_v1(original: Callable[..., Any]) -> Callable[..., Any]:
    """Add the reward's counts, write the traces and the token ids, and let a staged run's rules look at the step."""

    def _compute_metrics(self: Any, batch: Any, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        original(self, batch, metrics, *args, **kwargs)
        if self.config.reward.custom_reward_function.path == REWARD:
            metrics.update(_reward_counts(batch))
        if staged.before_saving(self):
            return  # fit() asks again once the step is over
        active.reported = {}
        if active.shaper is not None:
            active.shaper.write(self.global_steps)
        staged.observe(self, metrics)

    return _compute_metrics


def _reward_counts(batch: Any) -> dict[str, float]:
    """Means of what ``hicra_verl.reward`` counts beside the score; verl logs them in validation only."""
    import transfer_queue as tq

    from hicra_verl.reward import COUNTED

    rows = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding")]
    data = tq.kv_batch_get(keys=rows, partition_id=batch.partition_id, select_fields=["extra_fields"])
    counted = [fields.get("reward_extra_info", {}) for fields in data.pop("extra_fields").tolist()]
    means = {}
    for name in COUNTED:
        values = [float(info[name]) for info in counted if name in info]
        if values:
            means[f"reward/{name}/mean"] = sum(values) / len(values)
    return means
