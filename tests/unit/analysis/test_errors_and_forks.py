"""`hicra errors` and `hicra forks`: why failed responses failed, and where a model is uncertain."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
import torch
from conftest import DATA
from fake_server import FakeServer
from made_up_runs import make_run
from typer.testing import CliRunner

from hicra_verl.analysis import errors as causes
from hicra_verl.analysis import forks
from hicra_verl.analysis.runs import RunError
from hicra_verl.cli import app
from hicra_verl.grams import load_grams

GRAMS = load_grams("paper")


# --- causes of errors -------------------------------------------------------------------------------------------------


def test_letters_and_counts() -> None:
    texts = [r"… \boxed{B}", r"\boxed{\text{C}}", r"\boxed{(A)}", r"\boxed{E}", "B"]
    assert [causes.letter_of(text) for text in texts] == ["B", "C", "A", "?", "?"]
    failures = [causes.Failure(step, "p", "r", str(number)) for step in (1, 2) for number in range(4)]
    rows = causes.counts_by_step(failures, list("ABCD" + "CC?D"))
    assert rows[0] == {
        "step": 1, "failures": 4, "A": 1, "B": 1, "C": 1, "D": 1, "?": 0, "Others": 2, "Planning & Strategy": 1,
        "grading_miss_rate": 0.25,
    }  # fmt: skip
    assert (rows[1]["Planning & Strategy"], rows[1]["Others"], rows[1]["grading_miss_rate"]) == (
        2,
        0,
        pytest.approx(1 / 3),
    )


def test_kappa_by_hand() -> None:
    # Cohen's textbook table: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no.
    first, second = "y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15
    assert causes.cohen_kappa(first, second) == pytest.approx(0.4)
    assert causes.cohen_kappa("ab", "ab") == 1.0
    assert math.isnan(causes.cohen_kappa("aa", "aa"))
    with pytest.raises(ValueError, match="not of the same failures"):
        causes.cohen_kappa("a", "ab")


def opinion(body: dict[str, Any]) -> str:
    """A judge that is the same about the same text."""
    letter = "ABCD"[sum(body["messages"][0]["content"].encode()) % 4]
    return f"Because. \\boxed{{{letter}}}"


def test_errors_on_real_failures_with_faults(tmp_path: Path) -> None:
    """200 real failed GSM8K rollouts: nothing lost, nothing asked twice, whatever the server does."""
    source = DATA / "rollouts" / "gsm8k_four_models.jsonl"
    if not source.exists():
        pytest.skip(f"real rollouts absent: {source}")
    faults = {5: "429", 9: "500", 20: "hang", 33: "malformed", 60: "500"}
    # The 121st request and all later ones fail: the command ends, and the next one goes on.
    server = FakeServer(opinion, lambda n: "500" if 120 < n < 10_000 else faults.get(n))
    words = ["errors", str(source), "--base-url", server.url, "--judge", "j", "-o", str(tmp_path / "out")]
    words += ["--per-step", "200", "--concurrency", "4", "--timeout-s", "2"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "Every answer so far is saved" in done.output
    kept = causes.load_verdicts(tmp_path / "out" / "answers.jsonl")
    assert len(kept) == len(server.asked)
    assert 100 <= len(kept) < 200
    asked = list(server.asked)
    server.close()
    with (tmp_path / "out" / "answers.jsonl").open("ab") as stream:
        stream.write(b'{"key": "cut sho')  # as a kill in the middle of a line leaves it

    server = FakeServer(opinion)
    words[words.index("--base-url") + 1] = server.url
    done = CliRunner().invoke(app, [*words, "--repeats", "2"])
    assert done.exit_code == 0, done.output
    asked += server.asked
    assert len(asked) == 400  # 200 failures, each judged twice
    assert set(Counter((body["messages"][0]["content"], body["seed"]) for body in asked).values()) == {1}
    assert "kappa 1.00" in done.output
    result = json.loads((tmp_path / "out" / "errors.json").read_text())
    (row,) = result["judges"]["j #1"]
    assert row["failures"] == 200
    assert row["A"] + row["B"] == row["Others"]
    assert (tmp_path / "out" / "errors.png").exists()
    done = CliRunner().invoke(app, [*words, "--repeats", "2"])  # all cached: asks nothing
    assert done.exit_code == 0
    assert len(server.asked) == 400 - len(kept)
    server.close()


def test_failures_of_a_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    failures = causes.load_failures(str(folder), [1, 2], 3)
    assert [failure.step for failure in failures] == [1] * 3 + [2] * 3
    with pytest.raises(RunError, match="no failed response of the steps"):
        causes.load_failures(str(folder), [6], 3)
    (tmp_path / "x.jsonl").write_text('{"problem": "p", "response": "r"}\n')
    with pytest.raises(RunError, match="neither 'correct' nor 'score'"):
        causes.load_failures(str(tmp_path / "x.jsonl"), None, 3)
    long = causes.question(causes.Failure(0, "p", "r", "x" * 100_000))
    assert "characters left out" in long
    assert len(long) < 65_000


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
