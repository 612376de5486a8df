"""`hicra errors`: why failed responses failed."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA
from fake_server import FakeServer
from made_up_runs import make_run
from typer.testing import CliRunner

from hicra_verl.analysis import errors as causes
from hicra_verl.analysis.runs import RunError
from hicra_verl.asking import Answers
from hicra_verl.cli import app
from hicra_verl.records import InputError


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
    kept = Answers(tmp_path / "out" / "answers.jsonl").kept
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
    with pytest.raises(InputError, match="expected the field 'correct' or 'score' or 'acc': did it succeed"):
        causes.load_failures(str(tmp_path / "x.jsonl"), None, 3)
    long = causes.question(causes.Failure(0, "p", "r", "x" * 100_000))
    assert "characters left out" in long
    assert len(long) < 65_000
