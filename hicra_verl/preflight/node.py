"""What one node sees: packages, files, folders, the plugin, the gram set, GPUs.

Runs as a Ray task on every node of a cluster, or in a fresh process of this machine (``python -m
hicra_verl.preflight.node``, a request as JSON on its standard input, the facts on the last line of its output).
"""

from __future__ import annotations

import json
import netrc
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hicra_verl.training.environment import version_of


def facts(request: dict[str, Any]) -> dict[str, Any]:
    """The facts.

    Args:
        request: ``packages`` (names), ``files`` and ``folders`` (paths), ``grams`` (a gram set), ``marker`` (a file
            that exists where the asking process is), ``flash_attention`` (whether to import it),
            ``wandb_mode`` (what the run would hand to every process as WANDB_MODE, "" for nothing).

    Returns:
        For each of these what was found, and where something failed, the reason in words.
    """
    return {
        "node": socket.gethostname(),
        "packages": {name: version_of(name) for name in request["packages"]},
        "files": {path: Path(path).stat().st_size if Path(path).is_file() else None for path in request["files"]},
        "unwritable": {path: reason for path in request["folders"] if (reason := _why_not_writable(path))},
        "free_bytes": {path: shutil.disk_usage(existing(path)).free for path in request["folders"]},
        "sees_marker": request["marker"] is None or Path(request["marker"]).exists(),
        "plugin": _why_not_registered(),
        "grams": _gram_set(request["grams"]),
        "flash_attention": _why_no_flash_attention() if request["flash_attention"] else "",
        "wandb": _wandb(request["wandb_mode"]),
        "gpu_bytes": _gpus(),
    }


def existing(path: str) -> Path:
    """The folder itself, or the nearest above it that exists."""
    folder = Path(path).absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _why_not_writable(path: str) -> str:
    try:
        with tempfile.NamedTemporaryFile(dir=existing(path), prefix=".hicra-check-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return str(error)
    return ""


def _why_not_registered() -> str:
    """Whether verl's own plugin loading registers HICRA in this process, which has not imported verl before."""
    try:
        import verl  # noqa: F401
        from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY
    except Exception as error:  # whatever stops verl from loading is the finding
        return f"verl does not import: {type(error).__name__}: {error}"
    from hicra_verl.config import ESTIMATOR
    from hicra_verl.verl_patches import patches

    if "hicra_verl.plugin" not in sys.modules or ESTIMATOR not in ADV_ESTIMATOR_REGISTRY:
        return "verl loads, but did not load hicra-verl's entry point"
    return "; ".join(patches.problems.values())


def _gram_set(name: str) -> dict[str, str]:
    from hicra_verl.grams import GramSetError, load_grams

    try:
        return {"sha256": load_grams(name).sha256, "error": ""}
    except GramSetError as error:
        return {"sha256": "", "error": str(error)}


def _why_no_flash_attention() -> str:
    try:
        import flash_attn  # noqa: F401
    except ImportError as error:  # absent, or built for another torch or CUDA
        return str(error)
    return ""


def _wandb(handed: str) -> str:
    """How wandb would log from here: "offline", "disabled", "key", or "" if it would ask. Keys are not handed on."""
    mode = handed or os.environ.get("WANDB_MODE", "")
    if mode in ("offline", "dryrun", "disabled"):
        return mode
    if os.environ.get("WANDB_API_KEY"):
        return "key"
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return "key" if netrc.netrc(os.environ.get("NETRC")).authenticators(host) else ""
    except (OSError, netrc.NetrcParseError):
        return ""


def _gpus() -> list[int]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_properties(number).total_memory for number in range(count)]


if __name__ == "__main__":
    print("\n" + json.dumps(facts(json.load(sys.stdin))))
