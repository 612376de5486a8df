"""A recipe on a Ray cluster that was started beforehand: two nodes, killed at random, resumed by one command."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest
import slurm
import two_nodes
from conftest import ROOT

import runs
from hicra_verl.analysis.runs import load_run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(5400)]
HERE = Path(__file__).parent
STEPS, KILLS, SEED = 16, 10, 20
HANG_S = 150

PLAN = """
stages:
  - name: short
    set: {data.max_response_length: 16}
    until: {metric: response_length/clip_ratio, above: 0.2, in_a_row: 3}
  - name: long
    set: {data.max_response_length: 24}
best: {metric: val-core/*/*/mean@*}
"""

# What is killed: a name of Ray's for one of the run's processes, or of the ones that this test starts.
TARGETS = ["everything", "supervisor", "driver", "ray::TaskRunner", "ray::WorkerDict", "ray::vLLM"]
JOIN = [f"ray_kwargs.ray_init.{name}=null" for name in ("num_gpus", "num_cpus", "object_store_memory")]


class Run:
    """The recipe's command, started again and again from a working folder of its own."""

    def __init__(self, folder: Path, world: Path, joins: dict[str, str], steps: int) -> None:
        self.out = folder / "checkpoints"
        self.log = folder / "log.txt"
        self.steps = steps
        (folder / "plan.yaml").write_text(PLAN)
        self.folder = folder / "driver"
        self.folder.mkdir(exist_ok=True)
        knobs = {
            "PYTHON": sys.executable,
            "MODEL_PATH": str(world / "model"),
            "TRAIN_FILE": str(world / "train.parquet"),
            "TEST_FILE": str(world / "test.parquet"),
            "NNODES": "2",
            "GPUS_PER_NODE": "1",
            "MAX_PROMPT_LENGTH": "48",
            "OUTPUT_DIR": str(self.out),
            "LOGGER": '["console","file","wandb"]',
            "STAGES": str(folder / "plan.yaml"),
            "STEPS": str(steps),
            "WANDB_MODE": "offline",
        }
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "RAY_", "VERL_"))}
        self.environment = {**plain, "PYTHONPATH": str(ROOT), **knobs, **joins}
        self.words = [
            str(ROOT / "recipes" / "qwen25_7b_hicra.sh"),
            *runs.SMALL,
            *JOIN,
            "algorithm.hicra.allow_no_match=true",
            "actor_rollout_ref.rollout.max_model_len=72",
            "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=256",
            f"reward.custom_reward_function.path={HERE / 'rewards.py'}",
            "trainer.test_freq=1",
            "trainer.save_freq=1",
            "trainer.val_before_train=True",
        ]

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as stream:
            return subprocess.Popen(
                ["bash", *self.words],
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def rows(self) -> int:
        """Lines logged in all starts."""
        return sum(len(file.read_bytes().splitlines()) for file in (self.out / "metrics").glob("*.jsonl"))


def named(pattern: str, cluster: two_nodes.Cluster) -> list[psutil.Process]:
    """The run's processes on the cluster that Ray gave this name."""
    found = []
    for pid in cluster.node_pids:
        for process in psutil.Process(pid).children(recursive=True):
            try:
                if " ".join(process.cmdline()).startswith(pattern):
                    found.append(process)
            except psutil.Error:
                continue
    return found


def kill(target: str, process: subprocess.Popen[bytes], cluster: two_nodes.Cluster, rng: random.Random) -> str:
    """Kill it with SIGKILL; returns what was killed in fact."""
    if target.startswith("ray::"):
        found = named(target, cluster)
        if found:
            rng.choice(found).kill()
            return target
    elif target == "supervisor":
        process.kill()
        return target
    elif target == "driver":
        drivers = [child for child in psutil.Process(process.pid).children() if "main_ppo" in " ".join(child.cmdline())]
        if drivers:
            drivers[0].kill()
            return target
    os.killpg(process.pid, signal.SIGKILL)
    return "everything"


def test_ten_kills(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    world = runs.make_model(tmp_path / "world")
    authentication = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}  # as recipes/cluster/slurm.sh
    kills: list[dict[str, Any]] = []
    with two_nodes.two_nodes(tmp_path, authentication) as cluster:
        run = Run(tmp_path, world, cluster.environment, STEPS)
        began = time.monotonic()
        code = None
        while code != 0:
            assert len(kills) <= KILLS, "ten kills, and the command after them failed"
            process = run.start()
            started, before = time.monotonic(), run.rows()
            code = None
            if len(kills) < KILLS:
                # A third of the kills hit the start; the others come some time after the first or second line logged.
                lines, delay_s = rng.choice([(0, rng.uniform(5, 60)), (1, rng.uniform(0, 15)), (2, rng.uniform(0, 12))])
                while process.poll() is None and run.rows() - before < lines:
                    time.sleep(0.05)
                try:
                    code = process.wait(delay_s)
                except subprocess.TimeoutExpired:
                    target = TARGETS[len(kills) % len(TARGETS)]
                    killed = kill(target, process, cluster, rng)
                    entry = {"killed": killed, "after_s": round(time.monotonic() - started, 1), "lines": lines}
                    try:
                        entry["ended_s"] = process.wait(HANG_S) and round(time.monotonic() - started, 1)
                    except subprocess.TimeoutExpired:
                        entry["hung"] = True
                        os.killpg(process.pid, signal.SIGKILL)
                        process.wait()
                    entry["rows"] = run.rows()
                    kills.append(entry)
                    print(json.dumps(entry), flush=True)
                    continue
            else:
                code = process.wait(900)
            assert code == 0, run.log.read_text(errors="replace")[-5000:]
        print(f"{len(kills)} kills, {time.monotonic() - began:.0f} s", flush=True)
        assert len(kills) == KILLS
        check(run, *cluster.folders)


def check(run: Run, *others: Path) -> None:
    """One run, as if nothing had happened; ``others``: working folders of the nodes, which hold nothing of it."""
    steps = run.steps
    # Metrics: in one place, every step, with what only its training can tell.
    data = load_run(str(run.out)).metrics
    assert sorted(data) == list(range(steps + 1))  # step 0: the validation before training
    for step in range(1, steps + 1):
        assert {"actor/pg_loss", "hicra/planning_fraction", "response_length/mean"} <= set(data[step]), step
    # Stages: the rule holds after three steps, so the fourth is the first stage's last; a step later where a kill fell
    # between the third one's checkpoint and the rule.
    history = json.loads((run.out / "stages.json").read_text())["history"]
    assert [entry["stage"] for entry in history] == ["short", "long"]
    last = history[1]["from_step"]
    assert last in (4, 5)
    assert {step: data[step]["response_length/max"] for step in range(1, steps + 1)} == {
        step: 16 if step <= last else 24 for step in range(1, steps + 1)
    }
    # Trackers: one wandb run, beside the checkpoints and not in some node's working folder.
    wandb_runs = list((run.out / "wandb").glob("offline-run-*"))
    assert len({folder.name.rsplit("-", 1)[1] for folder in wandb_runs}) == 1
    assert wandb_runs
    for folder in (*others, run.folder):
        assert not {entry.name for entry in folder.iterdir()} & {"wandb", "checkpoints", "tensorboard_log", "hicra"}
    # Checkpoints: the last one whole, on both nodes.
    assert (run.out / "latest_checkpointed_iteration.txt").read_text() == str(steps)
    shards = {path.name for path in (run.out / f"global_step_{steps}" / "actor").glob("model_*.pt")}
    assert shards == {"model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"}
    # The best: the highest validation seen of the steps that were saved, and whole.
    values = {step: value for step in data if (value := validation(data[step])) is not None}
    best = json.loads((run.out / "best" / "best.json").read_text())
    assert best["value"] >= max(value for step, value in values.items() if step > 0)
    assert [path.name for path in (run.out / "best").glob("global_step_*")] == [f"global_step_{best['step']}"]
    kept = run.out / "best" / f"global_step_{best['step']}"
    assert {path.name for path in (kept / "actor").glob("model_*.pt")} == shards
    assert (kept / "data.pt").exists()


def validation(row: dict[str, float]) -> float | None:
    values = [value for name, value in row.items() if name.startswith("val-core/") and "/mean@" in name]
    return sum(values) / len(values) if values else None


def test_slurm(tmp_path: Path) -> None:
    """The same recipe through recipes/cluster/slurm.sh; signalled as before its time limit, queued again, and done."""
    slurm.skip_where_absent()
    world = runs.make_model(tmp_path / "world")
    ray_folder, home = two_nodes.folders_of_its_own()
    run = Run(tmp_path, world, {"HOME": str(home), "RAY_TMPDIR": str(ray_folder)}, steps=6)
    with slurm.two_slurm_nodes(tmp_path / "slurm") as reach:
        submit = ["sbatch", "--parsable", "--nodes=2", "--gpus-per-node=1", "--cpus-per-task=20", "--time=60"]
        submit += [f"--output={run.log}", f"--chdir={run.folder}", str(ROOT / "recipes" / "cluster" / "slurm.sh")]
        number = slurm.slurm({**run.environment, **reach}, *submit, *run.words)
        signalled = False
        while (state := slurm.job(reach, number))["JobState"] not in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"):
            if not signalled and run.rows() > 1:
                slurm.slurm(reach, "scancel", "--batch", "--signal=USR1", number)
                signalled = True
            time.sleep(1)
        log = run.log.read_text(errors="replace")
        assert state["JobState"] == "COMPLETED", log[-5000:]
        assert (state["Restarts"], state["ExitCode"]) == ("1", "0:0")
        assert f"job {number} is queued again" in log
        assert log.count("Ray is ready: 2 nodes") == 2
        assert run.environment.get("RAY_AUTH_TOKEN") is None
        check(run)
    shutil.rmtree(ray_folder, ignore_errors=True)
