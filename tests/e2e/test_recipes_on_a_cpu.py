"""Recipes run for real: the full-scale script, word for word, with overrides that fit a laptop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import two_nodes
import vision
from conftest import ROOT

import runs
from hicra_verl.analysis.runs import load_run
from hicra_verl.recipes import all_recipes

pytestmark = [pytest.mark.e2e, pytest.mark.recipes, pytest.mark.timeout(1500)]
HERE = Path(__file__).parent
COIN = f"reward.custom_reward_function.path={HERE / 'rewards.py'}"  # mixed groups, so that filtering has work

# A row for each architecture and each method's own settings; HICRA_ALL_RECIPES=1 runs every training row.
# test_whole_cycle.py runs qwen25_7b_hicra and qwen25_7b_grpo.
CHOSEN = [
    "qwen3_4b_nothink_hicra",
    "llama31_8b_instruct_hicra",
    "qwen25_7b_high_entropy",
    "qwen25_vl_7b_hicra",
    "llama31_8b_base_grpo",
    "qwen25_1_5b_grpo",
]
ALL = [entry.row for entry in all_recipes() if entry.trains]
ROWS = ALL if os.environ.get("HICRA_ALL_RECIPES") else CHOSEN


PLAN = """
stages:
  - name: short
    set: {data.max_response_length: 16}
    until: {metric: response_length/clip_ratio, above: 0.2, in_a_row: 2}
  - name: long
    set: {data.max_response_length: 24}
