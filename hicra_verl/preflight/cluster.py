"""Asks every node: of the Ray cluster that RAY_ADDRESS names, as the recipes join it, or else this machine alone."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hicra_verl.doctor import Check, fresh_process
from hicra_verl.preflight import node

WAIT_S = 300  # the first import of torch and verl from a shared disk takes its time


@contextmanager
def marker(folder: str) -> Iterator[str | None]:
    """A file in the folder (or in the nearest above it that exists), by which other nodes tell that they see the same
    disk; None where none can be written."""
    try:
        file = tempfile.NamedTemporaryFile(dir=node.existing(folder), prefix=".hicra-check-")  # noqa: SIM115
    except OSError:
        yield None
        return
    with file:
        yield file.name


def ask_every_node(request: dict[str, Any]) -> tuple[list[dict[str, Any]], Check | None]:
    """The facts of every node, or what kept us from asking.

    A node that could not answer is there as ``{"node": name, "error": words}``.

    Args:
        request: see ``node.facts``.
    """
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        found, said = fresh_process("-m", "hicra_verl.preflight.node", given=json.dumps(request))
        return [found or {"node": "this machine", "error": said}], None
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        remedy = "start Ray on the head node (`ray start --head`), or unset RAY_ADDRESS to run on this machine"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [], Check("nodes", address, f"cannot be joined: {reason}", False, remedy)
    try:
        return _ray_nodes(request), None
    finally:
        ray.shutdown()


def _ray_nodes(request: dict[str, Any]) -> list[dict[str, Any]]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(node.facts)
    asked = []
    for there in ray.nodes():
        if there["Alive"]:
            strategy = NodeAffinitySchedulingStrategy(there["NodeID"], soft=False)
            answer = task.options(num_cpus=0, max_retries=0, scheduling_strategy=strategy).remote(request)
            asked.append((f"{there['NodeManagerHostname']} ({there['NodeManagerAddress']})", answer))
    found = []
    for name, answer in asked:
        try:
            found.append({**ray.get(answer, timeout=WAIT_S), "node": name})
        except (ray.exceptions.RayError, ModuleNotFoundError) as error:
            found.append({"node": name, "error": (str(error).strip().splitlines() or [type(error).__name__])[-1]})
    return found
