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

from hicra_verl.verl_patches import advantage, metrics, patches, settings, staged
from hicra_verl.verl_patches.cpu import install_cpu


def install() -> None:
    """Ask for each patch to be wrapped once its module is imported. Imports nothing of verl."""
    wrappers: dict[patches.Patch, patches.Wrapper] = {
        patches.NEED_CRITIC: settings.need_critic,
        patches.COMPUTE_ADVANTAGE: advantage.compute_advantage,
        patches.COMPUTE_ADVANTAGE_V1: advantage.compute_advantage_v1,
        patches.CLEAR_GROUPS_V1: advantage.clear_groups,
        patches.TIMING_METRICS: metrics.compute_timing_metrics,
        patches.COMPUTE_METRICS_V1: metrics.compute_metrics_v1,
        patches.STEP_V1: staged.step,
        patches.SAVE_V1: staged.save_checkpoint,
        patches.VALIDATE_V1: staged.validate,
        patches.TRACKING: staged.begin_tracking,
        patches.TRACKING_LOG: staged.log,
    }
    for patch, wrapper in wrappers.items():
        wrapt.register_post_import_hook(functools.partial(patches.wrap, patch, wrapper), patch.module)
    wrapt.register_post_import_hook(settings.register_estimator, patches.REGISTRY.module)
    wrapt.register_post_import_hook(settings.add_hydra_search_path, patches.NEED_CRITIC.module)
    install_cpu()
