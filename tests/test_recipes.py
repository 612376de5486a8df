"""Every row of the paper's tables: a recipe, data, a benchmark, and a command that verl itself accepts."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.data.sources import SOURCES
from hicra_verl.data.templates import TEMPLATES
from hicra_verl.evaluation.benchmarks import TITLES
from hicra_verl.evaluation.table import paper_numbers
from hicra_verl.recipes import Recipe, RecipeError, all_recipes, command, recipe

RECIPES = ROOT / "recipes"
ALL = all_recipes()
TRAINING = [entry for entry in ALL if entry.trains]
BY_ROW: dict[str, Any] = {"ids": lambda entry: entry.row}


def words_of(entry: Recipe, monkeypatch: pytest.MonkeyPatch, *overrides: str, **knobs: str) -> list[str]:
    for name in ("STAGES", "BACKEND", "DATA_DIR", "MODEL_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in knobs.items():
        monkeypatch.setenv(name, value)
    return shlex.split(command(entry, list(overrides)))


def composed(words: list[str]) -> Any:
    """verl's configuration from a recipe's words, accepted by verl's own validation and by HICRA's."""
    from hydra import compose, initialize_config_module
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    overrides = words[words.index("verl.trainer.main_ppo") + 1 :]
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=overrides)
    validate_config(config, need_reference_policy(config), need_critic(config))
    return config


def test_every_row_has_a_recipe_and_every_script_a_row() -> None:
    rows = {row["row"] for table in paper_numbers()["tables"] for row in table["rows"]}
    scripts = {path.stem for path in RECIPES.glob("*.sh")} - {"evaluate"}
    assert rows <= scripts
    assert scripts == {entry.row for entry in ALL}
    assert {benchmark for table in paper_numbers()["tables"] for benchmark in table["benchmarks"]} == set(TITLES)


@pytest.mark.parametrize("entry", ALL, **BY_ROW)
def test_the_head_of_the_script(entry: Recipe) -> None:
    text = entry.script.read_text(encoding="utf-8")
    assert "Status: not yet run at full scale by us." in text
    for benchmark, value in entry.numbers:  # the paper's numbers, to the digit
        assert f"{TITLES[benchmark]} {value}" in text
    assert len(text.splitlines()) < 15


@pytest.mark.parametrize("entry", TRAINING, **BY_ROW)
@pytest.mark.parametrize("backend", ["fsdp", "megatron"])
def test_verl_accepts_the_command(entry: Recipe, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(words_of(entry, monkeypatch, STAGES="none", BACKEND=backend))
    hicra = entry.row.endswith(("hicra", "high_entropy", "placebo"))
    assert config.algorithm.adv_estimator == ("hicra" if hicra else "grpo")
    actor = config.actor_rollout_ref.actor
    assert (actor.clip_ratio_low, actor.clip_ratio_high, actor.use_kl_loss) == (0.2, 0.28, False)
    assert actor.strategy.startswith(backend)
    assert config.actor_rollout_ref.rollout.val_kwargs.temperature == 0.6
    assert bool(config.algorithm.filter_groups.enable) == entry.row.startswith("llama31_8b_instruct")
    assert (actor.entropy_coeff > 0) == (entry.method == "Entropy Reg.")
    if hicra:
        assert config.algorithm.hicra.alpha == 0.2
        assert config.algorithm.hicra.tokens == ("high_entropy" if "high_entropy" in entry.row else "planning")
        assert ("placebo" in config.algorithm.hicra.grams) == ("placebo" in entry.row)
    thinking = config.data.apply_chat_template_kwargs.get("enable_thinking")
    assert thinking == (False if "nothink" in entry.row else None)
    files = re.findall(r"([\w]+)/([\w]+)\.parquet", f"{config.data.train_files} {config.data.val_files}")
    assert len(files) >= 2
    for template, name in files:
        assert template in TEMPLATES
        assert name in SOURCES
    assert config.data.max_prompt_length + config.data.max_response_length == 16384


@pytest.mark.parametrize("entry", TRAINING, **BY_ROW)
def test_the_stages(entry: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage's settings compose too, and the whole context is the paper's 16K, then 32K."""
    from hicra_verl.training.stages import load_plan
    from hicra_verl.training.supervisor import Supervisor

    words = words_of(entry, monkeypatch)
    plan_path = Path(words[words.index("stages") + 1])
    Supervisor(plan_path, words[words.index("--") + 1 :])  # refuses a command that sets what a stage sets
    lengths = []
    for stage in load_plan(plan_path).stages:
        config = composed([*words, *(f"{name}={value}" for name, value in stage.settings.items())])
        lengths.append(config.data.max_prompt_length + config.data.max_response_length)
        assert config.actor_rollout_ref.actor.ppo_max_token_len_per_gpu >= lengths[-1]
    assert lengths == [16384, 32768]


@pytest.mark.parametrize("entry", [entry for entry in ALL if not entry.trains], **BY_ROW)
def test_the_evaluations_parse(entry: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`hicra eval` takes the words: with no data prepared, that is all it has to say."""
    words = words_of(entry, monkeypatch, DATA_DIR=str(tmp_path), EVAL_DIR=str(tmp_path / "out"))
    assert words[1:4] == ["-m", "hicra_verl.cli", "eval"]
    done = CliRunner().invoke(app, words[3:])
    assert done.exit_code == 2
    assert "`hicra data" in done.output
    benchmarks = {benchmark for benchmark, _ in entry.numbers}
    assert benchmarks <= set(words)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("actor_rollout_ref.actor.clip_ratio_hihg=0.3", "clip_ratio_hihg"),
        ("algorithm.hicra.alfa=0.3", "alfa"),
        ("algorithm.hicra.alpha=2", "0 <= alpha < 1"),
        ("actor_rollout_ref.actor.loss_agg_mode=tokenmean", "loss_agg_mode"),
    ],
)
def test_a_wrong_flag_is_caught_without_a_gpu(wrong: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match=re.escape(message)):
        composed(words_of(recipe("qwen25_7b_hicra"), monkeypatch, wrong, STAGES="none"))


def test_the_command_line() -> None:
    listed = CliRunner().invoke(app, ["recipes"], env={"COLUMNS": "200"})
    assert listed.exit_code == 0
    assert all(entry.row in listed.output for entry in ALL)
    shown = CliRunner().invoke(app, ["recipes", "show", "qwen25_7b_hicra", "trainer.nnodes=4"])
    assert shown.exit_code == 0
    assert shown.output.strip().endswith("trainer.nnodes=4")
    wrong = CliRunner().invoke(app, ["recipes", "show", "qwen25_7b_hikra"])
    assert wrong.exit_code == 2
    assert "did you mean 'qwen25_7b_hicra'?" in wrong.output
    with pytest.raises(RecipeError):
        recipe("x")


def test_shellcheck() -> None:
    scripts = [str(path) for path in RECIPES.rglob("*.sh")]
    checker = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([checker, "-x", "-e", "SC1091", *scripts], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_the_page_names_every_row() -> None:
    text = (RECIPES / "README.md").read_text(encoding="utf-8")
    for entry in ALL:
        assert f"`{entry.row}.sh`" in text
        for _, value in entry.numbers:
            assert f"{value:.1f}" in text
