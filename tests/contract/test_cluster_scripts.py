"""The cluster scripts, without a cluster: Slurm's and Ray's commands are stand-ins that note how they were called.

`pytest -m cluster` runs the real ones: two Ray nodes, and a Slurm, on this machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from hicra_verl.data.sources import SOURCES
from hicra_verl.training.ray_nodes import short_of

CLUSTER = ROOT / "recipes" / "cluster"

# srun runs its command here; `ray start` goes on until it is killed; hostname answers as a node with two networks does.
STANDINS = {
    "srun": """
        while [[ $1 == --* || $1 == -w ]]; do if [ "$1" = -w ]; then shift; export ON=$1; fi; shift; done
        export CUDA_VISIBLE_DEVICES=0 ROCR_VISIBLE_DEVICES=0   # both, as Slurm 22.05 does without AutoDetect
        exec "$@"
    """,
    "scontrol": """
        case $1 in show) printf 'n1\\nn2\\n' ;; requeue) note scontrol "$@" ;; esac
    """,
    "hostname": '[ "$1" = -I ] && echo 10.0.0.1 192.168.0.1 || echo 127.0.1.1',  # Debian's /etc/hosts names the latter
    "python": """
        case "$*" in
            *token_hex*) echo made-up-token ;;
            *ray_nodes*)
                note "$@"
                until [ "$(grep -c ' start ' "${CALLS}")" -ge "$3" ]; do sleep 0.05; done
                exit "${READY_CODE:-0}" ;;
            *) note "$@"; exec sleep 100 ;;
        esac
    """,
    "recipe": 'note recipe "$@"; sleep "${RECIPE_S:-0}" > /dev/null 2>&1; exit "${RECIPE_CODE:-0}"',
}
NOTE = r"""#!/usr/bin/env bash
note() {
    printf '{"node": "%s", "words": "%s", "cpus": "%s", "auth": "%s", "address": "%s", "rocr": "%s"}\n' \
        "${ON:-}" "$*" "${SRUN_CPUS_PER_TASK:-}" "${RAY_AUTH_MODE:-} ${RAY_AUTH_TOKEN:-}" "${RAY_ADDRESS:-}" \
        "${ROCR_VISIBLE_DEVICES:-}" >> "${CALLS}"
}
"""


def submit(folder: Path, **variables: str) -> subprocess.Popen[str]:
    """Run slurm.sh as a batch job's script would be."""
    stand_ins = folder / "bin"
    stand_ins.mkdir()
    for name, body in STANDINS.items():
        (stand_ins / name).write_text(NOTE + body)
        (stand_ins / name).chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "GPUS_"))},
        "PATH": f"{stand_ins}:{os.environ['PATH']}",
        "CALLS": str(folder / "calls.jsonl"),
        "SLURM_JOB_ID": "12345",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_PER_TASK": "64",
        "SLURM_GPUS_ON_NODE": "8",
        **variables,
    }
    command = ["bash", str(CLUSTER / "slurm.sh"), str(stand_ins / "recipe"), "a=1", "b=two words"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def calls(folder: Path) -> list[dict[str, Any]]:
    path = folder / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_slurm_starts_ray_everywhere_and_then_the_recipe(tmp_path: Path) -> None:
    job = submit(tmp_path)
    output = job.communicate(timeout=60)[0]
    assert job.returncode == 0, output
    noted = calls(tmp_path)
    start = {call["node"]: call for call in noted if " start " in call["words"]}
    assert "--head --node-ip-address=10.0.0.1 --port=22345" in start["n1"]["words"]
    assert "--address=10.0.0.1:22345" in start["n2"]["words"]
    for call in start.values():
        assert call["rocr"] == ""  # "Please don't set ROCR_VISIBLE_DEVICES when HIP/CUDA_VISIBLE_DEVICES is set" (verl)
        assert call["address"] == ""  # with RAY_ADDRESS `ray start` refuses to begin a cluster
        assert "--num-gpus=8 --num-cpus=64" in call["words"]
    # srun gives a step one core of the task's 64 where this is not said (Slurm 22.05 and later).
    assert {call["cpus"] for call in noted} == {"64"}
    # Ray 2.60: where the head finds a token, the others must send it.
    assert {call["auth"] for call in noted} == {"token made-up-token"}
    recipe = noted[-1]
    assert (recipe["node"], recipe["words"]) == ("n1", "recipe a=1 b=two words")
    assert recipe["address"] == "10.0.0.1:22345"
    waits = [call["words"] for call in noted if "ray_nodes" in call["words"]]
    assert [wait.split("ray_nodes ")[1] for wait in waits] == ["1 --limit-s 300", "2 --gpus 8 --limit-s 600"]


def test_slurm_ends_where_ray_is_not_ready_or_the_recipe_fails(tmp_path: Path) -> None:
    for number, variables in enumerate([{"READY_CODE": "2"}, {"RECIPE_CODE": "7"}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        job = submit(folder, **variables)
        job.communicate(timeout=60)
        assert job.returncode == int(next(iter(variables.values())))
        assert any("recipe" in call["words"].split() for call in calls(folder)) == (number == 1)
        assert not any("requeue" in call["words"] for call in calls(folder))


def test_slurm_queues_the_job_again_before_its_limit(tmp_path: Path) -> None:
    header = (CLUSTER / "slurm.sh").read_text().splitlines()
    wanted = {"--requeue", "--open-mode=append", "--signal=B:USR1@600"}
    assert wanted <= {line.removeprefix("#SBATCH ") for line in header if line.startswith("#SBATCH")}
    job = submit(tmp_path, RECIPE_S="50")
    while not any(call["words"].startswith("recipe") for call in calls(tmp_path)):
        assert job.poll() is None
        time.sleep(0.05)
    began = time.monotonic()
    job.send_signal(signal.SIGUSR1)
    output = job.communicate(timeout=40)[0]  # which also waits for the end of Ray's nodes: they hold the output
    assert time.monotonic() - began < 30
    assert job.returncode == 0, output
    assert calls(tmp_path)[-1]["words"] == "scontrol requeue 12345"
    assert "goes on from its last checkpoint" in output


def node(address: str, alive: bool = True, gpus: float = 8.0) -> dict[str, Any]:
    return {"Alive": alive, "NodeManagerAddress": address, "Resources": {"CPU": 64.0, "GPU": gpus} if alive else {}}


def test_readiness() -> None:
    assert short_of([node("a"), node("b")], 2, 8) is None
    assert (
        short_of([node("a"), node("b", alive=False)], 2, 8) == "1 of 2 nodes are there (a)"
    )  # Ray lists the dead, too
    assert short_of([], 1, 0) == "0 of 1 nodes are there (none)"
    assert short_of([node("a"), node("b", gpus=4.0)], 2, 8) == "node b has 4 of 8 GPUs"


def test_readiness_has_a_limit() -> None:
    command = [sys.executable, "-m", "hicra_verl.training.ray_nodes", "2", "--limit-s", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": "127.0.0.1:1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "Ray at 127.0.0.1:1 is not ready after 1 s: no cluster answers" in done.stderr
    assert "Traceback" not in done.stderr


def skypilot() -> dict[str, Any]:
    task: dict[str, Any] = yaml.safe_load((CLUSTER / "skypilot.yaml").read_text())
    return task


def test_skypilot_shares_one_folder_and_prepares_all_benchmarks() -> None:
    task = skypilot()
    volume = yaml.safe_load((CLUSTER / "skypilot_volume.yaml").read_text())
    assert task["volumes"] == {"/shared": volume["name"]}
    assert volume["config"]["access_mode"] == "ReadWriteMany"
    assert "OUTPUT_DIR=/shared/" in task["run"]
    assert "DATA_DIR=/shared/" in task["run"]
    assert set(task["envs"]["BENCHMARKS"].split()) == {"aime24", "aime25", "math500", "amc23", "minerva", "olympiad"}
    assert set(task["envs"]["TRAINING"].split()) <= set(SOURCES)
    assert task["run"].index("hicra data $BENCHMARKS") < task["run"].index("hicra data $TRAINING")
    assert "hicra data" not in task["setup"]  # which every node runs
    for script in (task["setup"], task["run"]):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_skypilots_own_parser_reads_it() -> None:
    sky = pytest.importorskip("sky", reason="SkyPilot is not installed (pip install skypilot)")
    from sky.volumes.volume import Volume

    task = sky.Task.from_yaml(str(CLUSTER / "skypilot.yaml"))
    assert (task.num_nodes, task.volumes) == (2, {"/shared": "hicra"})
    volume = Volume.from_yaml_config(yaml.safe_load((CLUSTER / "skypilot_volume.yaml").read_text()))
    assert (volume.name, volume.type) == ("hicra", "k8s-pvc")
