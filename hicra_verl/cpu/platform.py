"""A CPU platform for verl.

verl picks its device through ``verl.plugin.platform``; the registry is public and made for out-of-tree platforms.
This one maps verl's accelerator calls to what a CPU has: memory queries answer from the process and the machine,
stream and cache calls do nothing, collectives go through gloo. Ray still hands out a *logical* GPU per worker
(``ray_init.num_gpus`` in ``conf/machine/cpu.yaml``), because verl's placement groups ask for one.
"""

from __future__ import annotations

import contextlib
import os
import types
from typing import Any

import torch


def is_cpu_only_torch() -> bool:
    """True if this torch build cannot drive any accelerator that verl knows of (CUDA, ROCm, NPU, XPU)."""
    built_for = (torch.version.cuda, torch.version.hip, torch.version.xpu)
    return built_for == (None, None, None) and not hasattr(torch, "npu")


def choose_cpu_platform() -> bool:
    """Select the CPU platform for this process and its children if nothing else can run here.

    Only environment variables that the user has not set are set. Returns whether the CPU platform is in force.
    """
    if is_cpu_only_torch():
        os.environ.setdefault("VERL_PLATFORM", "cpu")
    if os.environ.get("VERL_PLATFORM") != "cpu":
        return False
    # verl registers its FSDP engine for "cuda" and "npu"; nothing in it is CUDA-specific, so reuse it.
    os.environ.setdefault("VERL_ENGINE_DEVICE", "cuda")
    # vLLM reserves 4 GiB of key-value cache by default, half a laptop.
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    # Its CPU worker would otherwise pin threads to the same cores as the trainer's.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    # torch.compile has no place in a debugging run and costs a minute per process.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    return True


def _resident_bytes() -> int:
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _mem_get_info(device: Any = None) -> tuple[int, int]:
    page = os.sysconf("SC_PAGE_SIZE")
    return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page


def _always(answer: Any) -> Any:
    """A method, or a function, that gives one answer whatever it is asked."""
    return lambda *args, **kwargs: answer


def _device_module() -> types.ModuleType:
    """``torch.cpu`` plus the memory and random-state calls that verl makes on ``torch.cuda``."""
    module = types.ModuleType("hicra_verl.cpu.device")
    vars(module).update({name: value for name, value in vars(torch.cpu).items() if not name.startswith("_")})
    for name in ("empty_cache", "ipc_collect", "set_per_process_memory_fraction", "reset_peak_memory_stats"):
        setattr(module, name, _always(None))
    for name in ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"):
        setattr(module, name, lambda device=None: _resident_bytes())
    vars(module).update(
        mem_get_info=_mem_get_info,
        get_device_name=_always("cpu"),
        get_rng_state=lambda device=None: torch.get_rng_state(),
        set_rng_state=lambda state, device=None: torch.set_rng_state(state),
        manual_seed=torch.manual_seed,
        manual_seed_all=torch.manual_seed,
    )
    return module


_NO_MEANING = ("set_device", "synchronize", "set_allocator_settings", "empty_cache", "profiler_start", "profiler_stop")
_ANSWERS: dict[str, Any] = {
    "is_available": True,
    "is_platform_available": False,  # never auto-detected ahead of an accelerator; choose_cpu_platform() decides
    "current_device": torch.device("cpu"),  # verl passes it to Tensor.to; an index would mean an accelerator
    "device_count": 1,
    "get_device_capability": (None, None),
    "communication_backend_name": "gloo",
    "visible_devices_envvar": "CUDA_VISIBLE_DEVICES",
    "nvtx_range": contextlib.nullcontext(),
    "ray_resource_name": "GPU",
    "ray_noset_envvars": ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"],
    "is_ipc_supported": False,
    "cudart": None,
    **dict.fromkeys(_NO_MEANING),
}
"""What verl's device interface answers on a CPU."""


def register_cpu_platform(platform_package: Any) -> None:
    """Add ``"cpu"`` to verl's platform registry.

    Args:
        platform_package: the module ``verl.plugin.platform``.
    """
    members = {
        **{name: _always(answer) for name, answer in _ANSWERS.items()},
        **dict.fromkeys(("device_name", "vendor_name"), "cpu"),
        **dict.fromkeys(("manual_seed", "manual_seed_all"), staticmethod(torch.manual_seed)),
        "device_module": _device_module(),
    }
    platform = type("PlatformCPU", (platform_package.PlatformBase,), members)
    platform_package.PlatformRegistry.register("cpu")(platform)
