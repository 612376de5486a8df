"""Real runs of verl's trainers on a CPU, with a tiny random model: what the end-to-end tests share."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import demo
import planning_world
import tiny_model
import torch
import transformers
from conftest import ROOT, real_tokenizer

# fmt: off
TINY = [
    "data.max_prompt_length=48", "data.max_response_length=24", "actor_rollout_ref.rollout.max_model_len=72",
    "data.train_batch_size=4", "actor_rollout_ref.rollout.n=4", "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=16",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=16",
    "actor_rollout_ref.actor.optim.lr=1e-3",
    "reward.custom_reward_function.path=pkg://hicra_verl.reward",
    "trainer.project_name=hicra_test", "trainer.experiment_name=e2e", "trainer.resume_mode=disable",
    "trainer.val_before_train=False", "trainer.test_freq=-1", "trainer.save_freq=-1",
]
# fmt: on


ARCHITECTURES = {
    # A row's architecture, and the real tokenizer with its chat template where `make material` has fetched it.
    "qwen2": ("Qwen2Config", None),
    "qwen3": ("Qwen3Config", "qwen3"),
    "llama": ("LlamaConfig", "llama3"),
}


def make_model(folder: Path, architecture: str = "qwen2") -> Path:
    """A tiny random model and its tokenizer, with problems beside it; its outputs are noise."""
    warm, train, held_out = planning_world.splits(0, n_train=64, n_test=8)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config_class, real = ARCHITECTURES[architecture]
    if real is None:
        rng = random.Random(0)
        tokenizer = tiny_model.train_tokenizer([f"{p.text}\n{planning_world.trace(p, rng)}" for p in warm[:2000]])
        model = tiny_model.new_model(tokenizer)
    else:
        tokenizer = real_tokenizer(real)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        config = getattr(transformers, config_class)(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    for name, problems in (("train", train), ("test", held_out)):
        demo.write_problems([(p.text, p.answer) for p in problems], folder / f"{name}.parquet", "planning_world")
    return folder


# What makes a full-scale recipe fit a laptop; the script itself is run word for word.
# fmt: off
SMALL = [
    "+machine=cpu",
    "data.train_batch_size=4", "actor_rollout_ref.rollout.n=4", "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.model.use_remove_padding=False", "actor_rollout_ref.model.enable_gradient_checkpointing=False",
    "actor_rollout_ref.actor.fsdp_config.param_offload=False",
    "actor_rollout_ref.actor.fsdp_config.optimizer_offload=False",
    "actor_rollout_ref.rollout.val_kwargs.n=1",
    "trainer.val_before_train=False",
]
# fmt: on


def recipe(
    row: str,
    world: Path,
    out: Path,
    *extra: str,
    steps: int = 2,
    prompt: int = 48,
    response: int = 24,
    kill_when: Callable[[], bool] | None = None,
    **knobs: str | None,
) -> tuple[int, str, list[dict[str, Any]]]:
    """Run a row's script on a tiny model; see ``run``. ``knobs`` are the script's environment variables.

    The loggers are the script's own, wandb without a network; the metrics are those that the supervisor has written to
    the run's folder.
    """
    environment: dict[str, str | None] = {
        "MODEL_PATH": str(world / "model"),
        "TRAIN_FILE": str(world / "train.parquet"),
        "TEST_FILE": str(world / "test.parquet"),
        "NNODES": "1",
        "GPUS_PER_NODE": "1",
        "MAX_PROMPT_LENGTH": str(prompt),
        "MAX_RESPONSE_LENGTH": str(response),
        "OUTPUT_DIR": str(out / "checkpoints"),
        "STAGES": "none",  # the paper's plan is one of 16K and 32K tokens
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(out),
        "VERL_FILE_LOGGER_PATH": None,  # the supervisor's to name
        "STEPS": str(steps),
        **knobs,
    }
    model_len = f"actor_rollout_ref.rollout.max_model_len={prompt + response}"
    script = str(ROOT / "recipes" / f"{row}.sh")
    # A random model writes no phrase of the paper's.
    words = ["algorithm.hicra.allow_no_match=true", model_len, *extra]
    code, log, _ = run(["bash", script, *SMALL, *words], out, environment=environment, kill_when=kill_when)
    rows = [row for file in sorted((out / "checkpoints" / "metrics").glob("*.jsonl")) for row in _json_lines(file)]
    return code, log, rows


NO_FILES = ["trainer.test_freq=-1", "trainer.save_freq=1000"]  # a supervised run saves once, at its end


def overrides(world: Path, steps: int, *extra: str) -> list[str]:
    """verl's settings for ``steps`` steps on the tiny model."""
    machine = [] if any(word.startswith("+machine=") for word in extra) else ["+machine=cpu"]
    return [
        *machine,
        *TINY,
        f"actor_rollout_ref.model.path={world / 'model'}",
        f"data.train_files={world / 'train.parquet'}",
        f"data.val_files={world / 'test.parquet'}",
        f"trainer.total_training_steps={steps}",
        *extra,
    ]


def run(
    command: list[str],
    out: Path,
    timeout_s: int = 1000,
    environment: dict[str, str | None] | None = None,
    kill_when: Callable[[], bool] | None = None,
) -> tuple[int, str, list[dict[str, Any]]]:
    """Run a command; return its exit code, its output, and the metrics verl's file logger wrote.

    ``environment``: variables to set, or with None to leave out. ``kill_when``: once true, the command is killed (-9).
    """
    out.mkdir(parents=True, exist_ok=True)
    metrics = out / "metrics.jsonl"
    wanted = {"VERL_FILE_LOGGER_PATH": str(metrics), "PYTHON": sys.executable, **(environment or {})}
    env = {**os.environ, **{name: value for name, value in wanted.items() if value is not None}}
    log = out / "log.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        try:
            while kill_when is not None and process.poll() is None:
                if kill_when():
                    process.kill()
                time.sleep(0.1)
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    rows = _json_lines(metrics) if metrics.exists() else []
    return code, log.read_text(encoding="utf-8", errors="replace"), rows


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def train(world: Path, out: Path, steps: int, *extra: str, module: str = "verl.trainer.main_ppo", **how: Any) -> Any:
    """Run a verl trainer on the tiny model; see ``run``."""
    folder = f"trainer.default_local_dir={out / 'checkpoints'}"
    return run([sys.executable, "-m", module, *overrides(world, steps, folder, *extra)], out, **how)
