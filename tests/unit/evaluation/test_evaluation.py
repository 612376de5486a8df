"""Evaluation: Pass@k, intervals, the protocol, an endpoint with faults, and resuming after a kill."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from fake_server import FakeServer
from typer.testing import CliRunner

from hicra_verl.append_log import AppendLogError, appending, read_log
from hicra_verl.cli import app
from hicra_verl.data.prepare import verl_row
from hicra_verl.data.problems import Problem
from hicra_verl.evaluation.benchmarks import SAMPLES, TEMPERATURE, TOP_P, EvaluationError, load_benchmark
from hicra_verl.evaluation.comparison import bootstrap_interval
from hicra_verl.evaluation.run import Sample, load_samples, seed_of
from hicra_verl.evaluation.summary import summarise
from hicra_verl.grams import load_grams
from hicra_verl.metrics.pass_at_k import pass_at_k


@pytest.mark.parametrize("samples", [1, 2, 5, 8])
def test_pass_at_k_counts_the_subsets(samples: int) -> None:
    for correct in range(samples + 1):
        for k in range(1, samples + 1):
            outcomes = [1] * correct + [0] * (samples - correct)
            subsets = list(itertools.combinations(outcomes, k))
            assert pass_at_k(samples, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_with_published_values() -> None:
    # 1 - C(n-c, k) / C(n, k), the formula as printed.
    assert pass_at_k(200, 10, 100) == pytest.approx(1 - math.comb(190, 100) / math.comb(200, 100))
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)
    for wrong in ((2, 3, 1), (2, 1, 3), (2, 1, 0)):
        with pytest.raises(ValueError, match="samples"):
            pass_at_k(*wrong)


def test_bootstrap_interval_against_the_normal_approximation() -> None:
    values = [random.Random(0).random() for _ in range(400)]
    low, high = bootstrap_interval(values)
    half = 1.96 * np.std(values) / math.sqrt(len(values))
    assert (low, high) == (
        pytest.approx(np.mean(values) - half, abs=0.003),
        pytest.approx(np.mean(values) + half, abs=0.003),
    )
    assert bootstrap_interval([1.0, 1.0]) == (1.0, 1.0)


def test_the_protocol_is_the_papers() -> None:
    assert (TEMPERATURE, TOP_P) == (0.6, 0.95)
    assert SAMPLES.items() >= {"aime24": 32, "aime25": 32, "amc23": 4}.items()


def test_summary() -> None:
    def sample(uid: str, number: int, correct: bool, reason: str, text: str) -> Sample:
        grade = "equal" if correct else "timed_out"
        return Sample(uid, number, 0, text, reason, 10 * number, "1", correct, grade)

    samples = [
        sample("a", 0, True, "stop", "Let's see. But we can do it."),
        sample("a", 1, False, "length", "We can see. So we can do it."),
        sample("b", 0, False, "stop", ""),
        sample("b", 1, False, "stop", "x"),
    ]
    found = summarise(samples, load_grams("paper"))
    assert (found["problems"], found["samples"], found["pass@1"], found["pass@2"]) == (2, 4, 0.25, 0.5)
    assert found["pass@1_interval"] == (0.0, 0.5)
    assert (found["clip_rate"], found["length_tokens"]) == (0.25, 5.0)
    assert found["grades"] == {"equal": 1, "timed_out": 3}


def test_semantic_entropy_is_that_of_all_responses() -> None:
    texts = ["We can, but we can,", "but so so"]
    samples = [Sample("a", n, 0, text, "stop", 1, "1", True, "equal") for n, text in enumerate(texts)]
    assert summarise(samples, load_grams("paper"))["semantic_entropy_nats"] == pytest.approx(math.log(3))


# --- the command against a server -------------------------------------------------------------------------------------


def write_problems(folder: Path, count: int, name: str = "amc23") -> None:
    rows = [verl_row(Problem(f"What is {n} + 1?", str(n + 1)), name, n, "qwen", False) for n in range(count)]
    (folder / "qwen").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "qwen" / f"{name}.parquet")


def solve(body: dict[str, Any]) -> str:
    number = int(body["messages"][0]["content"].split()[2])
    return f"So we can add. \\boxed{{{number + 1 + (body['seed'] % 4 == 0)}}}"


def words(folder: Path, url: str, *more: str) -> list[str]:
    return [
        "eval", "amc23", "--model", "m", "--base-url", url, "--data", str(folder), "-o", str(folder / "out"),
        "--concurrency", "4", "--timeout-s", "1", *more,
    ]  # fmt: skip


def samples_of(folder: Path) -> list[Sample]:
    return sorted(load_samples(folder / "out" / "samples" / "amc23.jsonl"), key=lambda s: (s.uid, s.sample))


def run_eval(tmp_path: Path, fault: Callable[[int], str | None], *more: str) -> tuple[Any, FakeServer]:
    write_problems(tmp_path, 6)
    server = FakeServer(solve, fault)
    try:
        return CliRunner().invoke(app, words(tmp_path, server.url, *more)), server
    finally:
        server.close()


def test_a_whole_evaluation(tmp_path: Path) -> None:
    done, server = run_eval(tmp_path, lambda n: None)
    assert done.exit_code == 0, done.output
    taken = samples_of(tmp_path)
    assert len(taken) == len(server.asked) == 6 * 4
    assert all(sample.seed == seed_of(0, sample.uid, sample.sample) for sample in taken)
    assert all(sample.correct == (sample.seed % 4 != 0) for sample in taken)
    assert {(body["temperature"], body["top_p"]) for body in server.asked} == {(TEMPERATURE, TOP_P)}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["benchmarks"]["amc23"]
    assert summary["pass@1"] == pytest.approx(np.mean([sample.correct for sample in taken]))
    assert {"pass@1", "pass@2", "pass@4"} <= set(summary)


def test_faults_are_retried_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    faults = {2: "429", 5: "500", 7: "hang"}
    done, server = run_eval(tmp_path, faults.get)
    assert done.exit_code == 0, done.output
    assert len(samples_of(tmp_path)) == len(server.asked) == 24
    assert len({(body["messages"][0]["content"], body["seed"]) for body in server.asked}) == 24


@pytest.mark.parametrize("fault", ["500", "malformed"])
def test_a_dead_server_loses_nothing(fault: str, tmp_path: Path) -> None:
    done, server = run_eval(tmp_path, lambda n: fault if n > 9 else None)
    assert done.exit_code == 2, done.output
    assert "Every answer so far is saved" in done.output
    assert len(samples_of(tmp_path)) == len(server.asked) == 9
    done, server = run_eval(tmp_path, lambda n: None)
    assert done.exit_code == 0
    assert len(server.asked) == 15
    assert len(samples_of(tmp_path)) == 24


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    def slow(body: dict[str, Any]) -> str:
        time.sleep(0.1)
        return solve(body)

    for folder in ("whole", "killed"):
        write_problems(tmp_path / folder, 12)
    server = FakeServer(slow)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(folder: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "hicra_verl.cli", *words(tmp_path / folder, server.url)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)

    try:
        assert start("whole").wait(60) == 0
        file = tmp_path / "killed" / "out" / "samples" / "amc23.jsonl"
        for fewest in (5, 20):
            process = start("killed")
            while not file.exists() or file.read_bytes().count(b"\n") < fewest:
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            with file.open("ab") as stream:
                stream.write(b'{"uid": "cut sh')  # as a crash in the middle of a line leaves it
        assert start("killed").wait(60) == 0
    finally:
        server.close()
    assert samples_of(tmp_path / "killed") == samples_of(tmp_path / "whole")
    summaries = [json.loads((tmp_path / name / "out" / "summary.json").read_text()) for name in ("whole", "killed")]
    assert summaries[0] == summaries[1]


def test_two_evaluations_at_once_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second is refused; the first takes every sample once."""
    write_problems(tmp_path, 6)
    release = threading.Event()

    def held(body: dict[str, Any]) -> str:
        release.wait(20)
        return solve(body)

    server = FakeServer(held)
    command = [sys.executable, "-m", "hicra_verl.cli", *words(tmp_path, server.url, "--timeout-s", "30")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while server.requests == 0:
            assert first.poll() is None
            time.sleep(0.05)
        second = CliRunner().invoke(app, words(tmp_path, server.url))
        assert second.exit_code == 2
        assert "another evaluation is writing here" in second.output.replace("\n", " ")
        release.set()
        assert first.wait(60) == 0
    finally:
        release.set()
        server.close()
    assert (tmp_path / "out" / "samples" / "amc23.jsonl").read_text().count("\n") == len(samples_of(tmp_path)) == 24


def test_a_folder_is_of_one_set_of_problems(tmp_path: Path) -> None:
    """Of other texts, answers or options under the same names, nothing is asked."""
    assert run_eval(tmp_path, lambda n: None)[0].exit_code == 0
    row = verl_row(Problem("What is 7 + 1?", "8"), "amc23", 0, "qwen", False)
    for change in (lambda: None, lambda: row["reward_model"].update(ground_truth="9")):
        change()
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "qwen" / "amc23.parquet")
        server = FakeServer(solve)
        try:
            done = CliRunner().invoke(app, words(tmp_path, server.url))
        finally:
            server.close()
        assert (done.exit_code, server.asked) == (2, [])
        assert "samples of other problems called amc23" in done.output.replace("\n", " ")
    assert len(samples_of(tmp_path)) == 24


