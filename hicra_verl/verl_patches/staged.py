"""A staged run inside the trainer: its rules and its best checkpoint, and metrics that no kill loses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hicra_verl.training import last_row
from hicra_verl.verl_formats.checkpoints import step_folder
from hicra_verl.verl_patches import active

if TYPE_CHECKING:
    from hicra_verl.training.stages import StageWatch


@dataclass
class _Step:
    """The step in hand: what fit() holds between the update and the log."""

    batch: Any
    metrics: dict[str, Any]
    timing_raw: dict[str, float]
    started: float
    saving: bool = False


_watch: StageWatch | None = None
_step: _Step | None = None


def _watch_of(config: Any) -> StageWatch | None:
    """The run's watch, None if it has no stages; ``config`` is verl's, as a mapping of any kind."""
    global _watch
    stages = config.get("hicra_stages")
    if stages is not None and _watch is None:
        from hicra_verl.training.stages import StageWatch

        _watch = StageWatch(Path(stages["plan"]), Path(stages["state"]), stages["obey_stop"])
    return _watch


def observe(trainer: Any, metrics: dict[str, Any]) -> None:
    """Let the rules look at the step; the last step of a stage becomes the trainer's last."""
    watch = _watch_of(trainer.config)
    if watch is not None:
        last_step = watch.observe(trainer.global_steps, trainer.total_training_steps, metrics)
        if last_step is not None:
            trainer.total_training_steps = last_step


def before_saving(trainer: Any) -> bool:
    """Whether the metrics are being computed for ``last_row``, ahead of the checkpoint."""
    return _step is not None and _step.saving and _watch_of(trainer.config) is not None


def step(original: Callable[..., Any], trainer: Any, metrics: dict[str, Any], timing_raw: dict[str, float]) -> Any:
    """Note the step in hand."""
    global _step
    started = time.perf_counter()
    batch = original(trainer, metrics, timing_raw)
    _step = _Step(batch, metrics, timing_raw, started)
    return batch


def save_checkpoint(original: Callable[..., Any], trainer: Any) -> None:
    """Keep the step's metrics before the checkpoint is written."""
    watch = _watch_of(trainer.config)
    if watch is not None and _step is not None:
        last_row.keep(watch.state_path.parent, trainer.global_steps, _metrics_so_far(trainer, _step))
    if active.shaper is not None:
        run = Path(trainer.config.trainer.default_local_dir).absolute()
        active.shaper.shaping.save(step_folder(run, trainer.global_steps))
    original(trainer)


def _metrics_so_far(trainer: Any, step: _Step) -> dict[str, Any]:
    """The step's metrics as fit() will compute them, without what is still to come: validation, and some durations."""
    metrics = dict(step.metrics)
    timing_raw = {**step.timing_raw, "step": time.perf_counter() - step.started}
    epoch = (trainer.global_steps - 1) // trainer.steps_per_epoch
    step.saving = True
    try:
        trainer._compute_metrics(step.batch, metrics, timing_raw, global_steps=trainer.global_steps, epoch=epoch)
    finally:
        step.saving = False
    active.reported = {
        name: value for name, value in metrics.items() if name.startswith("hicra/") or name == "timing_s/hicra"
    }
    return metrics


def validate(original: Callable[..., Any], trainer: Any) -> Any:
    """Let the best checkpoint and the stop rule see every validation."""
    metrics = original(trainer)
    watch = _watch_of(trainer.config)
    if watch is not None:
        watch.validated(trainer.global_steps, metrics)
    return metrics


def begin_tracking(
    original: Callable[..., Any],
    tracking: Any,
    project_name: str,
    experiment_name: str,
    default_backend: Any = "console",
    config: Any = None,
) -> None:
    """Log what a kill kept from the trackers, before anything else."""
    original(tracking, project_name, experiment_name, default_backend, config)
    watch = _watch_of(config or {})
    if watch is not None and (row := last_row.unlogged(watch.state_path.parent)) is not None:
        step, data = row
        print(f"[hicra] step {step} was saved, but not logged before the run ended; it is logged now", flush=True)
        watch.recall(step, data)
        tracking.log(data=data, step=step)


def log(original: Callable[..., Any], tracking: Any, data: Any, step: int, *args: Any, **kwargs: Any) -> None:
    """Note that a step has been logged."""
    original(tracking, data, step, *args, **kwargs)
    # The validation before training logs the step, too, but not its training.
    if _watch is not None and "training/global_step" in data:
        last_row.forget(_watch.state_path.parent, step)