"""


def architecture(row: str) -> str:
    if "_vl_" in row:
        return "qwen2_5_vl"
    return {"qwen25": "qwen2", "qwen3": "qwen3"}.get(row.split("_")[0], "llama")


@pytest.fixture(scope="module")
def world_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny model of an architecture, made once."""

    @cache
    def make(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        return vision.make_in_a_process(folder) if kind == "qwen2_5_vl" else runs.make_model(folder, kind)

    return make


@pytest.mark.parametrize("row", ROWS)
def test_two_steps(row: str, world_of: Callable[[str], Path], tmp_path: Path) -> None:
    world = world_of(architecture(row))
    knobs = vision.environment() if "_vl_" in row else {}
    reward = [] if row == "llama31_8b_base_grpo" else [COIN]  # once the recipe's own, which a random model never earns
    code, log, rows = runs.recipe(row, world, tmp_path, *reward, *runs.NO_FILES, prompt=160, **knobs)
    assert code == 0, log[-3000:]
    steps = [step["data"] for step in rows if "actor/pg_loss" in step["data"]]
    assert len(steps) == 2
    # Baselines measure what HICRA measures.
    assert {"hicra/planning_fraction", "hicra/semantic_entropy_nats", "hicra/perplexity_execution"} <= set(steps[0])
    assert ("hicra/tokens_changed" in steps[0]) == (not row.endswith(("grpo", "entropy_reg")))
    run_folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(run_folders) == 1
    dumps = sorted(path.name for path in (tmp_path / "checkpoints" / "rollouts").glob("*.jsonl"))
    assert dumps == ["1.jsonl", "2.jsonl"]
    if row.endswith("high_entropy"):
        # 30% of the tokens, less those whose advantage is zero.
        assert max(step["hicra/tokens_changed"] for step in steps) > 0
    if not reward:
        assert {"reward/boxed/mean", "reward/answer_timed_out/mean"} <= set(steps[0])
    if "_vl_" in row:
        assert steps[0]["prompt_length/mean"] == pytest.approx(
            vision.prompt_tokens(world), abs=1
        )  # the image's included
    if row.startswith("qwen3_4b_nothink"):
        assert "'enable_thinking': False" in log


def test_a_longer_context_by_itself(world_of: Callable[[str], Path], tmp_path: Path) -> None:
    """Responses are cut off, so the run goes on with longer ones from its checkpoint; killed in the hand-over first."""
    world, out = world_of("qwen2"), tmp_path / "checkpoints"
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    how: dict[str, Any] = {"prompt": 48, "response": 24, "steps": 5, "STAGES": str(plan)}
    settings = [COIN, "trainer.test_freq=-1", "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=256"]

    def decided() -> bool:
        state = out / "stages.json"
        return state.exists() and json.loads(state.read_text())["decision"] is not None

    code, _, _ = runs.recipe("qwen25_7b_hicra", world, tmp_path, *settings, kill_when=decided, **how)
    assert code == -signal.SIGKILL
    code, log, _ = runs.recipe("qwen25_7b_hicra", world, tmp_path, *settings, **how)
    assert code == 0, log[-3000:]

    state = json.loads((out / "stages.json").read_text())
    assert [entry["stage"] for entry in state["history"]] == ["short", "long"]
    hand_over = state["history"][1]["from_step"]
    assert hand_over == 3  # two steps fire the rule, the third is the stage's last
    data = load_run(str(out)).metrics
    assert sorted(data) == [1, 2, 3, 4, 5]
    assert {step: row["response_length/max"] for step, row in data.items()} == {1: 16, 2: 16, 3: 16, 4: 24, 5: 24}
    assert all(row["response_length/clip_ratio"] > 0.2 for row in data.values())
    # Relative measures go on from the run's first step, through the kill and the hand-over.
    initial = json.loads((out / "hicra_initial.json").read_text())["values"]["perplexity_execution"]
    for step, row in data.items():
        assert row["hicra/perplexity_execution_relative"] == pytest.approx(
            row["hicra/perplexity_execution"] / initial
        ), step
    # The optimiser went on: its own step count is that of all updates, the first stage's included.
    for step in (hand_over, 5):
        optimiser = torch.load(
            out / f"global_step_{step}" / "actor" / "optim_world_size_1_rank_0.pt", weights_only=False
        )
        assert {int(values["step"]) for values in optimiser["state"].values()} == {step}


def test_the_check_asks_every_node(world_of: Callable[[str], Path], tmp_path: Path) -> None:
    """Two nodes of a Ray cluster that was started elsewhere, before anybody thought of this run."""
    world = world_of("qwen2")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}  # as recipes/cluster/slurm.sh
    with two_nodes.two_nodes(tmp_path, token) as cluster:
        knobs = {
            **os.environ, **cluster.environment, "PYTHONPATH": str(ROOT), "MODEL_PATH": str(world / "model"),
            "TRAIN_FILE": str(world / "train.parquet"), "TEST_FILE": str(world / "test.parquet"), "NNODES": "2",
            "GPUS_PER_NODE": "1", "STAGES": "none", "OUTPUT_DIR": str(tmp_path / "out"), "WANDB_MODE": "offline",
        }  # fmt: skip
        asked = [sys.executable, "-m", "hicra_verl.cli", "recipes", "check", "qwen25_7b_hicra", "--json", *runs.SMALL]

        def report() -> tuple[int, list[dict[str, Any]]]:
            done = subprocess.run(asked, capture_output=True, text=True, env=knobs, cwd=tmp_path)
            return done.returncode, json.loads(done.stdout)["checks"]

        code, checks = report()
        assert code == 0, [check for check in checks if not check["ok"]]
        said = {(check["group"], check["name"]): check["found"] for check in checks}
        assert said["plugin", "registered"] == "on 2 of 2"
        assert said["paths", "trainer.default_local_dir"].endswith("writable from 2 nodes")
        # A key that the driver has is handed on to no node, and the run's tracker may be on either.
        knobs |= {"WANDB_MODE": "", "WANDB_API_KEY": "a key"}
        code, checks = report()
        assert code == 1
        (failed,) = [check for check in checks if not check["ok"]]
        assert failed["found"].startswith("no key on ")
        assert two_nodes.HEAD in failed["found"]
        assert two_nodes.WORKER in failed["found"]
