"""`hicra table`: the paper's layout, seeds, paired differences with intervals, rows and benchmarks of one's own."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.evaluation.benchmarks import EvaluationError
from hicra_verl.evaluation.comparison import (
    DRAWS,
    bootstrap_interval,
    bootstrap_means,
    holm,
    mean_correctness,
    paired_difference,
)
from hicra_verl.evaluation.results import load_results, mean_and_spread, row_name
from hicra_verl.evaluation.table import build, paper_numbers, published_problems
from hicra_verl.tables import FORMATS, Table

# --- chance -----------------------------------------------------------------------------------------------------------


def test_bootstrap_means_are_those_of_a_plain_loop() -> None:
    values = [random.Random(1).random() for _ in range(7)]
    rng = np.random.default_rng(3)
    slow = [np.mean([values[place] for place in rng.integers(0, 7, 7)]) for _ in range(DRAWS)]
    assert bootstrap_means(values, seed=3) == pytest.approx(np.array(slow))
    low, high = np.quantile(slow, [0.025, 0.975])
    assert bootstrap_interval(values, seed=3) == (pytest.approx(low), pytest.approx(high))


def test_bootstrap_means_of_a_large_benchmark_come_in_pieces() -> None:
    """10,000 resamplings of MathVerse's 3,940 problems at once would take 315 MB of indices."""
    values = [number % 2 for number in range(3940)]
    means = bootstrap_means(values)
    assert means.shape == (DRAWS,)
    assert means.std() == pytest.approx(0.5 / 3940**0.5, rel=0.05)


def test_paired_difference_by_hand() -> None:
    """Two problems, differences 1 and 0: means of resamplings are 0, 1/2, 1 with chances 1/4, 1/2, 1/4."""
    ours = {"a": (4, 4), "b": (2, 1)}
    theirs = {"a": (1, 0), "b": (4, 2)}
    found = paired_difference([ours], [theirs])
    assert found is not None
    assert (found.mean, found.low, found.high, found.problems) == (0.5, 0.0, 1.0, 2)
    assert found.p == pytest.approx(2 * 0.25, abs=0.02)
    assert not found.significant


def test_paired_difference_against_a_plain_loop() -> None:
    rng = random.Random(5)
    ours = [{f"p{n}": (4, rng.randint(0, 4)) for n in range(30)} for _ in range(2)]
    theirs = [{f"p{n}": (2, rng.randint(0, 1)) for n in range(30)} for _ in range(3)]
    found = paired_difference(ours, theirs, seed=9)
    names = sorted(ours[0])
    differences = [
        sum(run[name][1] / run[name][0] for run in ours) / 2 - sum(run[name][1] / run[name][0] for run in theirs) / 3
        for name in names
    ]
    draw = np.random.default_rng(9)
    means = sorted(sum(differences[place] for place in draw.integers(0, 30, 30)) / 30 for _ in range(DRAWS))
    assert found is not None
    assert found.mean == pytest.approx(sum(differences) / 30)
    assert (found.low, found.high) == (pytest.approx(means[249], abs=2e-3), pytest.approx(means[9750], abs=2e-3))
    below, above = sum(mean <= 0 for mean in means), sum(mean >= 0 for mean in means)
    assert found.p == pytest.approx(2 * (1 + min(below, above)) / (1 + DRAWS))


def test_pairing_takes_out_what_makes_a_problem_hard() -> None:
    """A method that solves one more of the hard ones and all of the same easy ones: certain when paired only."""
    theirs = {f"p{n}": (10, 10 if n % 2 else 0) for n in range(40)}
    ours = {name: (10, min(10, right + 1)) for name, (_, right) in theirs.items()}
    found = paired_difference([ours], [theirs])
    assert found is not None
    assert (found.mean, found.significant) == (pytest.approx(0.05), True)
    alone = bootstrap_interval(list(mean_correctness([ours]).values()))
    assert alone[0] < 0.5 < alone[1]  # the unpaired interval still holds the other method's mean


def test_thirds_that_cancel_out_are_no_difference() -> None:
    """Averages over three seeds are not exact in binary: 0.1 + 0.2 - 0.3 is not 0."""
    ours = [{"a": (10, right), "b": (10, 10 - right)} for right in (1, 2, 4)]
    theirs = [{"a": (10, right), "b": (10, 10 - right)} for right in (3, 3, 1)]
    found = paired_difference(ours, theirs)
    assert found is not None
    assert (found.low, found.high, found.p, found.significant) == (0, 0, 1, False)


