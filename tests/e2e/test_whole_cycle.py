"""The README's full-scale lines, run as printed: data from a hub, a recipe and its twin, evaluation, table, figures.

A local server stands for the hub, and a tiny model on it for Qwen2.5-7B. Words are appended only to make it small.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import planning_world
import pytest
import servers
import tiny_model
from conftest import ROOT
from fake_hub import FakeHub, write_awkward_hub
from made_up_reports import read_json, read_report

from hicra_verl.data.sources import SOURCES
from hicra_verl.metrics.table import all_metrics

pytestmark = [pytest.mark.e2e, pytest.mark.recipes, pytest.mark.timeout(1500)]

TEXT_BENCHMARKS = ("aime24", "aime25", "math500", "amc23", "minerva", "olympiad")
# What makes the full-scale lines small. The logger, the stages and every other default are the recipe's own.
# fmt: off
SMALL = [
    "+machine=cpu",
    "data.train_batch_size=4", "actor_rollout_ref.rollout.n=8", "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.rollout.val_kwargs.n=1", "actor_rollout_ref.rollout.max_model_len=512",
    "actor_rollout_ref.model.use_remove_padding=False", "actor_rollout_ref.model.enable_gradient_checkpointing=False",
    "actor_rollout_ref.actor.fsdp_config.param_offload=False",
    "actor_rollout_ref.actor.fsdp_config.optimizer_offload=False",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=16",
]
# fmt: on
KNOBS = {"NNODES": "1", "GPUS_PER_NODE": "1", "STEPS": "2", "MAX_PROMPT_LENGTH": "400"}
# vLLM's CPU build cannot go on with a seeded request whose prompt it has read in part ("CPU Generator does not use
# offset"), so every prompt must fit one batch.
VLLM = ("dtype=float32", "max_model_len=512", "enforce_eager=true", "max_num_batched_tokens=16384")
FEW = "--limit 4 --samples 1 --max-tokens 64 " + " ".join(f"--vllm-argument {argument}" for argument in VLLM)


def full_scale_lines() -> list[str]:
    """The commands of the README's section, without their comments."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Full scale\n", 1)[1]
    block = re.search(r"```bash\n(.*?)```", section, re.DOTALL)
    assert block
    return [line.split("  #")[0].strip() for line in block.group(1).splitlines()]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    """Every data set, and a tiny model that writes planning phrases where Qwen2.5-7B is."""
    folder = tmp_path_factory.mktemp("hub")
    write_awkward_hub(folder)
    warm, _, _ = planning_world.splits(0, n_train=64, n_test=8)
    tiny_model.warm_start(warm[:4000], folder / "models" / "Qwen" / "Qwen2.5-7B", seed=0, steps=60)
    with FakeHub(folder) as server:
        yield server


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: the recipes, and nothing that was made before."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    return folder


def run(line: str, checkout: Path, hub: FakeHub, code: int = 0) -> str:
    """Run a line in bash, as a user does who has activated the environment; returns what it printed."""
    environment = {
        **os.environ,
        **KNOBS,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **hub.environment(checkout / "hf_home"),
        **servers.ENVIRONMENT,  # vLLM in `hicra eval`, on a CPU
        "WANDB_MODE": "offline",
        "COLUMNS": "250",
    }
    done = subprocess.run(["bash", "-c", line], cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == code, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_readmes_full_scale_lines(hub: FakeHub, checkout: Path) -> None:
    lines = [line for line in full_scale_lines() if not line.startswith("pip install")]  # those: test_install.py
    printed = {}
    for line in lines:
        words = line
        if "recipes/evaluate.sh" in line:
            words = " && ".join(f"{one} {FEW}" for one in line.split(" && "))
        elif "bash recipes/" in line:
            words = f"{line} {' '.join(SMALL)}"
        elif "recipes check" in line:
            # All is there but what a model of 7B needs, as which the tiny one goes by its name.
            report = run(f"{line} {' '.join(SMALL)} --json", checkout, hub, code=1)
            failed = {check["name"] for check in json.loads(report[report.index("{\n") :])["checks"] if not check["ok"]}
            assert failed <= {"trainer.default_local_dir", "memory"}
            assert "memory" in failed
            continue
        printed[line] = run(words, checkout, hub)

    for name in (*TEXT_BENCHMARKS, "dapo_math_17k", "deepscaler"):
        account = json.loads((checkout / "data" / "qwen" / f"{name}.json").read_text(encoding="utf-8"))
        assert account["rows"] == SOURCES[name].rows or not SOURCES[name].rows
    run_folders = {row: checkout / "checkpoints" / "hicra" / f"qwen25_7b_{row}" for row in ("hicra", "grpo")}
    for folder in run_folders.values():
        assert list((folder / "metrics").glob("*.jsonl"))
        assert (folder / "global_step_2").is_dir()
        logged = [json.loads(row) for path in (folder / "metrics").glob("*.jsonl") for row in path.open()]
        assert any("reward/boxed/mean" in row["data"] for row in logged)  # the recipe's own reward
    table = printed["hicra table results/*"]
    assert len(re.findall(r"│ ours +│ +\d", table)) == 2  # HICRA's scores and GRPO's
    assert len(re.findall(r"│ ours +│ +[+-]\d", table)) == 1  # and the difference of the two

    # Every panel of the paper's figures, and every chart of the page, has its curves.
    drawn = run(
        f"hicra dynamics hicra={run_folders['hicra']} grpo={run_folders['grpo']} -o figures && "
        f"hicra report hicra={run_folders['hicra']} grpo={run_folders['grpo']} -o report.html",
        checkout,
        hub,
    )
    # A step of four prompts holds too few words after grams for the size-matched measure; every other curve is there.
    blank = set(re.findall(r"the panel '([^']*)' is blank", " ".join(drawn.split())))
    assert blank <= {"words after a gram, change (nats)"}
    with (checkout / "figures" / "comparison.csv").open() as stream:
        compared = {(row["method"], row["metric"]) for row in csv.DictReader(stream)}
    assert len(compared) == 2 * 6
    page = read_json(read_report(checkout / "report.html"), "manifest")
    charts = {metric.chart for metric in all_metrics() if metric.chart}
    assert len(charts) >= 8
    assert charts - {chart["title"] for chart in page["charts"]} <= {"Words after a gram, change (nats)"}
