"""`hicra errors`: why failed responses failed."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import DATA
from fake_server import FakeServer
from made_up_runs import make_run
from typer.testing import CliRunner

from hicra_verl.analysis import errors as causes
from hicra_verl.analysis.error_counts import cohen_kappa, count_step, scaled_count, without_nan
from hicra_verl.analysis.failures import Failure, load_failures
from hicra_verl.analysis.runs import RunError
from hicra_verl.asking import Answers
from hicra_verl.cli import app
from hicra_verl.records import InputError


def test_letters_and_counts() -> None:
    texts = [r"… \boxed{B}", r"\boxed{\text{C}}", r"\boxed{(A)}", r"\boxed{E}", "B"]
    assert [causes.letter_of(text) for text in texts] == ["B", "C", "A", "?", "?"]
    first, second = (count_step(step, 4, letters) for step, letters in ((1, "ABCD"), (2, "CC?D")))
    assert first == {
        "step": 1, "failures": 4, "sampled": 4, "A": 1, "B": 1, "C": 1, "D": 1, "?": 0,
        "Planning & Strategy": 1, "Others": 2, "grading_miss_rate": 0.25,
        "estimated": {"Planning & Strategy": [1, 1, 1], "Others": [2, 2, 2], "grading misses": [1, 1, 1]},
    }  # fmt: skip
    assert (second["Planning & Strategy"], second["Others"]) == (2, 0)
    assert second["grading_miss_rate"] == pytest.approx(1 / 3)
    # One of four named no letter: two to three are planning, as the fourth is or is not.
    assert second["estimated"]["Planning & Strategy"] == [pytest.approx(8 / 3), 2, 3]
    nothing, unknown = count_step(3, 0, ""), count_step(3, 2, "??")
    assert nothing["estimated"]["Others"] == [0, 0, 0]
    assert unknown["estimated"]["Others"] == [pytest.approx(math.nan, nan_ok=True), 0, 2]
    assert without_nan(unknown)["estimated"]["Others"] == [None, 0, 2]


def slow_interval(total: int, judged: int, found: int) -> tuple[int, int]:
    """Every count that neither mid-p tail rejects, by adding up binomial coefficients."""

    def chance(count: int, number: int) -> float:
        return math.comb(count, number) * math.comb(total - count, judged - number) / math.comb(total, judged)

    kept = []
    for count in range(total + 1):
        chances = [chance(count, number) for number in range(judged + 1)]
        half = chances[found] / 2
        possible = found <= count <= total - judged + found
        if possible and min(sum(chances[: found + 1]), sum(chances[found:])) - half > 0.025:
            kept.append(count)
    return min(kept), max(kept)


@pytest.mark.parametrize("case", [(40, 12, 0), (40, 12, 5), (40, 12, 12), (75, 30, 29), (60, 60, 7), (9, 1, 1)])
def test_intervals_against_a_slow_reference(case: tuple[int, int, int]) -> None:
    total, judged, found = case
    number, *bounds = scaled_count(total, judged, found)
    assert number == pytest.approx(total * found / judged)
    assert tuple(bounds) == slow_interval(total, judged, found)


def test_intervals_cover_what_they_say() -> None:
    """200 scenarios with random totals, samples and causes, each drawn five times."""
    rng = np.random.default_rng(0)
    held = drawn = 0
    for _ in range(200):
        total = int(rng.integers(200, 2001))
        judged = int(rng.integers(50, min(total, 400) + 1))
        truth = rng.multinomial(total, rng.dirichlet([1, 1, 1, 0.3]))
        for _ in range(5):
            for found, true in zip(rng.multivariate_hypergeometric(truth, judged), truth, strict=True):
                _, low, high = scaled_count(total, judged, int(found))
                held += low <= true <= high
                drawn += 1
    assert 0.92 <= held / drawn <= 0.98


def test_kappa_by_hand() -> None:
    # Cohen's textbook table: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no.
    first, second = "y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa("ab", "ab") == 1.0
    assert math.isnan(cohen_kappa("aa", "aa"))
    with pytest.raises(ValueError, match="not of the same failures"):
        cohen_kappa("a", "ab")


def opinion(body: dict[str, Any]) -> str:
    """A judge that is the same about the same text."""
    letter = "ABCD"[sum(body["messages"][0]["content"].encode()) % 4]
    return f"Because. \\boxed{{{letter}}}"


def test_errors_on_real_failures_with_faults(tmp_path: Path) -> None:
    """200 real failed GSM8K rollouts: nothing lost, nothing asked twice, whatever the server does."""
    source = DATA / "rollouts" / "gsm8k_four_models.jsonl"
    if not source.exists():
        pytest.skip(f"real rollouts absent: {source}")
    failed = sum(not json.loads(line)["correct"] for line in source.open(encoding="utf-8"))
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
    assert (row["failures"], row["sampled"]) == (failed, 200)  # not 200: a sample is scaled to all that failed
    _, low, high = row["estimated"]["Others"]
    assert low < row["Others"] * failed / 200 < high
    assert row["A"] + row["B"] == row["Others"]
    assert (tmp_path / "out" / "errors.png").exists()
    done = CliRunner().invoke(app, [*words, "--repeats", "2"])  # all cached: asks nothing
    assert done.exit_code == 0
    assert len(server.asked) == 400 - len(kept)
    server.close()


def test_a_judged_run_tells_how_many_failed_and_why(tmp_path: Path) -> None:
    """Real failures, 1,200, 900 and 600 a step, of which the judge sees 200 each: the truth is in the intervals."""
    source = DATA / "rollouts" / "gsm8k_four_models.jsonl"
    if not source.exists():
        pytest.skip(f"real rollouts absent: {source}")
    rows = [json.loads(line) for line in source.open(encoding="utf-8")]
    failures = [row for row in rows if not row["correct"]]
    (tmp_path / "run" / "rollouts").mkdir(parents=True)
    truth = {}
    for step, count in ((1, 1200), (2, 900), (3, 600)):
        chosen = [failures[(step * 211 + place) % len(failures)] for place in range(count)]
        dump = [
            {"input": f"{row['problem']} #{place}", "output": row["response"], "score": 0.0, "gts": row["ground_truth"]}
            for place, row in enumerate(chosen)
        ]
        lines = [json.dumps(row) for row in [*dump, {**dump[0], "score": 1.0}]]
        (tmp_path / "run" / "rollouts" / f"{step}.jsonl").write_text("\n".join(lines) + "\n")
        shown = [causes.question(Failure(step, row["input"], row["gts"], row["output"])) for row in dump]
        truth[step] = Counter(causes.letter_of(opinion({"messages": [{"content": one}]})) for one in shown)
    server = FakeServer(opinion)
    words = ["errors", str(tmp_path / "run"), "--base-url", server.url, "--judge", "j", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    server.close()
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "out" / "errors.json").read_text())
    assert result["of"] == "training"
    assert [row["failures"] for row in result["judges"]["j #1"]] == [1200, 900, 600]
    for row in result["judges"]["j #1"]:
        found = truth[row["step"]]
        expected = (("Planning & Strategy", found["C"]), ("Others", found["A"] + found["B"]))
        for category, true in (*expected, ("grading misses", found["D"])):
            number, low, high = row["estimated"][category]
            assert low <= true <= high, (row["step"], category, true, row["estimated"][category])
            assert low < number < high
    judged = [json.loads(line) for line in (tmp_path / "out" / "judged.jsonl").open()]
    assert len(judged) == 600
    assert judged[0]["answer"].startswith("Because.")


def test_held_out_problems_come_first(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    for step in (0, 6):
        rows = [{"input": f"held out {n}", "output": f"{step}", "gts": "7", "score": 0.0} for n in range(9)]
        (folder / "validation" / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load_failures(str(folder), None, 4)
    assert found.kind == "validation"
    assert found.totals == {0: 9, 6: 9}
    of_step = {step: [one.problem for one in found.sample if one.step == step] for step in (0, 6)}
    assert of_step[0] == of_step[6]  # the same problems: the curve moves with the policy alone
    assert len(of_step[0]) == 4
    assert [one.row for one in load_failures(str(folder), [6], 9).sample] != list(range(9))
    assert load_failures(str(folder), None, 4, "training").kind == "training"


def test_the_judge_sees_the_solution(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    rows = [("problem 1", "first do this"), ("problem", "too short a name"), ("another", "")]
    extra = [{"problem": problem, "solution": solution} for problem, solution in rows]
    pq.write_table(pa.table({"extra_info": extra}), tmp_path / "data.parquet")
    found = load_failures(str(folder), None, 99, "training", tmp_path / "data.parquet")
    assert {(one.problem, one.reference) for one in found.sample} >= {
        ("problem 1", "first do this"),
        ("problem 2", "too short a name"),
    }
    pq.write_table(
        pa.table({"extra_info": [{"problem": "nothing of this", "solution": "x"}]}), tmp_path / "other.parquet"
    )
    with pytest.raises(RunError, match="holds none of the problems of these responses"):
        load_failures(str(folder), None, 99, "training", tmp_path / "other.parquet")


def test_failures_of_a_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    failures = load_failures(str(folder), [1, 2], 3, "training")
    assert [failure.step for failure in failures.sample] == [1] * 3 + [2] * 3
    with pytest.raises(RunError, match="no failed response to training batches of the steps"):
        load_failures(str(folder), [6], 3, "training")
    with pytest.raises(RunError, match="no failed response to held-out problems"):
        load_failures(str(folder), None, 3)  # all of them are right
    (tmp_path / "x.jsonl").write_text('{"problem": "p", "response": "r"}\n')
    with pytest.raises(InputError, match="expected the field 'correct' or 'score' or 'acc': did it succeed"):
        load_failures(str(tmp_path / "x.jsonl"), None, 3)
    long = causes.question(Failure(0, "p", "r", "x" * 100_000))
    assert "characters left out" in long
    assert len(long) < 65_000