def test_no_difference_and_no_problem_in_common() -> None:
    same = {"a": (1, 1), "b": (1, 0)}
    found = paired_difference([same], [same])
    assert found is not None
    assert (found.mean, found.low, found.high, found.p, found.significant) == (0, 0, 0, 1, False)
    assert paired_difference([same], [{"c": (1, 1)}]) is None
    one_sided = paired_difference([{"a": (1, 1), "x": (1, 1)}], [{"a": (1, 0), "y": (1, 0)}])
    assert one_sided is not None
    assert one_sided.problems == 1
    assert one_sided.p == pytest.approx(2 / (1 + DRAWS))


def test_false_alarms_of_the_interval_are_about_one_in_twenty() -> None:
    rng = random.Random(0)
    alarms = 0
    for number in range(200):
        runs = [{f"p{n}": (4, sum(rng.random() < 0.5 for _ in range(4))) for n in range(60)} for _ in range(2)]
        found = paired_difference(runs[:1], runs[1:], seed=number)
        assert found is not None
        alarms += found.significant
    assert 2 <= alarms <= 22  # 10 expected; a 99.9% range of the binomial, and percentile intervals are a bit narrow


def test_holm_by_hand() -> None:
    # 0.01 <= 0.05/4, 0.013 <= 0.05/3, 0.03 > 0.05/2: it and all after it go, although 0.04 <= 0.05/1.
    assert holm([0.03, 0.01, 0.04, 0.013]) == [False, True, False, True]
    assert holm([0.05]) == [True]
    assert holm([0.026, 0.026]) == [False, False]
    assert holm([]) == []


def test_spread_of_seeds_by_hand() -> None:
    assert mean_and_spread([1.0, 2.0, 3.0]) == (2.0, 1.0)  # ((1 + 0 + 1) / 2) ** 0.5


# --- the tables -------------------------------------------------------------------------------------------------------


def result(
    folder: Path,
    row: str | None,
    model: str = "m",
    benchmarks: dict[str, list[int]] | None = None,
    seed: int = 0,
    drop: str = "",
    **settings: Any,
) -> Path:
    """A folder as `hicra eval` writes it: ``benchmarks`` holds right samples of four for each problem."""
    folder.mkdir(parents=True)
    figures: dict[str, dict[str, Any]] = {}
    for name, right in (benchmarks or {"amc23": [4, 2] * 20}).items():
        values = [each / 4 for each in right]
        figures[name] = {
            "problems": len(right),
            "samples": 4 * len(right),
            "pass@1": float(np.mean(values)),
            "pass@1_interval": bootstrap_interval(values),
            "grades": {"equal": sum(right), "different": 4 * len(right) - sum(right)},
            "per_problem": {f"{name}-{number}": [4, each] for number, each in enumerate(right)},
        }
        figures[name].pop(drop, None)
    (folder / "settings.json").write_text(json.dumps({"row": row, "model": model, "seed": seed, **settings}))
    (folder / "summary.json").write_text(json.dumps({"benchmarks": figures}))
    return folder


def cells(table: Table) -> dict[tuple[str, ...], tuple[str, ...]]:
    assert len({row[:3] for row in table.rows}) == len(table.rows)
    return {row[:3]: row[3:] for row in table.rows}


QWEN = "Qwen2.5-7B-Base"


def test_the_tables(tmp_path: Path) -> None:
    folders = [
        result(tmp_path / "a", "qwen25_7b_hicra", "x"),
        result(tmp_path / "b", None, "org/SmolLM2", {"amc23": [4, 0, 4]}),
    ]
    text, vision = build(load_results(folders))
    lines = cells(text)
    assert lines[QWEN, "HICRA", "paper"][3] == "55.1"
    low, high = bootstrap_interval([1.0, 0.5] * 20)
    assert lines[QWEN, "HICRA", "ours"] == ("", "", "", f"75.0 [{100 * low:.1f}, {100 * high:.1f}]", "", "")
    assert lines[QWEN, "HICRA", "ours - paper"][3].startswith("+19.9 [+")
    assert lines["SmolLM2", "", "ours"][3].startswith("66.7 [")
    assert lines["SmolLM2", "", "ours"][3].endswith("†")
    assert lines[QWEN, "GRPO", "ours"] == ("",) * 6  # never run: blank
    assert (QWEN, "GRPO", "ours - paper") not in lines
    assert lines[QWEN, "Placebo HICRA, random n-grams", "authors, in review"][:3] == ("14.6", "9.3", "")
    assert text.notes == (
        "† on part of the benchmark only (AMC23: 3 of 40 problems)",
        "the paper prints the difference to GRPO as +5.4; 73.1 - 68.5 is +4.6",
    )
    assert len(vision.columns) == 3 + 4


