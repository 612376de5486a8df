"""`hicra forks`: where a model is uncertain, and where it plans."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_model
import torch
from typer.testing import CliRunner

from hicra_verl.analysis import forks
from hicra_verl.cli import app
from hicra_verl.grams import load_grams

GRAMS = load_grams("paper")


# --- forks ------------------------------------------------------------------------------------------------------------


def test_portions_by_hand() -> None:
    entropy = np.array([4.0, 3.0, 0.1, 0.2, 0.0, 2.0, 0.3, 0.1, 0.1, 0.2])
    planning = np.array([True, False, True, False, False, True, False, False, False, False])
    function = np.where(planning, 0, -1)
    function[2] = 2
    one = forks.TokenTrace(["x"] * 10, entropy, planning, function)
    found = forks.portions([one], 0.3)  # 4.0, 3.0, 2.0
    assert found["planning_high_entropy_fraction"] == pytest.approx(2 / 3)
    assert found["high_entropy_planning_fraction"] == pytest.approx(2 / 3)
    assert found["deduction_high_entropy_fraction"] == 1.0
    assert found["backtracing_high_entropy_fraction"] == 0.0
    assert math.isnan(found["branching_high_entropy_fraction"])
    low, high = forks.interval([one, one], 0.3)["planning_high_entropy_fraction"]
    assert low == high == pytest.approx(2 / 3)
    assert "underlined" in forks.render([one], "t")


def test_forks_with_a_model(tmp_path: Path) -> None:
    """Entropies against the definition, token by token, and the command."""
    tokenizer = tiny_model.train_tokenizer(["so we can see that 2 + 2 is 4, but wait, let's try 7."] * 3)
    torch.manual_seed(0)
    model = tiny_model.new_model(tokenizer).eval()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    prompt, response = "2 + 2", "so we can see that 4"
    ((ids, entropy),) = forks.token_entropies(model, tokenizer, [(prompt, response), (prompt, "")], 0.7)
    before = tokenizer(prompt)["input_ids"]
    for place in range(len(ids)):
        with torch.no_grad():
            logits = model(torch.tensor([[*before, *ids[:place]]])).logits[0, -1] / 0.7
        probabilities = torch.softmax(logits.double(), dim=-1)
        expected = -sum(p * math.log(p) for p in probabilities.tolist())
        assert entropy[place] == pytest.approx(expected, abs=1e-4)
    rows = [{"problem": prompt, "response": response}, {"input": prompt, "output": "but wait, 7"}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["forks", str(tmp_path / "r.jsonl"), "--model", str(tmp_path / "model"), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "Paper, at the top 30%" in done.output
    with (tmp_path / "out" / "forks.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 4 * 6
    assert "deduction" in (tmp_path / "out" / "forks.html").read_text()
