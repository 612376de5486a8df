"""Every function of verl that is touched, and how one is replaced. Line numbers are verl 0.9.1's."""

from __future__ import annotations

import functools
import inspect
import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Wrapper = Callable[..., Any]
"""Called as the function it stands in front of is, with that function before the arguments."""


@dataclass(frozen=True)
class Patch:
    """A function of verl that HICRA stands in front of.

    Attributes:
        module: the module that defines it.
        name: its qualified name there.
        parameters: the parameters relied on, which must lead its signature in this order.
        why: what HICRA does there.
    """

    module: str
    name: str
    parameters: tuple[str, ...]
    why: str


REGISTRY = Patch(
    "verl.trainer.ppo.core_algos",
    "register_adv_est",
    ("name_or_enum",),
    "core_algos.py:116, public: registers 'hicra', so that a run without the other patches fails instead of training",
)
NEED_CRITIC = Patch(
    "verl.trainer.ppo.utils",
    "need_critic",
    ("config",),
    "utils.py:96: every entry point asks this before it loads a model; settings are checked here, and the answer is "
    "the base estimator's (gae needs a critic)",
)
COMPUTE_ADVANTAGE = Patch(
    "verl.trainer.ppo.ray_trainer",
    "compute_advantage",
    ("data", "adv_estimator"),
    "ray_trainer.py:187: the advantage in the legacy, one-step-off-policy and fully-async trainers",
)
COMPUTE_ADVANTAGE_V1 = Patch(
    "verl.trainer.ppo.v1.trainer_base",
    "PPOTrainer._compute_advantage",
    ("self", "batch", "metrics"),
    "v1/trainer_base.py:1743: the advantage in the V1 trainer's three modes; afterwards the tokens are read from, and "
    "the shaped advantage written to, TransferQueue",
)
TIMING_METRICS = Patch(
    "verl.trainer.ppo.metric_utils",
    "compute_timing_metrics",
    ("batch", "timing_raw"),
    "metric_utils.py:611: every trainer calls this once per step, when the step's duration is known, and logs what it "
    "returns",
)
COMPUTE_METRICS_V1 = Patch(
    "verl.trainer.ppo.v1.trainer_base",
    "PPOTrainer._compute_metrics",
    ("self", "batch", "metrics"),
    "v1/trainer_base.py:1868: the step's metrics in the V1 trainer; what the reward counted is added to them, and the "
    "rules of a staged run look at them. Ending a stage is setting total_training_steps, which fit() reads every step",
)
CLEAR_GROUPS_V1 = Patch(
    "verl.trainer.ppo.v1.replay_buffer",
    "ReplayBuffer._clear_groups",
    ("self", "partition_id", "uids"),
    "v1/replay_buffer.py:241: groups that dynamic filtering drops, and those that it has no more use for, pass here "
    "while their scores are still there; the V1 trainer never shows them to the advantage",
)
STEP_V1 = Patch(
    "verl.trainer.ppo.v1.trainer_base",
    "PPOTrainer.step",
    ("self", "metrics", "timing_raw"),
    "v1/trainer_base.py:533: the batch, metrics and durations of a staged run's step, which fit() keeps to itself",
)
SAVE_V1 = Patch(
    "verl.trainer.ppo.v1.trainer_base",
    "PPOTrainer._save_checkpoint",
    ("self",),
    "v1/trainer_base.py:948: fit() saves before it validates and logs; a staged run keeps the step's metrics before it "
    "saves, so that a kill in between loses none",
)
VALIDATE_V1 = Patch(
    "verl.trainer.ppo.v1.trainer_base",
    "PPOTrainer._validate",
    ("self",),
    "v1/trainer_base.py:1031: what a staged run's best checkpoint and stop rule are told by, the validation before the "
    "first step of a resumed run included",
)
TRACKING = Patch(
    "verl.utils.tracking",
    "Tracking.__init__",
    ("self", "project_name", "experiment_name", "default_backend", "config"),
    "tracking.py:62: a resumed run's trackers are given the metrics that a kill kept from them",
)
TRACKING_LOG = Patch(
    "verl.utils.tracking",
    "Tracking.log",
    ("self", "data", "step"),
    "tracking.py:191: when a step has been logged",
)
STAGED_PATCHES = (COMPUTE_METRICS_V1, STEP_V1, SAVE_V1, VALIDATE_V1, TRACKING, TRACKING_LOG)
PATCHES = (
    REGISTRY,
    NEED_CRITIC,
    COMPUTE_ADVANTAGE,
    COMPUTE_ADVANTAGE_V1,
    CLEAR_GROUPS_V1,
    TIMING_METRICS,
    *STAGED_PATCHES,
)

CPU_PLATFORM = "verl.plugin.platform"
CPU_PROCESS_GROUP = Patch(
    "verl.utils.distributed",
    "initialize_global_process_group_ray",
    ("timeout_second", "backend"),
    "distributed.py:83: names two backends for one device on a CPU, which torch refuses; only touched there",
)

problems: dict[str, str] = {}
"""What is wrong with a patch, by its name; filled as verl's modules are imported in this process."""


def find(patch: Patch, module: Any) -> Callable[..., Any]:
    """The function at a patch.

    Raises:
        RuntimeError: if it is not there or its leading parameters are not the expected ones.
    """
    target = module
    for part in patch.name.split("."):
        target = inspect.getattr_static(target, part, None) if inspect.isclass(target) else getattr(target, part, None)
        if target is None:
            raise RuntimeError(f"{patch.module}.{patch.name} does not exist")
    parameters = tuple(inspect.signature(target).parameters)
    if parameters[: len(patch.parameters)] != patch.parameters:
        raise RuntimeError(f"{patch.module}.{patch.name} takes {parameters}, expected to begin with {patch.parameters}")
    return target  # type: ignore[no-any-return]


def stand_in(wrapper: Wrapper, original: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls ``wrapper(original, …)``, with the original's module and name, by which Ray pickles it."""

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    return call


def wrap(patch: Patch, wrapper: Wrapper, module: Any) -> None:
    """Put a wrapper in front of the function at a patch; if that is not there, note it in ``problems``."""
    try:
        original = find(patch, module)
    except RuntimeError as error:
        problems[patch.name] = str(error)
        return
    *owners, last = patch.name.split(".")
    setattr(functools.reduce(getattr, owners, module), last, stand_in(wrapper, original))


def is_wrapped(patch: Patch) -> bool:
    """True if the patch's module is imported here and its function is ours."""
    try:
        found = operator.attrgetter(patch.name)(sys.modules[patch.module])
    except (KeyError, AttributeError):
        return False
    return hasattr(found, "__wrapped__")
