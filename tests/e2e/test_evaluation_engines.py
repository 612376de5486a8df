"""`hicra eval` through the real vLLM: stop texts that are special tokens, and prompts that are too long."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scripted
import servers
from conftest import ROOT

from hicra_verl.data.prepare import verl_row
from hicra_verl.data.problems import Problem
from hicra_verl.endpoint import REFUSED
from hicra_verl.evaluation.run import Sample, load_samples

pytestmark = [pytest.mark.e2e, pytest.mark.evaluation, pytest.mark.timeout(1500)]
PROBLEMS = 12
TOO_LONG = (3, 7)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model that answers 5 and then babbles another answer, and twelve problems, two of them too long."""
    folder = tmp_path_factory.mktemp("engines")
    scripted.base_model(folder / "model", "So it is \\boxed{5}", "user asks again")
    rows = []
    for number in range(PROBLEMS):
        text = f"What is {number} ?" + " And again?" * (200 if number in TOO_LONG else 0)
        rows.append(verl_row(Problem(text, "5" if number % 2 else "6"), "amc23", number, "qwen", False))
    (folder / "data" / "qwen").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "qwen" / "amc23.parquet")
    return folder


def evaluated(world: Path, out: str, *more: str) -> tuple[list[Sample], str]:
    words = ["eval", "amc23", "--model", str(world / "model"), "--data", str(world / "data"), "-o", str(world / out)]
    words += ["--temperature", "0", "--max-tokens", "40"]
    for pair in ("dtype=float32", "enforce_eager=true", "max_model_len=256", "max_num_seqs=2"):
        words += ["--vllm-argument", pair]
    done = subprocess.run(
        [sys.executable, "-m", "hicra_verl.cli", *words, *more],
        env={**os.environ, **servers.ENVIRONMENT, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    samples = load_samples(world / out / "samples" / "amc23.jsonl")
    return sorted(samples, key=lambda sample: sample.uid), done.stdout


@pytest.fixture(scope="module")
def server(world: Path) -> Iterator[str]:
    yield from servers.vllm_server(world / "model", world / "server.log", "--max-model-len", "256")


def check(samples: list[Sample], output: str) -> None:
    assert len(samples) == PROBLEMS  # twelve, with at most four in flight at a time
    refused = [sample for sample in samples if sample.finish_reason == REFUSED]
    assert sorted(sample.uid for sample in refused) == [f"amc23-{number}" for number in TOO_LONG]
    assert all("256" in str(sample.refusal) for sample in refused)
    for sample in samples:
        if sample not in refused:
            assert (sample.response, sample.finish_reason) == ("So it is \\boxed{5}", "stop")
            assert sample.correct == (int(sample.uid.split("-")[1]) % 2 == 1)
    assert f"refused the request: {len(TOO_LONG)} of {PROBLEMS} samples" in output


def test_here(world: Path) -> None:
    check(*evaluated(world, "here", "--stop", "<|im_end|>"))


def test_behind_a_server(world: Path, server: str) -> None:
    check(*evaluated(world, "server", "--base-url", server, "--stop", "<|im_end|>"))


def test_without_a_stop_text_it_goes_on(world: Path, server: str) -> None:
    """What happened to every base Qwen model; and that a text alone does not stop it, since vLLM does not see it."""
    samples, _ = evaluated(world, "babble", "--base-url", server)
    asked = [sample for sample in samples if sample.finish_reason != REFUSED]
    assert {(sample.finish_reason, sample.tokens) for sample in asked} == {("length", 40)}
    assert all(sample.response.startswith("So it is \\boxed{5}user asks") for sample in asked)
