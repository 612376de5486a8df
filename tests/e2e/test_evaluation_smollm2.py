"""`hicra eval` on the real SmolLM2-135M-Instruct: vLLM here, vLLM behind an OpenAI-compatible server, and a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from conftest import DATA, ROOT

from hicra_verl.evaluation.run import Sample, load_samples

pytestmark = [pytest.mark.e2e, pytest.mark.evaluation, pytest.mark.timeout(1500)]
BENCHMARKS = ["aime24", "amc23", "minerva", "olympiad"]
ENVIRONMENT = {**os.environ, **servers.ENVIRONMENT, "PYTHONPATH": str(ROOT)}
PROBLEMS = 2
TOKENS = 48


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model and the four benchmarks."""
    import smollm2  # examples/demo; pyproject.toml puts it on the path

    try:
        smollm2.gguf_file()
    except SystemExit as error:
        pytest.skip(f"{error} (`make material` does, too)")
    if not (DATA / "benchmarks").exists():
        pytest.skip(f"benchmark files absent: {DATA / 'benchmarks'}")
    folder = tmp_path_factory.mktemp("evaluation")
    smollm2.convert(folder / "smollm2")
    words = ["data", *BENCHMARKS, "--from", str(DATA / "benchmarks"), "-o", str(folder / "data")]
    subprocess.run([sys.executable, "-m", "hicra_verl.cli", *words], env=ENVIRONMENT, check=True)
    return folder


def command(world: Path, out: str, *more: str) -> list[str]:
    greedy = ["--temperature", "0", "--max-tokens", str(TOKENS), "--limit", str(PROBLEMS)]
    vllm = ["dtype=float32", "enforce_eager=true", "max_model_len=1024", "max_num_seqs=2"]
    arguments = [word for pair in vllm for word in ("--vllm-argument", pair)]
    words = ["eval", *BENCHMARKS, "--model", str(world / "smollm2"), "--data", str(world / "data")]
    return [sys.executable, "-m", "hicra_verl.cli", *words, "-o", str(world / out), *greedy, *arguments, *more]


def samples(world: Path, out: str) -> list[Sample]:
    found = [sample for name in BENCHMARKS for sample in load_samples(world / out / "samples" / f"{name}.jsonl")]
    return sorted(found, key=lambda sample: sample.uid)


@pytest.fixture(scope="module")
def server(world: Path) -> Iterator[str]:
    yield from servers.vllm_server(world / "smollm2", world / "server.log", "--max-model-len", "1024")


def test_here_and_behind_a_server_killed_and_not(world: Path, server: str) -> None:
    done = subprocess.run(
        command(world, "server", "--base-url", server), env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr

    # In this process's own vLLM: killed as soon as a few samples are there, then run to its end.
    file = world / "here" / "samples"
    process = subprocess.Popen(
        command(world, "here"), env=ENVIRONMENT, start_new_session=True, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and sum(path.read_bytes().count(b"\n") for path in file.glob("*.jsonl")) < 2:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = samples(world, "here")
    assert 2 <= len(before) < PROBLEMS * len(BENCHMARKS), "the kill came too late to prove anything"
    done = subprocess.run(command(world, "here"), env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    here, there = samples(world, "here"), samples(world, "server")
    assert len(here) == PROBLEMS * len(BENCHMARKS)
    assert all(sample in here for sample in before)
    assert here == there  # the same greedy answers, lengths and grades
    assert all(sample.tokens == TOKENS or sample.finish_reason == "stop" for sample in here)

    table = subprocess.run(
        [sys.executable, "-m", "hicra_verl.cli", "table", str(world / "here"), "--format", "markdown"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert table.returncode == 0, table.stderr
    (line,) = [line for line in table.stdout.splitlines() if line.startswith("| smollm2 |")]
    summary = json.loads((world / "here" / "summary.json").read_text())["benchmarks"]
    assert f"{100 * summary['aime24']['pass@1']:.1f} [" in line
    assert f"AIME24: {PROBLEMS} of 30 problems" in table.stdout
