"""Compares what a command needs with what the nodes have; each difference is a check with its remedy."""

from __future__ import annotations

import importlib.metadata as metadata
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hicra_verl.doctor import Check
from hicra_verl.evaluation.table import paper_numbers
from hicra_verl.preflight.wanted import Wanted
from hicra_verl.recipe_costs import GPU_GB, rounded
from hicra_verl.records import InputError, read_json, short
from hicra_verl.training.environment import version_of
from hicra_verl.verl_formats import versions

INSTALL = 'pip install "hicra-verl[gpu]"'
VERL = versions.supported(version_of("verl"))
FLASH_ATTENTION_EXTRA = versions.FLASH_ATTENTION_EXTRA[VERL]
INSTALL_FLASH_ATTENTION = f'pip install --no-build-isolation "verl[{FLASH_ATTENTION_EXTRA}]=={VERL}"'
Facts = list[dict[str, Any]]


def pins(extras: tuple[str, ...]) -> dict[str, SpecifierSet]:
    """What the installed verl asks of other packages: always, and exactly (``==``) in the extras named."""
    found: dict[str, SpecifierSet] = {}
    for line in metadata.requires("verl") or []:
        requirement = Requirement(line)
        base = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        in_extras = any(requirement.marker and requirement.marker.evaluate({"extra": extra}) for extra in extras)
        exact = any(clause.operator == "==" for clause in requirement.specifier)
        if requirement.name != "verl" and (base or (in_extras and exact)):
            found[requirement.name] = found.get(requirement.name, SpecifierSet()) & requirement.specifier
    return found


def _extras(wants: Wanted) -> tuple[str, ...]:
    if wants.device == "cpu":
        return ()  # verl pins the CUDA stack; requirements-cpu.txt pins that of a CPU
    return (wants.engine, *([FLASH_ATTENTION_EXTRA] if wants.flash_attention else []))


def request(wants: Wanted, marker: str | None) -> dict[str, Any]:
    """What every node is asked, see ``node.facts``."""
    return {
        "packages": ["verl", "hicra-verl", *pins(_extras(wants))],
        "files": [path for _, path in (*wants.files, *wants.others)],
        "folders": [path for _, path in wants.folders],
        "grams": wants.grams,
        "marker": marker,
        "flash_attention": wants.flash_attention and wants.device != "cpu",
        "wandb_mode": os.environ.get("WANDB_MODE", ""),
    }


def compare(wants: Wanted, nodes: Facts) -> list[Check]:
    """The checks, in the order of the report."""
    remedy = f"{INSTALL} on this node, the same version as here"
    checks = [Check("nodes", node["node"], node["error"], False, remedy) for node in nodes if "error" in node]
    if answered := [node for node in nodes if "error" not in node]:
        for part in (_data, _paths, _software, _disk, _loggers, _gpus, _estimate):
            checks += part(wants, answered)
    return checks


def _on(nodes: Facts) -> str:
    """The names of some nodes, as " on NAME, NAME"; empty if there are none."""
    return f" on {', '.join(node['node'] for node in nodes)}" if nodes else ""


def _reasons(nodes: Facts, field: str) -> str:
    """What some nodes give as a reason, as "NAME: REASON; …"."""
    return "; ".join(f"{node['node']}: {node[field]}" for node in nodes if node[field])


def _benchmarks_beside(wants: Wanted) -> list[str]:
    """The benchmarks of the paper's table that holds the validation: what training data must have been cleared of."""
    validation = {Path(path).stem for setting, path in wants.files if setting == "data.val_files"}
    tables = [table["benchmarks"] for table in paper_numbers()["tables"]]
    return [name for benchmarks in tables if validation & set(benchmarks) for name in benchmarks]


def _data(wants: Wanted, nodes: Facts) -> Iterator[Check]:
    beside = _benchmarks_beside(wants)
    for setting, path in wants.files:
        name = Path(path).stem
        folder = Path(path).parent
        prepare = f"`hicra data {name} --template {folder.name} -o {folder.parent}`"
        missing = _on([node for node in nodes if node["files"][path] is None])
        if missing:
            yield Check("data", name, f"{path} is not there{missing}", False, f"{prepare}, on a shared disk")
        elif len({node["files"][path] for node in nodes}) > 1:
            yield Check("data", name, f"{path} differs from node to node", False, "put it on a shared disk")
        elif os.path.exists(path):
            training = setting == "data.train_files"
            found, remedy = _count(setting, Path(path), prepare, beside if training else [])
            yield Check("data", name, found, not remedy, remedy)


