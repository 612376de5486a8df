"""`hicra recipes check`: every difference between what a row needs and what the nodes have, with its remedy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from typer.testing import CliRunner

import runs
from hicra_verl.cli import app
from hicra_verl.data.prepare import prepare
from hicra_verl.data.problems import Problem
from hicra_verl.data.sources import SOURCES, Layout
from hicra_verl.doctor import Check
from hicra_verl.preflight import cluster, judge, wanted
from hicra_verl.recipes import recipe, words

GB = 10**9


TEXT = ["aime24", "aime25", "math500", "amc23", "minerva", "olympiad"]


def write_data(folder: Path, name: str, cleared_of: list[str] = TEXT) -> None:
    """`hicra data NAME` with 30 problems of our own, compared with these benchmarks."""
    origin = folder / f"{name}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {"problem": f"How many of {number} apples are left?", "question": "", "answer": str(number), "solution": "-"}
        for number in range(30)
    ]
    origin.write_text("\n".join(map(json.dumps, lines)))
    layout = Layout(("problem", "answer"), lambda row: Problem(row["problem"], row["answer"]))
    source = replace(SOURCES[name], layouts=(layout,))
    prepare(name, source, origin, folder, "qwen", {benchmark: [] for benchmark in cleared_of}, any_count=True)


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A world in which qwen25_7b_hicra would run; returns its folder."""
    for name in ("STAGES", "RAY_ADDRESS", "SEED", "TRAIN_FILE", "TEST_FILE", "LOGGER", "NNODES", "MODEL_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("dapo_math_17k", "deepscaler", "aime24"):
        write_data(tmp_path / "data" / "qwen", name)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path / "out" / "run"))
    return tmp_path


def wants_of(name: str, *overrides: str) -> wanted.Wanted:
    wants, checks = wanted.of_training(words(recipe(name), list(overrides)))
    assert wants is not None, checks
    return wants


def good_node(name: str, wants: wanted.Wanted) -> dict[str, Any]:
    """The facts of a node that has everything, such as ``node.facts`` finds on a machine of 8 x A100-80G."""
    asked = judge.request(wants, None)
    versions = {"verl": "0.9.1", "hicra-verl": "1.0", "torch": "2.11.0+cu130", "vllm": "0.24.0", "flash-attn": "2.8.3"}
    versions |= {"transformers": "5.9.0", "torchvision": "0.26.0", "torchaudio": "2.11.0", "numpy": "2.3.5"}
    versions |= {"pyarrow": "26.0.1", "ray": "2.60.0", "tensordict": "0.10.0", "packaging": "25.0"}
    return {
        "node": name,
        "packages": {package: versions.get(package, "1.0") for package in asked["packages"]},
        "files": dict.fromkeys(asked["files"], 1000),
        "unwritable": {},
        "free_bytes": dict.fromkeys(asked["folders"], 5000 * GB),
        "sees_marker": True,
        "plugin": "",
        "grams": {"sha256": "905dbd64ee58", "error": ""},
        "flash_attention": "",
        "wandb": "key",
        "gpu_bytes": [80 * GB] * 8,
    }


def failures(wants: wanted.Wanted, nodes: list[dict[str, Any]]) -> list[Check]:
    return [check for check in judge.compare(wants, nodes) if not check.ok]


def test_two_good_nodes(row: Path) -> None:
    wants = wants_of("qwen25_7b_hicra")
    checks = judge.compare(wants, [good_node("one", wants), good_node("two", wants)])
    assert [check for check in checks if not check.ok] == []
    said = "\n".join(f"{check.group} {check.name}: {check.found}" for check in checks)
    for part in ("torch 2.11.0+cu130", "vllm 0.24.0", "flash-attn 2.8.3", "transformers 5.9.0", "30 problems"):
        assert part in said
    assert "writable from 2 nodes" in said
    assert "GPU-hours" in said


def _set(*keys: Any) -> Callable[[dict[str, Any]], None]:
    def change(node: dict[str, Any]) -> None:
        *path, last, value = keys
        for key in path:
            node = node[key]
        node[last] = value

    return change


