"""Every touch of verl's private surface, in one place.

verl calls an estimator with rewards and masks but without the response's tokens, so a registered estimator alone
cannot know which tokens plan. HICRA therefore stands where verl computes the advantage: verl's own code computes the
base estimator's advantage, with its own special cases (one row per session of a multi-output agent loop…), and the
result is shaped before it goes on. ``patches.py`` lists every function touched, with the reason; each is wrapped right
after its module is imported, before any other module can import it by name.

If a patch is missing or changed, a HICRA run is refused before any model loads; runs that do not use HICRA are not
touched. If this plugin is not loaded at all, verl knows no estimator ``hicra``. A HICRA run never becomes a GRPO run.
"""

from __future__ import annotations

import functools

import wrapt

from hicra_verl.verl_patches import advantage, metrics, settings, staged
from hicra_verl.verl_patches.cpu import install_cpu
from hicra_verl.verl_patches.patches import (
    CLEAR_GROUPS_V1,
    COMPUTE_ADVANTAGE,
    COMPUTE_ADVANTAGE_V1,
    COMPUTE_METRICS_V1,
    NEED_CRITIC,
    REGISTRY,
    SAVE_V1,
    STEP_V1,
    TIMING_METRICS,
    TRACKING,
    TRACKING_LOG,
    VALIDATE_V1,
    Patch,
    Wrapper,
    wrap,
)


def install() -> None:
    """Ask for each patch to be wrapped once its module is imported. Imports nothing of verl."""
    wrappers: dict[Patch, Wrapper] = {
        NEED_CRITIC: settings.wrap_need_critic,
        COMPUTE_ADVANTAGE: advantage.wrap_compute_advantage,
        COMPUTE_ADVANTAGE_V1: advantage.wrap_compute_advantage_v1,
        CLEAR_GROUPS_V1: advantage.wrap_clear_groups,
        TIMING_METRICS: metrics.wrap_timing_metrics,
        COMPUTE_METRICS_V1: metrics.wrap_compute_metrics_v1,
        STEP_V1: staged.wrap_step,
        SAVE_V1: staged.wrap_save_checkpoint,
        VALIDATE_V1: staged.wrap_validate,
        TRACKING: staged.wrap_tracking,
        TRACKING_LOG: staged.wrap_tracking_log,
    }
    for patch, wrapper in wrappers.items():
        wrapt.register_post_import_hook(functools.partial(wrap, patch, wrapper), patch.module)
    wrapt.register_post_import_hook(settings.register_estimator, REGISTRY.module)
    wrapt.register_post_import_hook(settings.add_hydra_search_path, NEED_CRITIC.module)
    install_cpu()
