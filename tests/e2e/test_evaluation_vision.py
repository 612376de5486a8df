"""The four vision-language benchmarks, rows as awkward as the published ones, through a real Qwen2.5-VL in vLLM."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scripted
import servers
import vision
from conftest import ROOT
from hub_repositories import write_awkward_hub
from PIL import Image

from hicra_verl.data.prepare import verl_row
from hicra_verl.data.problems import Problem
from hicra_verl.data.sources import SOURCES
from hicra_verl.endpoint import REFUSED
from hicra_verl.evaluation.run import load_samples

pytestmark = [pytest.mark.e2e, pytest.mark.evaluation, pytest.mark.timeout(1500)]
BENCHMARKS = ["mathvista", "mathvision", "mathverse", "emma"]
ROWS = 12


def image(width: int, height: int, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(stream, form)
    return stream.getvalue()


def command(*words: str) -> str:
    environment = {**os.environ, **servers.ENVIRONMENT, **vision.environment(), "COLUMNS": "200"}
    environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "hicra_verl.cli", *words], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_row_is_answered_graded_and_in_the_table(tmp_path: Path) -> None:
    vision.make_in_a_process(tmp_path / "world")
    model = tmp_path / "world" / "model"
    scripted.vision_model(model, "\\boxed{A}")
    write_awkward_hub(tmp_path / "hub", ROWS, dapo_repeats=1)
    data = tmp_path / "data"
    for name in BENCHMARKS:
        origin = tmp_path / "hub" / "datasets" / SOURCES[name].hub
        command("data", name, "--from", str(origin), "-o", str(data), "--template", "vision", "--any-count")
    # Images that the processor or Pillow refuses: neither may end the run, nor vanish.
    pictures = [image(56, 56, "JPEG"), image(1, 400), image(56, 56)[:60], image(56, 56)]
    rows: list[dict[str, Any]] = []
    for number, content in enumerate(pictures):
        problem = Problem("Which?", "A", "choice", images=({"bytes": content},))
        rows.append(verl_row(problem, "pictures", number, "vision", False))
    pq.write_table(pa.Table.from_pylist(rows), data / "vision" / "pictures.parquet")

    arguments = ["dtype=float32", "enforce_eager=true", "max_model_len=1024", "max_num_seqs=2"]
    vllm = [word for pair in arguments for word in ("--vllm-argument", pair)]
    words = ["--model", str(model), "--data", str(data), "--template", "vision", "-o", str(tmp_path / "out")]
    output = command("eval", *BENCHMARKS, "pictures", *words, "--temperature", "0", "--max-tokens", "16", *vllm)

    for name in BENCHMARKS:
        asked = {row["uid"] for row in pq.read_table(data / "vision" / f"{name}.parquet")["extra_info"].to_pylist()}
        samples = load_samples(tmp_path / "out" / "samples" / f"{name}.jsonl")
        assert len(asked) == len(samples) == ROWS, name
        assert {sample.uid for sample in samples} == asked, name
        assert {(sample.response, sample.finish_reason, sample.answer) for sample in samples} == {
            ("\\boxed{A}", "stop", "A")
        }, name
    graded = [sample for name in BENCHMARKS for sample in load_samples(tmp_path / "out" / "samples" / f"{name}.jsonl")]
    assert 0 < sum(sample.correct for sample in graded) < len(graded)

    samples = sorted(load_samples(tmp_path / "out" / "samples" / "pictures.jsonl"), key=lambda sample: sample.uid)
    assert [sample.finish_reason for sample in samples] == ["stop", REFUSED, REFUSED, "stop"]
    assert "aspect ratio" in str(samples[1].refusal)
    assert "the image cannot be opened" in str(samples[2].refusal)
    assert "pictures: counted as wrong because the engine refused the request: 2 of 4 samples" in output

    table = command("table", str(tmp_path / "out"), "--format", "markdown")
    for name, title in zip(BENCHMARKS, ["MathVista", "MathVision", "MathVerse", "EMMA"], strict=True):
        assert f"({title}: {ROWS} of {SOURCES[name].rows:,} problems)" in table
    assert "| model |  | ours | 50.0 [0.0, 100.0] |" in table