def _everything(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(node: dict[str, Any]) -> None:
        node[key] = dict.fromkeys(node[key], value)

    return change


@pytest.mark.parametrize(
    ("change", "group", "found", "remedy"),
    [
        # What `pip install … vllm` gives where nothing holds it to verl's pins.
        (
            _set("packages", "vllm", "0.31.0"),
            "versions",
            "0.31.0 on two; verl 0.9.1 asks for ==0.24.0",
            "hicra-verl[gpu]",
        ),
        (_set("packages", "flash-attn", None), "versions", "not installed on two", "--no-build-isolation"),
        (
            _set("flash_attention", "undefined symbol: _ZN3c10"),
            "versions",
            "undefined symbol",
            "flash-attn-cu130torch211",
        ),
        (_set("packages", "hicra-verl", "0.9"), "versions", "0.9, 1.0", "hicra-verl[gpu]"),
        (
            _set("plugin", "verl loads, but did not load hicra-verl's entry point"),
            "plugin",
            "two: verl loads",
            "every node",
        ),
        (
            _set("grams", {"sha256": "0123456789ab", "error": ""}),
            "grams",
            "differs from node to node",
            "one hicra-verl",
        ),
        (_everything("files", None), "data", "is not there on two", "hicra data dapo_math_17k --template qwen -o"),
        (_everything("files", 999), "data", "differs from node to node", "shared disk"),
        (_set("sees_marker", False), "paths", "another disk on two", "each node writes its part"),
        (_everything("free_bytes", 20 * GB), "disk", "20 GB free, about 400 GB wanted", "max_actor_ckpt_to_keep"),
        (_set("wandb", ""), "logger", "no key on two", "WANDB_API_KEY"),
        (_set("gpu_bytes", [80 * GB] * 4), "GPUs", "8 or more on 1 of 2 nodes; 2 x 8 wanted", "NNODES"),
        (_set("gpu_bytes", [40 * GB] * 8), "estimate", "of 40 (the smallest GPU)", "ppo_max_token_len_per_gpu"),
    ],
)
def test_one_node_differs(
    change: Callable[[dict[str, Any]], None], group: str, found: str, remedy: str, row: Path
) -> None:
    wants = wants_of("qwen25_7b_hicra")
    other = good_node("two", wants)
    change(other)
    failed = failures(wants, [good_node("one", wants), other])
    assert failed
    assert {check.group for check in failed} <= {group, "paths"}
    assert any(found in check.found and remedy in check.remedy for check in failed), failed
    assert all(check.remedy for check in failed)


def test_a_folder_that_cannot_be_written(row: Path) -> None:
    wants = wants_of("qwen25_7b_hicra")
    other = good_node("two", wants)
    other["unwritable"] = {wants.folders[0][1]: "[Errno 30] Read-only file system"}
    (failed,) = failures(wants, [good_node("one", wants), other])
    assert "two: [Errno 30]" in failed.found
    assert "OUTPUT_DIR" in failed.remedy


def test_a_node_that_cannot_answer(row: Path) -> None:
    wants = wants_of("qwen25_7b_hicra")
    silent = {"node": "two", "error": "ModuleNotFoundError: No module named 'hicra_verl'"}
    failed = failures(wants, [good_node("one", wants), silent])
    assert [check.group for check in failed] == ["nodes", "GPUs"]
    assert "on this node" in failed[0].remedy


def test_data_that_is_not_what_it_was(row: Path) -> None:
    wants = wants_of("qwen25_7b_hicra")
    folder = row / "data" / "qwen"
    nodes = [good_node("one", wants), good_node("two", wants)]
    for name, changed in (("aime24", {"problems": 29}), ("dapo_math_17k", {"output_sha256": "of another file"})):
        account = json.loads((folder / f"{name}.json").read_text())
        (folder / f"{name}.json").write_text(json.dumps({**account, **changed}))
    (folder / "deepscaler.parquet").write_bytes(b"PAR1 cut short")
    said = {check.name: check.found for check in failures(wants, nodes)}
    assert "30 problems, but its account says 29" in said["aime24"]
    assert "not the file its account was written for" in said["dapo_math_17k"]
    assert "cannot be read" in said["deepscaler"]
    write_data(folder, "deepscaler", ["aime24"])  # as where benchmarks are prepared last
    (failed,) = [check for check in failures(wants, nodes) if check.name == "deepscaler"]
    assert failed.found == "not cleared of aime25, math500, amc23, minerva, olympiad, which are evaluated"
    assert "hicra data aime25 math500 amc23 minerva olympiad" in failed.remedy
    (folder / "aime24.json").unlink()  # data of one's own has no account, and may be used
    assert "aime24" not in {check.name for check in failures(wants, nodes)}


def test_words_that_override_the_script(row: Path) -> None:
    grams = row / "grams.json"  # there, but on this node's own disk
    grams.write_bytes((ROOT / "hicra_verl" / "grams" / "paper.json").read_bytes())
    wants = wants_of(
        "qwen25_7b_hicra",
        "actor_rollout_ref.rollout.engine_kwargs.vllm.generation_config=relative",
        "trainer.logger=[console,tensorbord]",
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        f"algorithm.hicra.grams={grams}",
    )
    nodes = [good_node("one", wants), good_node("two", wants)]
    nodes[1]["files"][str(grams)] = None
    ends = "actor_rollout_ref.rollout.engine_kwargs.vllm.generation_config"
    assert not wants.flash_attention
    assert "flash-attn" not in judge.request(wants, None)["packages"]
    said = {check.name: check.found for check in failures(wants, nodes)}
    assert said[ends] == "relative/generation_config.json is relative"
    assert said["tensorbord"] == "verl knows no such logger"
    assert "hicra dynamics" in said["file"]
    assert "is not there on two" in said["algorithm.hicra.grams"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.max_response_length=1024"], "STAGES=none"),  # the plan sets it
        (["actor_rollout_ref.actor.clip_ratio_hihg=0.3"], "clip_ratio_hihg"),
        (["algorithm.hicra.grams=papre"], "papre"),
        (["actor_rollout_ref.actor.loss_agg_mode=tokenmean"], "loss_agg_mode"),  # verl's own validation
    ],
)
def test_settings_that_verl_refuses(overrides: list[str], message: str, row: Path) -> None:
    wants, checks = wanted.of_training(words(recipe("qwen25_7b_hicra"), overrides))
    assert wants is None
    assert message in checks[-1].remedy
    assert not checks[-1].ok


