"""`hicra recipes …`: rows, knobs and methods that are none, and what an earlier run or a hand has left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import Case

UNSET = ("STAGES", "MODEL_PATH", "NNODES", "GPUS_PER_NODE", "STEPS", "SEED", "OUTPUT_DIR", "METHOD")
PLAIN: dict[str, str | None] = dict.fromkeys(UNSET)
SHAPE = {"num_hidden_layers": 2, "hidden_size": 8, "vocab_size": 100}
DEEP = "[" * 100_000 + "]" * 100_000


def knobs(name: str, command: str, *says: str, code: int = 2, files: dict[str, Any] | None = None, **env: str) -> Case:
    words = ["recipes", *command.split()]
    return Case(name, words, says, files or {}, code=code, env={**PLAIN, **env})


def model(name: str, config: Any, *says: str) -> Case:
    """A model folder of one's own whose shape the costs are computed from."""
    return knobs(name, "costs", *says, files={"model/config.json": config}, MODEL_PATH="model")


def copied(tmp: Path, edit: Callable[[Path], None]) -> Callable[[], None]:
    """The recipes as another checkout has them, edited."""
    from hicra_verl import recipes

    original = recipes.folder
    shutil.copytree(original(), tmp / "recipes")
    edit(tmp / "recipes")
    recipes.folder = lambda: tmp / "recipes"

    def undo() -> None:
        recipes.folder = original

    return undo


def status(name: str, content: Any, *says: str, code: int = 2) -> Case:
    def prepare(tmp: Path) -> Callable[[], None]:
        def edit(folder: Path) -> None:
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / "status.json").write_text(text, encoding="utf-8")

        return copied(tmp, edit)

    return Case(name, ["recipes"], says, prepare=prepare, code=code, env={**PLAIN, "COLUMNS": "300"})


def without_scripts(tmp: Path) -> Callable[[], None]:
    return copied(tmp, lambda folder: (folder / "qwen25_7b_hicra.sh").unlink())


def nothing_ran(tmp: Path, _: str) -> None:
    assert not (tmp / "pwned").exists()


RUN = {"commit": "abc", "date": "2027-01-31", "log": "https://example.org/1"}
CASES = [
    # rows
    knobs("a misspelt row", "show qwen25_7b_hikra", "did you mean 'qwen25_7b_hicra'"),
    knobs("a row with a path in it", "show ../recipes/qwen25_7b_hicra", "no such recipe"),
    knobs("a row to run that is none", "run qwen", "no such recipe"),
    knobs("a row to check that is none", "check qwen", "no such recipe"),
    knobs("no row", "show", "Missing argument"),
    Case(
        "a row of a megabyte",
        ["recipes", "show", "x" * 1_000_000],
        ("no such recipe",),
    ),
    Case(
        "a row whose script is gone",
        ["recipes", "show", "qwen25_7b_hicra"],
        ("qwen25_7b_hicra.sh",),
        prepare=without_scripts,
    ),
    Case("no shell", ["recipes", "show", "qwen25_7b_hicra"], ("bash",), env={"PATH": "/nowhere"}),
    Case(
        "an override with commands in it",
        ["recipes", "show", "qwen25_7b_hicra", "a=$(touch pwned)`touch pwned`;touch pwned"],
        code=0,
        after=nothing_ran,
        env=PLAIN,
    ),
    # knobs
    knobs("a seed that is a word", "show qwen25_7b_hicra", "qwen25_7b_hicra.sh", SEED="abc"),
    knobs("a backend that is none", "show qwen25_7b_hicra", "backends/x.sh", BACKEND="x"),
    knobs("a folder that is not UTF-8", "show qwen25_7b_hicra", code=0, OUTPUT_DIR="/tmp/\udcff"),
    knobs(
        "a length that is a word", "show qwen25_7b_hicra", "qwen25_7b_hicra.sh", MAX_RESPONSE_LENGTH="x", STAGES="none"
    ),
    knobs("nodes: ²", "costs", "trainer.nnodes", "whole number", NNODES="²"),
    knobs("nodes: 0", "costs", "trainer.nnodes", "at least 1", NNODES="0"),
    knobs("GPUs: 0", "costs", "trainer.n_gpus_per_node", "at least 1", GPUS_PER_NODE="0"),
    knobs("GPUs: -8", "costs", "trainer.n_gpus_per_node", "at least 1", GPUS_PER_NODE="-8"),
    knobs("steps: many", "costs", "trainer.total_training_steps", "'many'", STEPS="many"),
    knobs("steps beyond 64 bits", "costs", "trainer.total_training_steps", STEPS="9" * 40),
    knobs("a length of 08x", "costs", "08x", STAGES="none", MAX_RESPONSE_LENGTH="08x"),
    knobs("a plan that is not there", "costs", "absent.yaml", "cannot be read", STAGES="absent.yaml"),
    knobs(
        "a plan whose length is a word",
        "costs",
        "data.max_response_length",
        files={"plan.yaml": "stages: [{name: a, set: {data.max_response_length: long}}]"},
        STAGES="plan.yaml",
    ),
    knobs(
        "a plan to check that is not there",
        "check qwen25_7b_hicra",
        "absent.yaml",
        "refused",
        code=1,
        STAGES="absent.yaml",
    ),
    knobs("copies to check: ²", "check qwen25_7b_base --replicas ²", "--replicas ²", "whole number"),
    knobs("copies to check: none said", "check qwen25_7b_base --replicas", "--replicas", "without a value"),
    # models
    model("a model's settings cut off", '{"num_hid', "config.json", "not readable JSON"),
    model("a model's settings that are a list", "[1]", "config.json", "a list"),
    model("a model's settings nested deep", DEEP, "nested too deep"),
    model("a model without a shape", "{}", "num_hidden_layers"),
    model("a model of no layers", json.dumps({**SHAPE, "num_hidden_layers": 0}), "num_hidden_layers"),
    model("a model whose width is text", json.dumps({**SHAPE, "hidden_size": "wide"}), "hidden_size"),
    model("a model whose width is null", json.dumps({**SHAPE, "intermediate_size": None}), "intermediate_size"),
    knobs("a table of a model of unknown shape", "costs --markdown", "shape", MODEL_PATH="who/knows"),
    # methods
    knobs("a misspelt method", "method gtop", "did you mean 'gtpo'", "mask_out", "entropy_reg"),
    knobs("an empty method", "method ''", "no such method"),
    Case(
        "a method with a path in it",
        ["recipes", "method", "../../x"],
        ("no such method",),
    ),
    # what has been run
    status("a status cut off", "{", "status.json", "not readable JSON"),
    status("a status that is a list", "[]", "status.json", "a list"),
    status("a status without a commit", {"qwen25_7b_hicra": {**RUN, "commit": ""}}, "qwen25_7b_hicra.commit"),
    status("a status that is text", {"qwen25_7b_hicra": "done"}, "qwen25_7b_hicra.commit", "is missing"),
    status("a run that is recorded", {"qwen25_7b_hicra": RUN}, "2027-01-31, commit abc", code=0),
]
