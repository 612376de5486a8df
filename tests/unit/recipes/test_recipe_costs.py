"""What a row costs: an estimate, and the page that prints it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.recipe_costs import cost_of, markdown, rounded, shape_of
from hicra_verl.recipes import all_recipes, recipe


@pytest.fixture(autouse=True)
def _no_knobs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STAGES", "STEPS", "NNODES", "GPUS_PER_NODE", "MODEL_PATH", "TRAIN_FILE", "TEST_FILE", "SEED"):
        monkeypatch.delenv(name, raising=False)


def test_a_row_by_hand() -> None:
    """Qwen2.5-7B, 500 steps of 128 x 16 responses of 4,096 tokens, on 16 GPUs."""
    cost = cost_of(recipe("qwen25_7b_hicra"))
    assert cost is not None
    tokens = 500 * 2048 * 4096
    assert cost.hours["generation"] == pytest.approx(tokens / (16 * 15_000 / 7.62) / 3600)
    assert cost.hours["update"] == pytest.approx(500 * 2048 * 4296 * 10 * 7.62e9 / (16 * 125e12) / 3600)
    # Before the first step and at every tenth: 30 problems x 32 samples.
    assert cost.hours["validation"] == pytest.approx(51 * 960 * 4096 / (16 * 15_000 / 7.62) / 3600)
    assert cost.hours["saving"] == pytest.approx(50 * 12 * 7.62e9 / 2e9 / 3600)
    assert cost.gpu_hours == pytest.approx(16 * sum(cost.hours.values()))
    # Three checkpoints and the best one, the merged model, and every response as text.
    assert cost.disk_gb == pytest.approx((4 * 12 + 2) * 7.62 + (tokens + 51 * 960 * 4096) * 4 / 1e9)
    # The second stage's 32K decide.
    logits = 6 * 32768 * 152064 / 1e9
    assert logits < cost.memory_gb < logits + 20


def test_what_changes_a_cost() -> None:
    row = recipe("qwen25_7b_hicra")
    plain, longer, wider, unsaved = (
        cost_of(row, words)
        for words in (
            [],
            ["trainer.total_training_steps=1000"],
            ["trainer.nnodes=4"],
            ["trainer.test_freq=-1", "trainer.save_freq=-1"],
        )
    )
    assert plain
    assert longer
    assert wider
    assert unsaved
    assert longer.total_hours > 1.9 * plain.total_hours
    assert wider.total_hours < 0.6 * plain.total_hours
    assert wider.gpu_hours == pytest.approx(plain.gpu_hours, rel=0.05)
    assert unsaved.hours["validation"] == unsaved.hours["saving"] == 0
    assert unsaved.disk_gb < 0.2 * plain.disk_gb


def test_the_smoke_rows_fit_an_evening_and_a_gpu() -> None:
    for name in ("grpo", "hicra"):
        cost = cost_of(recipe(f"qwen25_1_5b_{name}"))
        assert cost is not None
        assert cost.gpus == 1
        assert cost.total_hours < 6
        assert cost.memory_gb < 80


def test_a_model_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its config.json; Qwen2.5-7B's own gives its published 7.62 billion within a few percent."""
    config = {"num_hidden_layers": 28, "hidden_size": 3584, "intermediate_size": 18944, "vocab_size": 152064}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape = shape_of(str(tmp_path))
    assert shape is not None
    assert shape.parameters == pytest.approx(7.62e9, rel=0.05)
    # A vision-language model keeps its text part in a part of its own.
    (tmp_path / "config.json").write_text(json.dumps({"text_config": config, "vision_config": {"depth": 32}}))
    assert shape_of(str(tmp_path)) == shape
    monkeypatch.setenv("MODEL_PATH", "somebody/unknown")
    assert cost_of(recipe("qwen25_7b_hicra")) is None


def test_the_page_prints_what_the_function_gives() -> None:
    page = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    table = page.split("<!-- costs -->")[1].split("<!-- /costs -->")[0].strip()
    assert table == markdown(all_recipes()), "run `hicra recipes costs --markdown` and put its output there"


def test_the_command() -> None:
    done = CliRunner().invoke(app, ["recipes", "costs"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "never measured" in done.output
    assert all(entry.row in done.output for entry in all_recipes())


@pytest.mark.parametrize(
    ("value", "shown"), [(0.04, "0.0"), (3.6, "4"), (57.2, "57"), (1234, "1,200"), (13_960, "14,000")]
)
def test_digits(value: float, shown: str) -> None:
    assert rounded(value) == shown
