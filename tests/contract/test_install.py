"""The README's line for GPUs gives the versions that verl pins."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

from hicra_verl.preflight.judge import FLASH_ATTENTION_EXTRA, INSTALL, INSTALL_FLASH_ATTENTION
from hicra_verl.verl_formats import versions

PAGES = (ROOT / "README.md", ROOT / "recipes" / "README.md")
PINS = {"torch": "2.11.0", "vllm": "0.24.0", "transformers": "5.9.0", "flash-attn": "2.8.3", "verl": "0.9.1"}


def gpu_lines(page: Path) -> list[str]:
    """The `pip install` lines of the page's block for full-scale runs, without their comments."""
    block = next(part for part in page.read_text(encoding="utf-8").split("```") if "hicra-verl[gpu]" in part)
    lines = [line.split(" #")[0].strip() for line in block.splitlines()]
    return [line for line in lines if line.startswith("pip install")]


def required_by(extra: str) -> dict[str, str]:
    """What the installed verl asks for in one of its extras, with the extras that it names in turn."""
    found: dict[str, str] = {}
    for line in metadata.requires("verl") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and requirement.marker.evaluate({"extra": extra}):
            for inner in requirement.extras:
                found |= required_by(inner)
            found[requirement.name] = str(requirement.specifier)
    return found


def test_the_pages_say_the_same_lines_as_the_check() -> None:
    for page in PAGES:
        assert gpu_lines(page) == [INSTALL, INSTALL_FLASH_ATTENTION]


def test_the_extra_is_held_to_verls_own_pins() -> None:
    """The extra names verl's extras, so that the pins are verl's; they are the versions that the pages name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (verl,) = [
        requirement
        for requirement in map(Requirement, project["optional-dependencies"]["gpu"])
        if requirement.name == "verl"
    ]
    assert str(verl.specifier) == f"=={versions.TESTED[-1]}" == f"=={metadata.version('verl')}"
    pinned: dict[str, str] = {}
    for extra in (*verl.extras, FLASH_ATTENTION_EXTRA):
        pinned |= required_by(extra)
    for name in ("torch", "vllm", "transformers", "flash-attn"):
        assert pinned[name] == f"=={PINS[name]}"
    # Nothing of our own bounds what verl pins.
    ours = [
        Requirement(line)
        for extra in ("recipes", "verl", "analysis")
        for line in project["optional-dependencies"][extra]
    ]
    assert not {requirement.name for requirement in ours if requirement.specifier} & {"torch", "vllm", "transformers"}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert re.search(r"torch 2\.11\.0, vLLM 0\.24\.0, transformers 5\.9\.0", text)


def _dry_run(line: str, report: Path, *options: str) -> dict[str, str]:
    """What pip would install for a line of the page; skips where no package index answers."""
    words = [word.replace("hicra-verl[", f"{ROOT}[") for word in shlex.split(line)[2:]]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--report", str(report), *options, *words]
    # flash-attn's own switch: its metadata can be had without a CUDA compiler.
    environment = {**os.environ, "FLASH_ATTENTION_SKIP_CUDA_BUILD": "TRUE"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode and re.search(r"from versions: none|No matching distribution|Connection", done.stderr):
        pytest.skip(f"no package index answers: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr[-2000:]
    installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {entry["metadata"]["name"].lower().replace("_", "-"): entry["metadata"]["version"] for entry in installed}


@pytest.mark.network
@pytest.mark.timeout(1200)
def test_a_dry_run_resolves_to_verls_pins(tmp_path: Path) -> None:
    """For the Python that runs this; what is installed here does not count."""
    first, second = gpu_lines(PAGES[0])
    found = _dry_run(first, tmp_path / "first.json", "--ignore-installed")
    for name in ("torch", "vllm", "transformers", "verl"):
        assert found[name] == PINS[name]
    assert any(name.startswith("nvidia-") and name.endswith("-cu13") for name in found)  # the CUDA that verl builds for
    # The second line comes after the first, with torch there; it adds flash-attn and moves none of the others.
    then = _dry_run(second, tmp_path / "second.json")
    assert then["flash-attn"] == PINS["flash-attn"]
    assert not set(then) & {"torch", "vllm", "transformers", "verl"}
