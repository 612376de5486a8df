"""What a row's command needs, from the command itself: composed and validated as verl does it, stage by stage."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hicra_verl.doctor import Check
from hicra_verl.recipe_costs import Cost, evaluation_cost, training_cost
from hicra_verl.recipes import RecipeError
from hicra_verl.records import whole_number


@dataclass(frozen=True)
class Wanted:
    """What a command needs.

    Attributes:
        files: (setting, path) of data that must be there.
        folders: (setting, path) of what is written; the first one takes the checkpoints or the results.
        others: (setting, path) of further paths that every node must read.
        model: a folder or a name on the hub.
        grams: the gram set.
        engine: "vllm" or "sglang".
        flash_attention: whether attention needs the package flash-attn.
        device: verl's device, "cpu" or another.
        nodes, gpus_each: how many nodes, and GPUs of each.
        loggers: verl's loggers.
        cost: the estimate; None for a model of unknown shape.
    """

    files: list[tuple[str, str]]
    folders: list[tuple[str, str]]
    others: list[tuple[str, str]]
    model: str
    grams: str
    engine: str
    flash_attention: bool
    device: str
    nodes: int
    gpus_each: int
    loggers: list[str]
    cost: Cost | None


def of_training(command: list[str]) -> tuple[Wanted | None, list[Check]]:
    """What a training command needs, and whether verl and the plan accept it; None if they do not."""
    from hicra_verl.training.rules import StagesError
    from hicra_verl.training.supervisor import Supervisor

    place = command.index("--")
    plan_path = Path(command[command.index("stages") + 1])
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it says which paths it makes absolute
            supervisor = Supervisor(plan_path, command[place + 1 :], "--stop" in command[:place])
    except StagesError as error:
        return None, [Check("settings", plan_path.name, "refused", False, str(error))]
    config = None
    checks = []
    for stage in supervisor.plan.stages:
        words = [*supervisor.command, *(f"{name}={value}" for name, value in stage.settings.items())]
        try:
            config = compose(words)
        except Exception as error:  # whatever stops verl from accepting the command is the finding
            reason = f"{type(error).__name__}: {str(error).strip()}"
            checks.append(Check("settings", f"stage {stage.name}", "verl refuses them", False, reason))
            return None, checks
        checks.append(Check("settings", f"stage {stage.name}", f"verl accepts {len(words)} words"))
    return _from_config(config, training_cost(command)), checks


def compose(trainer: list[str]) -> Any:
    """verl's configuration from a trainer's command, accepted by verl's own validation and by HICRA's.

    Raises:
        Exception: of whatever kind, where verl, Hydra or HICRA refuses it.
    """
    import verl  # noqa: F401  (registers HICRA, so that +hicra=default is known)
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    overrides = trainer[trainer.index("verl.trainer.main_ppo") + 1 :]
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = hydra_compose("ppo_trainer", overrides=overrides)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # verl says that there is no critic, which is GRPO's point
        validate_config(config, need_reference_policy(config), need_critic(config))
    return config


def _from_config(config: Any, cost: Cost | None) -> Wanted:
    trainer, model, rollout = config.trainer, config.actor_rollout_ref.model, config.actor_rollout_ref.rollout
    hicra = config.algorithm.get("hicra") or {}
    attention = (model.get("override_config") or {}).get("attn_implementation", "flash_attention_2")
    files = [
        (f"data.{name}", path)
        for name in ("train_files", "val_files")
        for path in ([config.data[name]] if isinstance(config.data[name], str) else list(config.data[name]))
    ]
    names = ("default_local_dir", "rollout_data_dir", "validation_data_dir")
    folders = [(f"trainer.{name}", trainer[name]) for name in names if trainer.get(name)]
    others = []
    if str(hicra.get("grams", "")).endswith(".json"):
        others.append(("algorithm.hicra.grams", str(hicra["grams"])))
    engine_arguments = (rollout.engine_kwargs or {}).get(rollout.name) or {}
    if engine_arguments.get("generation_config"):
        path = Path(engine_arguments["generation_config"]) / "generation_config.json"
        others.append((f"actor_rollout_ref.rollout.engine_kwargs.{rollout.name}.generation_config", str(path)))
    loggers = [trainer.logger] if isinstance(trainer.logger, str) else list(trainer.logger)
    return Wanted(
        files,
        folders,
        others,
        model.path,
        str(hicra.get("grams", "paper")),
        rollout.name,
        attention == "flash_attention_2",
        trainer.device,
        trainer.nnodes,
        trainer.n_gpus_per_node,
        loggers,
        cost,
    )


def of_evaluation(command: list[str]) -> tuple[Wanted, list[Check]]:
    """What an evaluation command needs."""
    from hicra_verl.evaluation.benchmarks import TITLES

    def value(option: str, default: str) -> str:
        places = [place for place, word in enumerate(command) if word == option]
        if places and places[-1] + 1 == len(command):
            raise RecipeError(f"{option} is given without a value")
        return command[places[-1] + 1] if places else default

    def number(option: str, default: str) -> int:
        found = whole_number(value(option, default))
        if found is None:
            raise RecipeError(f"{option} {value(option, default)[:60]}: expected a whole number")
        return found

    folder = Path(value("--data", "data")) / value("--template", "qwen")
    files = [("--data", str(folder / f"{name}.parquet")) for name in command if name in TITLES]
    replicas = max(1, number("--replicas", "0"))
    return Wanted(
        files,
        [("--output", str(Path(value("--output", "results")).absolute()))],
        [],
        value("--model", ""),
        value("--grams", "paper"),
        "vllm",
        False,
        "cuda",
        1,
        replicas * number("--gpus-each", "1"),
        [],
        evaluation_cost(command),
    ), []