def test_the_papers_difference_rows() -> None:
    text, vision = build([])
    lines = cells(text)
    assert lines["Qwen3-4B-Instruct-2507", "HICRA - GRPO", "paper"] == ("+4.6", "+5.1", "+1.0", "+1.7", "+0.7", "-0.7")
    assert lines["Qwen3-4B-Instruct-2507", "HICRA - GRPO", "ours"] == ("",) * 6
    assert cells(vision)["MiMO-VL-Instruct-2508", "HICRA - GRPO", "paper"] == ("+7.0", "+6.1", "+2.4", "+2.2")
    found = [row for table in (text, vision) for row in table.rows if row[1] == "HICRA - GRPO"]
    assert len(found) == 2 * 7  # every model of both tables has GRPO and HICRA
    order = [method for model, method, *_ in text.rows if model == QWEN]
    assert order.index("HICRA - GRPO") == order.index("HICRA") + 2  # right below HICRA's


def test_our_difference_is_paired_and_says_what_it_is_worth(tmp_path: Path) -> None:
    better = [4, 2] * 20, [3, 1] * 20  # one sample of four more, on every problem
    noise = [4, 0] * 15, [0, 4] * 15
    folders = [
        result(tmp_path / "h", "qwen25_7b_hicra", "h", {"amc23": better[0], "aime25": noise[0]}),
        result(tmp_path / "g", "qwen25_7b_grpo", "g", {"amc23": better[1], "aime25": noise[1], "minerva": [1]}),
    ]
    text, _ = build(load_results(folders))
    ours = cells(text)[QWEN, "HICRA - GRPO", "ours"]
    assert ours[3] == "+25.0 [+25.0, +25.0] **"
    assert ours[1].startswith("+0.0 [-")
    assert not ours[1].endswith("*")
    assert ours[4] == ""  # only one of the two was asked
    assert cells(text)[QWEN, "HICRA - GRPO", "paper"] == ("+2.5", "+3.4", "+2.6", "+8.4", "+1.8", "+4.0")
    (note,) = [note for note in text.notes if note.startswith("* the 95% interval excludes 0")]
    assert "Holm's correction for all 2 differences" in note


def test_an_interval_that_excludes_zero_may_not_survive_the_correction(tmp_path: Path) -> None:
    # Of 30 problems eight are won by one sample of four, one is lost: p about 0.02 by itself, and there are ten cells.
    weak = [3] * 8 + [1] + [2] * 21, [2] * 30
    names = ["aime24", "aime25"]
    h, g = [{**dict.fromkeys(names, weak[side]), **{f"own{n}": [2, 0, 4] * 10 for n in range(8)}} for side in range(2)]
    folders = [result(tmp_path / "h", "qwen25_7b_hicra", "h", h), result(tmp_path / "g", "qwen25_7b_grpo", "g", g)]
    text, _, others = build(load_results(folders))
    cell = cells(text)[QWEN, "HICRA - GRPO", "ours"][1]
    assert cell.endswith("] *"), cell
    assert cells(others)[QWEN, "HICRA - GRPO", "ours"] == ("+0.0 [+0.0, +0.0]",) * 8


def test_pairing_needs_results_by_problem_and_the_same_problems(tmp_path: Path) -> None:
    folders = [
        result(tmp_path / "h", "qwen25_7b_hicra", "h", {"amc23": [4] * 40, "aime25": [4] * 30}, drop="per_problem"),
        result(tmp_path / "g", "qwen25_7b_grpo", "g", {"amc23": [2] * 40, "aime25": [4] * 30}),
        result(tmp_path / "vh", "qwen3_4b_base_hicra", "vh", {"amc23": [4] * 40}, temperature=1),
        result(tmp_path / "vg", "qwen3_4b_base_grpo", "vg", {"amc23": [2] * 7}, limit=7),
    ]
    text, _ = build(load_results(folders))
    assert cells(text)[QWEN, "HICRA - GRPO", "ours"] == ("",) * 6
    assert f"HICRA - GRPO of {QWEN}, AMC23: blank ({tmp_path / 'h'} is of a version" in " ".join(text.notes)
    assert cells(text)["Qwen3-4B-Base", "HICRA - GRPO", "ours"][3] == "+50.0 [+50.0, +50.0] **†"
    assert "HICRA - GRPO of Qwen3-4B-Base, AMC23: the two were evaluated with another limit" in text.notes
    assert "HICRA - GRPO of Qwen3-4B-Base, AMC23: on the 7 problems that both were asked" in text.notes


