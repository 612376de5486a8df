"""A Ray cluster of two nodes on this machine, started beforehand with `ray start`, as on a real cluster.

The nodes have working folders and addresses of their own, and none of the run's environment.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT

RAY = str(Path(sys.executable).with_name("ray"))
HEAD, WORKER = "127.0.0.2", "127.0.0.3"  # the loopback network answers on all of its addresses
START_LIMIT_S = 120


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        address: what RAY_ADDRESS is to be.
        environment: what a driver needs in order to join.
        folders: the working folders of the head and of the worker.
        node_pids: the processes that all of a node's processes descend from.
    """

    address: str
    environment: dict[str, str]
    folders: tuple[Path, Path]
    node_pids: tuple[int, ...]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def folders_of_its_own() -> tuple[Path, Path]:
    """A folder for Ray's files, and a home that holds the token that an earlier local ray.init() leaves (Ray 2.60)."""
    # Ray's sockets lie in the first, and a socket's path holds 107 characters at most.
    ray_folder = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    home = ray_folder / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(uuid.uuid4().hex)
    return ray_folder, home


@contextmanager
def two_nodes(folder: Path, authentication: dict[str, str]) -> Iterator[Cluster]:
    """The cluster, for as long as the context lasts; ``authentication``: RAY_AUTH_* variables of the nodes."""
    ray_folder, home = folders_of_its_own()
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "RAY_", "VERL_"))}
    environment = {**plain, "HOME": str(home), "PYTHONPATH": str(ROOT), **authentication}
    port = free_port()
    address = f"{HEAD}:{port}"
    common = ["--num-gpus=1", "--num-cpus=20", "--object-store-memory=300000000", "--disable-usage-stats", "--block"]
    starts = [
        ["--head", f"--node-ip-address={HEAD}", f"--port={port}", f"--temp-dir={ray_folder}"],
        [f"--address={address}", f"--node-ip-address={WORKER}"],
    ]
    starts[0].append("--include-dashboard=false")
    folders = (folder / "node-0", folder / "node-1")
    nodes = []
    try:
        for place, words in zip(folders, starts, strict=True):
            place.mkdir(parents=True, exist_ok=True)
            with (place / "ray.txt").open("wb") as log:
                nodes.append(
                    subprocess.Popen(
                        [RAY, "start", *words, *common],
                        cwd=place,
                        env=environment,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
            wait_for(place / "ray.txt", "--block", nodes[-1])
        yield Cluster(
            address,
            {"HOME": str(home), "RAY_ADDRESS": address, **authentication},
            folders,
            tuple(node.pid for node in nodes),
        )
    finally:
        for node in reversed(nodes):
            node.send_signal(signal.SIGTERM)
        for node in nodes:
            try:
                node.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
        shutil.rmtree(ray_folder, ignore_errors=True)


def wait_for(log: Path, text: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(START_LIMIT_S * 5):
        if text in log.read_text(errors="replace"):
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError(f"a Ray node did not start:\n{log.read_text(errors='replace')[-3000:]}")