def test_pins_are_those_of_the_installed_verl() -> None:
    asked = {name: str(specifier) for name, specifier in judge.pins(("vllm", judge.FLASH_ATTENTION_EXTRA)).items()}
    assert (asked["torch"], asked["vllm"], asked["flash-attn"]) == ("==2.11.0", "==0.24.0", "==2.8.3")
    assert "==5.9.0" in asked["transformers"]
    assert "torch" not in judge.pins(())


def test_a_cluster_that_is_not_there(row: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RAY_gcs_rpc_server_connect_timeout_s", "1")

    def refuse(**_: Any) -> None:  # ray 2.60 says so after half a minute
        raise ConnectionError("Ray is trying to start at 127.0.0.1:1, but no GCS is there\nmore")

    monkeypatch.setattr("ray.init", refuse)
    done = CliRunner().invoke(app, ["recipes", "check", "qwen25_7b_hicra", "--json"])
    assert done.exit_code == 1
    failed = [check for check in json.loads(done.output)["checks"] if not check["ok"]]
    assert [check["name"] for check in failed] == ["127.0.0.1:1"]
    assert "ray start" in failed[0]["remedy"]


def test_a_base_row_needs_its_benchmarks(row: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts: dict[str, Any] = {}

    def ask(request: dict[str, Any]) -> Any:
        facts.update(request)
        wants, _ = wanted.of_evaluation(words(recipe("qwen25_7b_base"), []))
        return [good_node("one", wants)], None

    monkeypatch.setattr(cluster, "ask_every_node", ask)
    done = CliRunner().invoke(app, ["recipes", "check", "qwen25_7b_base"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    names = [Path(path).stem for path in facts["files"]]
    assert names == ["aime24", "aime25", "math500", "amc23", "minerva", "olympiad"]
    assert "qwen25_7b_base: ready." in done.output


def test_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For real, on a CPU: a tiny model and all that its two steps need; then with its data taken away."""
    world = runs.make_model(tmp_path / "world")
    knobs = {
        "MODEL_PATH": str(world / "model"), "TRAIN_FILE": str(world / "train.parquet"), "SEED": "",
        "TEST_FILE": str(world / "test.parquet"), "OUTPUT_DIR": str(tmp_path / "out"), "NNODES": "1",
        "GPUS_PER_NODE": "1", "STAGES": "none", "WANDB_MODE": "offline", "RAY_ADDRESS": "", "COLUMNS": "200",
    }  # fmt: skip
    asked = ["recipes", "check", "qwen25_7b_hicra", *runs.SMALL]
    before = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(app, asked, env=knobs)
    assert done.exit_code == 0, done.output
    for part in ("qwen25_7b_hicra: ready.", "64 problems", "905dbd64ee58", "offline", "cpu: none needed"):
        assert part in done.output
    assert sorted(tmp_path.rglob("*")) == before  # nothing is left behind
    os.remove(world / "train.parquet")
    done = CliRunner().invoke(app, [*asked, "--json"], env=knobs)
    assert done.exit_code == 1
    (failed,) = [check for check in json.loads(done.output)["checks"] if not check["ok"]]
    assert "train.parquet is not there" in failed["found"]


def test_an_unknown_row() -> None:
    done = CliRunner().invoke(app, ["recipes", "check", "qwen25_7b_hikra"])
    assert done.exit_code == 2
    assert "did you mean 'qwen25_7b_hicra'?" in done.output