def _count(setting: str, path: Path, prepare: str, beside: list[str]) -> tuple[str, str]:
    """A file against the account that `hicra data` wrote beside it, its rows and the benchmarks it was cleared of: what
    was found, and what to do if that is wrong."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hicra_verl.files import sha256_of

    try:
        rows = pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException) as error:
        return f"{path}: cannot be read ({error})", prepare
    account = path.with_suffix(".json")
    if not account.exists():
        return f"{rows:,} problems ({setting}; no account beside it, so not by `hicra data`)", ""
    try:
        said = read_json(account, prepare)
    except InputError as error:
        return str(error), prepare
    if said.get("problems") != rows:
        return f"{path}: {rows:,} problems, but its account says {short(said.get('problems'))}", prepare
    if said.get("output_sha256") != sha256_of(path):
        return f"{path}: not the file its account was written for", prepare
    left = [benchmark for benchmark in beside if benchmark not in (said.get("cleared_of") or [])]
    if left:
        remedy = f"`hicra data {' '.join(left)}` to the same folder first, then {prepare}"
        return f"not cleared of {', '.join(left)}, which are evaluated", remedy
    return f"{rows:,} problems ({setting})", ""


def _paths(wants: Wanted, nodes: Facts) -> list[Check]:
    checks = []
    for setting, path in (*wants.files, *wants.folders, *wants.others):
        if not os.path.isabs(path) and "://" not in path:
            remedy = "give it from the root: a node reads it from the folder where its `ray start` was given"
            checks.append(Check("paths", setting, f"{path} is relative", False, remedy))
    for setting, path in wants.others:
        missing = _on([node for node in nodes if node["files"][path] is None])
        if missing:
            checks.append(Check("paths", setting, f"{path} is not there{missing}", False, "put it on a shared disk"))
    for setting, path in wants.folders:
        reasons = {node["node"]: node["unwritable"][path] for node in nodes if path in node["unwritable"]}
        if reasons:
            said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            remedy = "set OUTPUT_DIR to a folder that is"
            checks.append(Check("paths", setting, f"not writable ({said})", False, remedy))
    apart = _on([node for node in nodes if not node["sees_marker"]])
    if apart:
        remedy = "set OUTPUT_DIR to a shared disk: each node writes its part of a checkpoint, and reads all parts"
        checks.append(Check("paths", wants.folders[0][0], f"another disk{apart}", False, remedy))
    if not checks:
        seen = f"{len(nodes)} node" + ("s" if len(nodes) > 1 else "")
        checks.append(Check("paths", wants.folders[0][0], f"{wants.folders[0][1]}, writable from {seen}"))
    return [*checks, _model(wants.model)]


def _model(model: str) -> Check:
    if os.path.isdir(model):
        there = (Path(model) / "config.json").exists()
        remedy = "" if there else "give a folder in Hugging Face's format, or a name on the hub"
        return Check("paths", "model", model if there else f"{model}: no config.json in it", there, remedy)
    from huggingface_hub import constants, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model, "config.json"), str):
        return Check("paths", "model", f"{model}, in the hub's cache of this machine")
    if constants.HF_HUB_OFFLINE:
        return Check("paths", "model", f"{model} is in no cache", False, "download it, or unset HF_HUB_OFFLINE")
    return Check("paths", "model", f"{model}, to be fetched from the hub by every node")


def _software(wants: Wanted, nodes: Facts) -> list[Check]:
    checks = []
    wanted = {"verl": SpecifierSet(f"=={VERL}"), **pins(_extras(wants))}
    for name, specifier in wanted.items():
        remedy = INSTALL_FLASH_ATTENTION if name == "flash-attn" else INSTALL
        for found in sorted({node["packages"][name] or "" for node in nodes}):
            if not found or not specifier.contains(found, prereleases=True):
                where = _on([node for node in nodes if (node["packages"][name] or "") == found])
                said = f"{found or 'not installed'}{where}; verl {VERL} asks for {specifier or 'it'}"
                checks.append(Check("versions", name, said, False, remedy))
    versions = {node["packages"]["hicra-verl"] for node in nodes}
    if len(versions) > 1:
        said = ", ".join(sorted(str(version) for version in versions))
        checks.append(Check("versions", "hicra-verl", f"differs from node to node: {said}", False, INSTALL))
    if not checks:
        exact = [f"{name} {nodes[0]['packages'][name]}" for name, pin in wanted.items() if "==" in str(pin)]
        checks.append(Check("versions", "verl's pins", f"{len(wanted)} met: {', '.join(exact)}"))
    said = _reasons(nodes, "plugin")
    remedy = "install hicra-verl in the environment of every node (`hicra doctor` there says more)"
    checks.append(Check("plugin", "registered", said or f"on {len(nodes)} of {len(nodes)}", not said, said and remedy))
    checks.append(_grams(wants, nodes))
    if wants.flash_attention and wants.device != "cpu":
        said = _reasons(nodes, "flash_attention")
        found = said or "imports, as verl's default attention needs it"
        checks.append(Check("versions", "flash_attn", found, not said, said and INSTALL_FLASH_ATTENTION))
    return checks


def _grams(wants: Wanted, nodes: Facts) -> Check:
    errors = [node["grams"]["error"] for node in nodes if node["grams"]["error"]]
    if errors:
        return Check("grams", wants.grams, errors[0], False, "give a set that `hicra grams list` shows, or a file")
    hashes = sorted({node["grams"]["sha256"][:12] for node in nodes})
    if len(hashes) > 1:
        remedy = "install one hicra-verl everywhere, or put the file on a shared disk"
        return Check("grams", wants.grams, f"differs from node to node: {', '.join(hashes)}", False, remedy)
    return Check("grams", wants.grams, f"sha256 {hashes[0]} on {len(nodes)} of {len(nodes)}")


def _disk(wants: Wanted, nodes: Facts) -> Iterator[Check]:
    setting, path = wants.folders[0]
    free_gb = min(node["free_bytes"][path] for node in nodes) / 1e9
    if wants.cost is None:
        yield Check("disk", setting, f"{rounded(free_gb)} GB free; the model's size is not known")
        return
    enough = free_gb > wants.cost.disk_gb
    remedy = "" if enough else "free some, set OUTPUT_DIR elsewhere, or lower trainer.max_actor_ckpt_to_keep"
    found = f"{rounded(free_gb)} GB free, about {rounded(wants.cost.disk_gb)} GB wanted (estimate)"
    yield Check("disk", setting, found, enough, remedy)


def _loggers(wants: Wanted, nodes: Facts) -> Iterator[Check]:
    from verl.utils.tracking import Tracking

    for name in wants.loggers:
        if name not in Tracking.supported_backend:
            known = ", ".join(Tracking.supported_backend)
            yield Check("logger", name, "verl knows no such logger", False, f"LOGGER takes a list of {known}")
        elif name == "wandb":
            asks = _on([node for node in nodes if not node["wandb"]])
            remedy = (
                "`wandb login` or WANDB_API_KEY before `ray start`, on every node; or WANDB_MODE=offline; or "
                """LOGGER='["console","file"]'"""
            )
            how = ", ".join(sorted({node["wandb"] for node in nodes}))
            yield Check("logger", name, f"no key{asks}" if asks else how, not asks, asks and remedy)
    if wants.loggers and "file" not in wants.loggers:
        remedy = """LOGGER='["console","wandb","file"]'"""
        yield Check("logger", "file", "left out: `hicra dynamics` will find no metrics", False, remedy)


def _gpus(wants: Wanted, nodes: Facts) -> Iterator[Check]:
    if wants.device == "cpu":
        yield Check("GPUs", "device", "cpu: none needed")
        return
    fit = [node["node"] for node in nodes if len(node["gpu_bytes"]) >= wants.gpus_each]
    found = f"{wants.gpus_each} or more on {len(fit)} of {len(nodes)} nodes; {wants.nodes} x {wants.gpus_each} wanted"
    remedy = "set NNODES and GPUS_PER_NODE to what there is, or start Ray on more nodes and set RAY_ADDRESS"
    enough = len(fit) >= wants.nodes
    yield Check("GPUs", "nodes x GPUs", found, enough, "" if enough else remedy)


def _estimate(wants: Wanted, nodes: Facts) -> Iterator[Check]:
    cost = wants.cost
    if cost is None:
        yield Check("estimate", "cost", f"none: the shape of {wants.model} is not known")
        return
    hours = f"about {rounded(cost.total_hours)} h, {rounded(cost.gpu_hours)} GPU-hours"
    parts = ", ".join(f"{name} {rounded(value)}" for name, value in cost.hours.items())
    yield Check("estimate", "time", f"{hours} on A100-80G ({parts}); never measured")
    if cost.memory_gb:
        sizes = [size / 1e9 for node in nodes for size in node["gpu_bytes"]]
        limit, whose = (min(sizes), "the smallest GPU") if sizes else (GPU_GB, "an A100-80G")
        fits = cost.memory_gb < limit
        remedy = "" if fits else "more GPUs, or a lower actor_rollout_ref.actor.ppo_max_token_len_per_gpu"
        found = f"about {rounded(cost.memory_gb)} GB a GPU in the update, of {rounded(limit)} ({whose}); never measured"
        yield Check("estimate", "memory", found, fits, remedy)
