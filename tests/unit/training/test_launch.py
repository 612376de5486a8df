"""What a trainer is started with: on a cluster that runs already, its processes inherit nothing from the driver."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from hicra_verl.training.launch import ENV_VARS, absolute_words, environment_words, hydra_string, value_of

SINGLE = ROOT / "recipes" / "shared" / "stages" / "single.yaml"


def launched(folder: Path, output: str, *words: str, **variables: str) -> tuple[list[str], str]:
    """The words that `hicra stages` starts a trainer with, and what it prints."""
    show = "import sys; open('words', 'w').write('\\0'.join(sys.argv[1:]))"
    command = [sys.executable, "-c", show, f"trainer.default_local_dir={hydra_string(output)}", *words]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "HF_", "RAY_"))}
    done = subprocess.run(
        [sys.executable, "-m", "hicra_verl.cli", "stages", str(SINGLE), "--", *command],
        cwd=folder,
        env={**plain, "PYTHONPATH": str(ROOT), "HF_HOME": "/models", **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "words").read_text().split("\0"), done.stdout


def runtime_env(words: list[str]) -> dict[str, Any]:
    """What verl hands to ray.init, by its own steps (main_ppo.py, run_ppo)."""
    from verl.trainer.constants_ppo import get_ppo_ray_runtime_env

    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=words)
    runtime_env = OmegaConf.merge(get_ppo_ray_runtime_env(config), config.ray_kwargs.ray_init.runtime_env)
    init = OmegaConf.create({**config.ray_kwargs.ray_init, "runtime_env": runtime_env})
    found: dict[str, Any] = OmegaConf.to_container(init)
    return found["runtime_env"]["env_vars"]


@pytest.mark.parametrize("output", ["run", "it's a run=1, (two) {x}", "naïve\\run"])
def test_a_running_cluster_is_told_what_the_trackers_need(output: str, tmp_path: Path) -> None:
    words, _ = launched(tmp_path, output, WANDB_MODE="offline", WANDB_RUN_ID="12e4567890")
    variables = runtime_env(words)
    folder = tmp_path / output
    assert variables["WANDB_RUN_ID"] == "12e4567890"  # the user's own; as text, though it reads as a number
    assert variables["WANDB_RESUME"] == "allow"
    assert variables["WANDB_MODE"] == "offline"
    assert variables["HF_HOME"] == "/models"
    assert variables["WANDB_DIR"] == str(folder)
    assert variables["TENSORBOARD_DIR"] == str(folder / "tensorboard")
    assert variables["VERL_FILE_LOGGER_PATH"] == str(folder / "metrics" / "0001.jsonl")
    assert variables["TOKENIZERS_PARALLELISM"] == "true"  # verl's own are still there
    assert all(isinstance(value, str) for value in variables.values())  # Ray refuses others


def test_the_commands_own_variables_win(tmp_path: Path) -> None:
    own = [f"+{ENV_VARS}.WANDB_RUN_ID=mine", f"+{ENV_VARS}.NCCL_IB_HCA=mlx5"]
    variables = runtime_env(launched(tmp_path, "run", *own)[0])
    assert (variables["WANDB_RUN_ID"], variables["NCCL_IB_HCA"]) == ("mine", "mlx5")
    variables = runtime_env(launched(tmp_path, "other", f"+{ENV_VARS}={{WANDB_RUN_ID: mine}}")[0])
    assert (variables["WANDB_RUN_ID"], variables["WANDB_RESUME"]) == ("mine", "allow")


def test_no_secret_is_printed_or_written(tmp_path: Path) -> None:
    secrets = {"WANDB_API_KEY": "xyzzy-1", "HF_TOKEN": "xyzzy-2", "MLFLOW_TRACKING_PASSWORD": "xyzzy-3"}
    words, output = launched(tmp_path, "run", RAY_ADDRESS="127.0.0.1:1", **secrets)
    record = (tmp_path / "run" / "command.txt").read_text()
    assert "xyzzy" not in " ".join(words) + output + record
    assert "HF_TOKEN, MLFLOW_TRACKING_PASSWORD, WANDB_API_KEY: secrets are not sent" in output


def test_relative_paths_become_absolute(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "grams.json").touch()
    words = [
        "trainer.rollout_data_dir=rollouts",
        "data.train_files=['a file.parquet','/data/b.parquet','hdfs://x/y']",
        "+data.val_files=c.parquet",
        "actor_rollout_ref.model.path=model",
        "algorithm.hicra.grams=grams.json",
        "reward.custom_reward_function.path=pkg://hicra_verl.reward",
    ]
    assert absolute_words(words, tmp_path) == [
        f"trainer.rollout_data_dir='{tmp_path}/rollouts'",
        f"data.train_files=['{tmp_path}/a file.parquet','/data/b.parquet','hdfs://x/y']",
        f"+data.val_files='{tmp_path}/c.parquet'",
        f"actor_rollout_ref.model.path='{tmp_path}/model'",
        f"algorithm.hicra.grams='{tmp_path}/grams.json'",
        words[-1],
    ]
    untouched = ["python", "actor_rollout_ref.model.path=Qwen/Qwen2.5-7B", "algorithm.hicra.grams=paper"]
    untouched += ["data.train_files=~/a.parquet", "trainer.rollout_data_dir=null", "data.val_files=[a", "+x=rollouts"]
    assert absolute_words(untouched, tmp_path) == untouched
    given, output = launched(tmp_path, "run", "trainer.rollout_data_dir=rollouts")
    assert f"trainer.rollout_data_dir='{tmp_path}/rollouts'" in given
    assert "trainer.rollout_data_dir=rollouts became" in output


def test_any_text_survives_hydra() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        text = "".join(rng.choice("\\'\"${}a1e =,[]:()#%ä") for _ in range(rng.randrange(9)))
        assert OmegaConf.create({"x": value_of(f"x={hydra_string(text)}")}).x == text


def test_what_is_forwarded() -> None:
    environment = {"WANDB_MODE": "offline", "HF_TOKEN": "s", "PATH": "/bin", "OURS": "o"}
    words = environment_words({}, environment, {"OURS"})
    assert words == [f"+{ENV_VARS}.OURS='o'", f"+{ENV_VARS}.WANDB_MODE='offline'"]