def test_samples_cut_off_anywhere_go_on(tmp_path: Path) -> None:
    """A full disk, or a crash, ends the file at any byte: whole rows count; of another nothing is left."""
    whole = "".join(
        json.dumps(asdict(Sample(f"é{n}", n, 0, "a\u2028b", "stop", 1, "1", True, "equal")), ensure_ascii=False) + "\n"
        for n in range(3)
    ).encode()
    path = tmp_path / "s.jsonl"
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        rows = (whole[:size] + b"\n").count(b"}\n")  # one without its end counts, too
        assert len(load_samples(path)) == rows
        with appending(path):
            pass
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:rows])


def test_another_setting_does_not_share_a_result(tmp_path: Path) -> None:
    assert run_eval(tmp_path, lambda n: None)[0].exit_code == 0
    done, _ = run_eval(tmp_path, lambda n: None, "--temperature", "0.7")
    assert done.exit_code == 2
    assert "'temperature': 0.6" in done.output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["amc22"], "did you mean 'amc23'?"),
        (["aime24"], "`hicra data aime24 --output …` writes it"),
        (["--row", "qwen25_7b_hikra"], "did you mean 'qwen25_7b_hicra'?"),
        (["--row", "qwen25_7b_gspo"], "For a row of your own: --row new:qwen25_7b_gspo"),
        (["--row", "new:qwen25_7b_hicra"], "this row is there already"),
        (["--template-argument", "x"], "expected KEY=VALUE"),
        (["--grams", "papre"], "did you mean 'paper'?"),
    ],
)
def test_wrong_words(more: list[str], message: str, tmp_path: Path) -> None:
    done, _ = run_eval(tmp_path, lambda n: None, *more)
    assert done.exit_code == 2
    assert message in done.output.replace("\n", " ")


def test_a_log_is_read_without_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results may lie where only reading is allowed."""
    (tmp_path / "s.jsonl").write_text('{"a": 1}\n')
    changed = (tmp_path / "s.jsonl").stat().st_mtime_ns
    modes = []
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *a, **k: modes.append((a, k)) or opened(path, *a, **k))
    assert list(read_log(tmp_path / "s.jsonl")) == [(1, {"a": 1})]
    assert not any("+" in str(mode) for mode in modes)
    assert (tmp_path / "s.jsonl").stat().st_mtime_ns == changed


def test_a_spoilt_samples_file_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"uid": 1}\n')
    with pytest.raises(AppendLogError, match=r"s\.jsonl, line 1: not a sample"):
        load_samples(tmp_path / "s.jsonl")
    with pytest.raises(EvaluationError, match="no such benchmark"):
        load_benchmark("x", tmp_path)
