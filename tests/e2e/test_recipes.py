"""Recipes run for real: the full-scale script, word for word, with overrides that fit a laptop."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import runs
from hicra_verl.recipes import all_recipes

pytestmark = [pytest.mark.e2e, pytest.mark.recipes, pytest.mark.timeout(900)]
HERE = Path(__file__).parent
COIN = f"reward.custom_reward_function.path={HERE / 'rewards.py'}"  # mixed groups, so that filtering has work

# A row for each architecture and each method's own settings; HICRA_ALL_RECIPES=1 runs every training row.
CHOSEN = ["qwen25_7b_hicra", "qwen3_4b_nothink_hicra", "llama31_8b_instruct_hicra", "qwen25_7b_high_entropy"]
ALL = [entry.row for entry in all_recipes() if entry.trains and "_vl_" not in entry.row]
ROWS = ALL if os.environ.get("HICRA_ALL_RECIPES") else CHOSEN


def architecture(row: str) -> str:
    return {"qwen25": "qwen2", "qwen3": "qwen3"}.get(row.split("_")[0], "llama")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {}


def world_of(row: str, worlds: dict[str, Path], factory: pytest.TempPathFactory) -> Path:
    kind = architecture(row)
    if kind not in worlds:
        worlds[kind] = runs.make_model(factory.mktemp(kind), kind)
    return worlds[kind]


@pytest.mark.parametrize("row", ROWS)
def test_two_steps(row: str, worlds: dict[str, Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    world = world_of(row, worlds, tmp_path_factory)
    code, log, rows = runs.recipe(row, world, tmp_path, COIN, *runs.NO_FILES, prompt=160)
    assert code == 0, log[-3000:]
    steps = [step["data"] for step in rows if "actor/pg_loss" in step["data"]]
    assert len(steps) == 2
    assert ("hicra/planning_fraction" in steps[0]) == (not row.endswith(("grpo", "entropy_reg")))
    if row.endswith("high_entropy"):
        # 30% of the tokens, less those whose advantage is zero.
        assert max(step["hicra/tokens_changed"] for step in steps) > 0
    if row.startswith("qwen3_4b_nothink"):
        assert "'enable_thinking': False" in log