def test_seeds_are_mean_and_spread(tmp_path: Path) -> None:
    folders = [
        result(tmp_path / str(seed), "qwen25_7b_hicra", f"checkpoint-{seed}", {"amc23": [right] * 40})
        for seed, right in enumerate([1, 2, 3])
    ]
    folders.append(result(tmp_path / "more", "qwen25_7b_hicra", "checkpoint-0", {"aime25": [2] * 30}))
    text, _ = build(load_results(folders))
    lines = cells(text)
    assert lines[QWEN, "HICRA", "ours"][3] == "50.0 ± 25.0 (3 seeds)"
    assert lines[QWEN, "HICRA", "ours"][1] == "50.0 [50.0, 50.0]"
    assert lines[QWEN, "HICRA", "ours - paper"][3] == "-5.1 ± 25.0 (3 seeds)"
    assert any(note.startswith("±: standard deviation over seeds") for note in text.notes)
    folders.append(result(tmp_path / "g", "qwen25_7b_grpo", "g", {"amc23": [1] * 40}))
    text, _ = build(load_results(folders))
    assert cells(text)[QWEN, "HICRA - GRPO", "ours"][3].startswith("+25.0 [")  # seeds averaged first


def test_seeds_of_sampling_differ_in_their_seed(tmp_path: Path) -> None:
    folders = [result(tmp_path / str(seed), None, "org/m", {"amc23": [seed] * 40}, seed=seed) for seed in (1, 3)]
    text, _ = build(load_results(folders))
    assert cells(text)["m", "", "ours"][3] == f"50.0 ± {2**0.5 * 25:.1f} (2 seeds)"


def test_what_is_no_seed_is_refused(tmp_path: Path) -> None:
    first = result(tmp_path / "a", "qwen25_7b_hicra", "x/", sampling={"temperature": 0.6})
    same = result(tmp_path / "b", "qwen25_7b_hicra", "x", sampling={"temperature": 0.6, "stop": []})
    with pytest.raises(EvaluationError, match=r"/a and .*/b both hold amc23 of x with seed 0"):
        load_results([first, same])
    hotter = result(tmp_path / "c", "qwen25_7b_hicra", "y", sampling={"temperature": 1.0})
    with pytest.raises(EvaluationError, match=r"/a and .*/c hold amc23 of the same row, but sampling is"):
        load_results([first, hotter])
    with pytest.raises(EvaluationError, match="holds no finished evaluation"):
        load_results([tmp_path])


def test_models_without_a_row_go_by_their_shortest_unambiguous_name(tmp_path: Path) -> None:
    """verl's merger calls every folder `merged`: two of them are no seeds of each other."""
    folders = [
        result(tmp_path / "1", None, "runs/a/merged", {"amc23": [1] * 40}),
        result(tmp_path / "2", None, "runs/b/merged", {"amc23": [2] * 40}),
        result(tmp_path / "3", None, "org/other", {"amc23": [3] * 40}),
    ]
    assert [row.name for row in load_results(folders)] == ["runs/a/merged", "runs/b/merged", "other"]


def test_rows_and_benchmarks_of_ones_own(tmp_path: Path) -> None:
    both = {"amc23": [2] * 40, "my_set": [4, 0, 1]}
    folders = [
        result(tmp_path / "a", "qwen25_7b_gspo", "a", {"amc23": [4] * 40, "my_set": [4, 4, 4]}),
        result(tmp_path / "b", "qwen25_7b_grpo", "b", both),
        result(tmp_path / "c", "smoke_1b_hicra", "c", {**both, "mathvista": [4] * 1000}),
        result(tmp_path / "d", "smoke_1b_grpo", "d", {"my_set": [2, 2, 2]}, limit=3),
        result(tmp_path / "e", "llama31_8b_base_grpo", "e", {"amc23": [1] * 40}),
        result(tmp_path / "f", "whole_x", "f", {"my_set": [1] * 3}, limit=100),
    ]
    text, vision, others = build(load_results(folders))
    lines = cells(text)
    assert lines[QWEN, "gspo", "ours"][3] == "100.0 [100.0, 100.0]"
    assert lines[QWEN, "gspo - GRPO", "ours"][3] == "+50.0 [+50.0, +50.0] **"
    assert [row[0] for row in text.rows].index("smoke_1b") > [row[1] for row in text.rows].index("gspo")
    assert lines["llama31_8b_base", "GRPO", "ours"][3] == "25.0 [25.0, 25.0]"
    assert lines["smoke_1b", "HICRA", "ours"][3] == "50.0 [50.0, 50.0]"
    assert ("smoke_1b", "HICRA - GRPO", "ours") not in lines  # its GRPO has nothing in this table
    assert cells(vision)["smoke_1b", "HICRA", "ours"][0] == "100.0 [100.0, 100.0]"
    assert others.columns[3:] == ("my_set",)
    assert others.title.startswith("Other benchmarks: Pass@1 in percent")
    found = cells(others)
    assert set(found) == {
        (QWEN, "gspo", "ours"),
        (QWEN, "gspo - GRPO", "ours"),
        (QWEN, "GRPO", "ours"),
        ("smoke_1b", "HICRA", "ours"),
        ("smoke_1b", "HICRA - GRPO", "ours"),
        ("smoke_1b", "GRPO", "ours"),
        ("whole", "x", "ours"),
    }
    assert found["whole", "x", "ours"] == ("25.0 [25.0, 25.0]",)  # the limit did not cut it
    assert found["smoke_1b", "GRPO", "ours"] == ("50.0 [50.0, 50.0]†",)
    assert "† on part of the benchmark only (my_set: the first 3 problems)" in others.notes


