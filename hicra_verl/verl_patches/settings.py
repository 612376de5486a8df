"""The estimator's name, and a run's settings: checked, and prepared for, before any model loads."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hicra_verl.config import ESTIMATOR, HicraConfig
from hicra_verl.errors import nearest
from hicra_verl.extensions import HicraConfigError
from hicra_verl.verl_formats import versions
from hicra_verl.verl_formats.checkpoints import step_folder, tracked_step
from hicra_verl.verl_patches import active
from hicra_verl.verl_patches.patches import PATCHES, REGISTRY, find, problems

if TYPE_CHECKING:
    from hicra_verl.metrics.step import Filtering
    from hicra_verl.training.step import StepShaper

_WHY_NOT_REMAX = (
    "algorithm.hicra.base='remax': verl samples ReMax's greedy baseline only where adv_estimator is literally 'remax', "
    "so its reward_baselines would be missing; use rloo or reinforce_plus_plus_baseline, whose baseline is the group"
)


def register_estimator(core_algos: Any) -> None:
    """Register the name, so that a run without the other patches fails instead of training."""
    try:
        register = find(REGISTRY, core_algos)
    except RuntimeError as error:
        problems[REGISTRY.name] = str(error)
        return

    @register(ESTIMATOR)  # type: ignore[untyped-decorator]
    def hicra(*args: Any, **kwargs: Any) -> Any:
        known = ", ".join(f"{patch.module}.{patch.name}" for patch in PATCHES)
        raise RuntimeError(
            "the estimator 'hicra' was called without a planning mask: this trainer computes advantages where "
            f"hicra_verl does not stand ({'; '.join(problems.values()) or 'not one of ' + known}). "
            "Run `hicra doctor`. HICRA never falls back to its base estimator."
        )


def add_hydra_search_path(_: Any) -> None:
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


def need_critic(original: Callable[..., Any], config: Any) -> bool:
    """Check and prepare; the answer is the base estimator's."""
    _check_stages(config)
    estimator = config.algorithm.adv_estimator
    measure_only = (config.algorithm.get("hicra") or {}).get("measure_only") is True
    if estimator != ESTIMATOR and not measure_only:
        if config.algorithm.get("hicra") is not None:
            read_settings(config.algorithm)  # a misspelt measure_only must not pass for a run without HICRA
            warnings.warn(f"algorithm.hicra is set, but adv_estimator={estimator}: HICRA is off", stacklevel=3)
        return bool(original(config))
    if estimator == ESTIMATOR and measure_only:
        raise HicraConfigError(
            "algorithm.hicra.measure_only=true measures another estimator; name that one as "
            "algorithm.adv_estimator, or leave measure_only false"
        )
    _refuse_unknown_verl("HICRA")
    settings = read_settings(config.algorithm)
    _refuse_what_only_v1_can(config, settings)
    _prepare(config, settings)
    with active.base_in_place(config.algorithm, estimator if measure_only else settings.base):
        return bool(original(config))


def _refuse_unknown_verl(what: str) -> None:
    if problems:
        raise RuntimeError(
            f"this verl differs from the one hicra_verl knows, so {what} cannot stand where it must: "
            + "; ".join(problems.values())
            + f". Run `hicra doctor`; install {versions.in_words()}, or a hicra-verl made for this verl."
        )


def _is_v1(config: Any) -> bool:
    """Whether verl's V1 trainer will run. The disaggregated ones inherit its switch; they alone have a ``rollout``."""
    return bool((config.get("trainer") or {}).get("use_v1")) and config.get("rollout") is None


def _refuse_what_only_v1_can(config: Any, settings: HicraConfig) -> None:
    for name in ("traces", "token_ids"):
        if getattr(settings, name) and not _is_v1(config):
            raise HicraConfigError(f"algorithm.hicra.{name} needs trainer.use_v1=true (the others do not write them)")
    if settings.measure_only:
        return
    use_v1 = _is_v1(config)
    bypass = (config.algorithm.get("rollout_correction") or {}).get("bypass_mode")
    for extension in settings.extensions():
        entropies, sessions = (name in extension.needs for name in ("entropies", "sessions"))
        for wanted, lacking in {
            "trainer.use_v1=true (the other trainers drop the entropy)": entropies and not use_v1,
            "trainer.use_v1=true (the others know no sessions)": sessions and not use_v1,
            "algorithm.rollout_correction.bypass_mode=false (else no entropy is computed)": entropies and bypass,
            "trainer.use_v1=true (the other trainers do not keep its state)": extension.stateful and not use_v1,
        }.items():
            if lacking:
                raise HicraConfigError(f"{extension.name} needs {wanted}")


def _prepare(config: Any, settings: HicraConfig) -> None:
    """Load the grams; in the process that trains, which verl runs as a Ray actor, compile them for the tokenizer."""
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
    folder = Path(config.trainer.default_local_dir).absolute()
    prepared = (settings, grams, folder)
    if active.shaper is not None and active.prepared == prepared:
        return  # verl asks more than once; what the run has begun must not begin anew
    path = copy_to_local(model.get("tokenizer_path") or model.path, use_shm=model.get("use_shm", False))
    tokenizer = hf_tokenizer(path, trust_remote_code=model.get("trust_remote_code", False))
    checkpoint = checkpoint_resumed(config.trainer, folder)
    table = token_bytes(tokenizer)
    active.shaper = StepShaper(
        settings,
        grams,
        GramMatcher(grams, table),
        folder,
        checkpoint is not None,
        functools.partial(token_texts, token_bytes=table, tokenizer=tokenizer),
        _filtering(config),
    )
    active.prepared = prepared
    if checkpoint is not None:
        active.shaper.shaping.load(checkpoint)
    what = "measuring only" if settings.measure_only else _in_words(settings, active.shaper)
    print(f"[hicra] {grams.name}: {len(grams)} grams (sha256 {grams.sha256[:12]}), {what}")


def _filtering(config: Any) -> Filtering:
    """Whether groups are dropped before the advantage (``algorithm.filter_groups``), and whether we see which."""
    if not (config.algorithm.get("filter_groups") or {}).get("enable"):
        return "none"
    if not _is_v1(config):
        return "unseen"  # by a trainer of others, before it computes the advantage
    own = config.trainer.v1.sampler.get("custom_sampler") or {}
    return "unseen" if own.get("path") and own.get("name") else "seen"


def _in_words(settings: HicraConfig, shaper: StepShaper) -> str:
    words = f"alpha {settings.alpha}, base {settings.base}"
    for what, name, usual in (
        ("selector", shaper.shaping.selector.name, "grams"),
        ("shaping", shaper.shaping.shaper.name, "hicra"),
    ):
        words += f", {what} {name}" if name != usual else ""
    return words


def checkpoint_resumed(trainer: Any, folder: Path) -> Path | None:
    """The checkpoint that verl will go on from; None if it begins anew."""
    if trainer.resume_mode == "resume_path" and trainer.resume_from_path:
        return Path(trainer.resume_from_path)
    step = tracked_step(folder) if trainer.resume_mode == "auto" else None
    return None if step is None else step_folder(folder, step)


def _check_stages(config: Any) -> None:
    """Refuse, before any model loads, a staged run that could not hand over."""
    if config.get("hicra_stages") is None:
        return
    _refuse_unknown_verl("a staged run")
    for remedy, holds in {
        "trainer.use_v1=true (the other trainers fix their last step before they start)": config.trainer.use_v1,
        "trainer.save_freq above 0 (the next stage starts from a checkpoint)": config.trainer.save_freq > 0,
    }.items():
        if not holds:
            raise RuntimeError(f"a staged run needs {remedy}")
