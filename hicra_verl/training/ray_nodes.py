"""Wait for all nodes of a Ray cluster that is being started: ``python -m hicra_verl.training.ray_nodes 2``.

The address is RAY_ADDRESS. Exit code 0 once that many nodes are alive, with ``--gpus`` each; 2 with the reason if they
are not within the limit.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from typing import Any


def short_of(nodes: list[dict[str, Any]], wanted: int, gpus: int) -> str | None:
    """What is missing, None if nothing is.

    Args:
        nodes: ``ray.nodes()``.
        wanted: nodes that must be alive.
        gpus: GPUs that each of them must have.
    """
    alive = [node for node in nodes if node["Alive"]]
    if len(alive) < wanted:
        addresses = ", ".join(node["NodeManagerAddress"] for node in alive) or "none"
        return f"{len(alive)} of {wanted} nodes are there ({addresses})"
    for node in alive:
        there = int(node["Resources"].get("GPU", 0))
        if there < gpus:
            return f"node {node['NodeManagerAddress']} has {there} of {gpus} GPUs"
    return None


def wait_for_nodes(wanted: int, gpus: int, limit_s: float) -> str | None:
    """Wait; returns what is still missing at the end, None if nothing is."""
    import ray

    address = os.environ["RAY_ADDRESS"]
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + limit_s
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()  # Ray itself would try for minutes
            if not ray.is_initialized():
                ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            missing = short_of(ray.nodes(), wanted, gpus)
        except (OSError, RuntimeError, ray.exceptions.RayError) as error:  # not up, half up, or it refuses the token
            missing = f"no cluster answers ({str(error).splitlines()[0]})"
        if missing is None or time.monotonic() > deadline:
            ray.shutdown()
            return missing
        time.sleep(1)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nodes", type=int)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of each node")
    parser.add_argument("--limit-s", type=float, default=600)
    arguments = parser.parse_args()
    if "RAY_ADDRESS" not in os.environ:
        print("error: set RAY_ADDRESS to the head node's address and port", file=sys.stderr)
        return 2
    missing = wait_for_nodes(arguments.nodes, arguments.gpus, arguments.limit_s)
    if missing is not None:
        print(
            f"error: Ray at {os.environ['RAY_ADDRESS']} is not ready after {arguments.limit_s:g} s: {missing}. See the "
            "output of `ray start` above; RAY_AUTH_MODE must be the same on every node",
            file=sys.stderr,
        )
        return 2
    print(f"[hicra] Ray is ready: {arguments.nodes} nodes at {os.environ['RAY_ADDRESS']}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