def test_names_of_rows() -> None:
    known = ["qwen25_7b_hicra"]
    assert row_name("qwen25_7b_hicra", known) == "qwen25_7b_hicra"
    assert row_name("new:qwen25_7b_gspo", known) == "qwen25_7b_gspo"
    with pytest.raises(EvaluationError, match="this row is there already; for it, --row qwen25_7b_hicra"):
        row_name("new:qwen25_7b_hicra", known)
    with pytest.raises(EvaluationError, match="small letters, digits and _"):
        row_name("new:Qwen 7B", known)


def test_aime24_of_a_trained_row_is_marked(tmp_path: Path) -> None:
    """It is validated on all through the training, whose best checkpoint it picks."""
    aime = {"aime24": [2] * 30}
    for row, marked in (("qwen25_7b_hicra", True), ("qwen25_7b_base", False), ("qwen25_7b_orz", False), (None, False)):
        text, _ = build(load_results([result(tmp_path / str(row), row, "m", aime)]))
        (found,) = [cell for _, _, whose, cell, *_ in text.rows if whose == "ours" and cell]
        assert found.endswith("‡") == marked
        notes = [note for note in text.notes if "validates on and chooses its best checkpoint by" in note]
        assert len(notes) == marked


def test_refused_requests_are_noted(tmp_path: Path) -> None:
    folder = result(tmp_path / "a", "qwen25_7b_hicra", "x")
    summary = json.loads((folder / "summary.json").read_text())
    summary["benchmarks"]["amc23"]["grades"]["refused"] = 3
    (folder / "summary.json").write_text(json.dumps(summary))
    text, _ = build(load_results([folder]))
    assert f"{QWEN} HICRA, AMC23: 3 samples are wrong because the engine refused the request" in text.notes


@pytest.mark.parametrize("form", FORMATS)
def test_table_formats(form: str, tmp_path: Path) -> None:
    folders = [
        result(tmp_path / "a", "qwen25_7b_hicra", "x", {"aime24": [4] * 30, "my_set": [4, 2]}),
        result(tmp_path / "b", "qwen25_7b_grpo", "y", {"aime24": [2] * 30, "my_set": [1, 2]}),
        result(tmp_path / "c", "qwen25_7b_grpo", "z", {"aime24": [3] * 30, "my_set": [1, 1]}),
    ]
    words = ["table", *map(str, folders), "--format", form]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    signs = {"latex": ("$\\pm$", "\\ddag{}", "**", "my\\_set"), "markdown": ("±", "‡", "\\*\\*", "my\\_set")}
    plus_minus, dagger, stars, name = signs.get(form, ("±", "‡", "**", "my_set"))
    for part in ("55.1", "HICRA - GRPO", f"62.5 {plus_minus} 17.7 (2 seeds)", f"100.0 [100.0, 100.0]{dagger}"):
        assert part in done.output
    assert f"+37.5 [+37.5, +37.5] {stars}" in done.output
    assert name in done.output
    assert "Other benchmarks" in done.output
    if form == "markdown":
        width = {line.count(" | ") for line in done.output.splitlines() if line.startswith("| Qwen")}
        assert width == {8, 6, 3}  # all rows of a table have its columns: six, four and one benchmark


def test_the_papers_numbers_are_complete() -> None:
    tables = paper_numbers()["tables"]
    assert [len(table["rows"]) for table in tables] == [20, 6]
    assert all(len(row["values"]) == len(table["benchmarks"]) for table in tables for row in table["rows"])
    assert [published_problems(name) for name in ("aime24", "mathverse", "my_set")] == [30, 3940, None]


def test_lines_never_mix_paper_and_ours() -> None:
    whose = {row[2] for table in build([]) for row in table.rows}
    assert whose == {"paper", "authors, in review", "ours"}
