"""A Slurm of two nodes on this machine, from Debian's packages (`apt-get install slurm-wlm`), while a test runs.

One slurmd stands for each node; both believe in twenty cores and one GPU.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from two_nodes import free_port

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scontrol")
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
NODES = {"n1": "/dev/null", "n2": "/dev/zero"}  # a GPU has a file; these stand for one

CONFIG = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={controller}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
GresTypes=gpu
KillWait=5
{nodes}
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
"""


def skip_where_absent() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if missing:
        pytest.skip(f"no Slurm here: {', '.join(missing)} not found (Debian: apt-get install slurm-wlm)")
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own needs root: slurmd starts jobs as their users")


@contextmanager
def two_slurm_nodes(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands reach the cluster."""
    nodes = "\n".join(
        f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={free_port()} CPUs=20 Gres=gpu:1 State=UNKNOWN"
        for name in NODES
    )
    (folder / "state").mkdir(parents=True)
    for name in NODES:
        (folder / f"spool-{name}").mkdir()
    (folder / "slurm.conf").write_text(CONFIG.format(controller=free_port(), folder=folder, nodes=nodes))
    gpus = "".join(f"NodeName={name} Name=gpu File={file}\n" for name, file in NODES.items())
    (folder / "gres.conf").write_text(gpus)
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
    environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}
    daemons = []
    try:
        for words in (["slurmctld"], *(["slurmd", "-N", name] for name in NODES)):
            with (folder / f"{'-'.join(words)}.txt").open("wb") as log:
                command = [words[0], "-D", "-f", environment["SLURM_CONF"], *words[1:]]
                full = {**os.environ, **environment}
                daemons.append(subprocess.Popen(command, env=full, stdout=log, stderr=subprocess.STDOUT))
            time.sleep(2)
        wait_until_idle(environment, folder)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in daemons:
            daemon.wait(30)


def slurm(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    states = ""
    for _ in range(30):
        states = slurm(environment, "sinfo", "--noheader", "--Node", "--format=%t")
        if states.split() == ["idle"] * len(NODES):
            return
        time.sleep(1)
    logs = "\n".join(path.read_text(errors="replace")[-1000:] for path in folder.glob("slurm*.txt"))
    pytest.skip(f"Slurm's nodes do not come up on this machine ({states.split()}):\n{logs}")


def job(environment: dict[str, str], number: str) -> dict[str, str]:
    """What `scontrol show job` says, field by field."""
    shown = slurm(environment, "scontrol", "--oneliner", "show", "job", number)
    return dict(field.split("=", 1) for field in shown.split() if "=" in field)
