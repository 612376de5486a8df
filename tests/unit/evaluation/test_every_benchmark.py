"""All ten benchmarks: rows as awkward as the published ones, through data, template, engine, grading and table."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fake_server import FakeServer
from hub_repositories import write_awkward_hub
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.data.sources import SOURCES
from hicra_verl.evaluation.benchmarks import TITLES, load_benchmark
from hicra_verl.evaluation.run import load_samples

VISION = [name for name in TITLES if SOURCES[name].kind == "vision" and SOURCES[name].hub]
TEXT = [name for name in TITLES if SOURCES[name].kind == "text" and SOURCES[name].hub]
ROWS = 40
"""Of each; AIME24, AIME25 (30) and AMC23 (40) are whole. The awkward rows come first."""


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    return done.output


def key(messages: list[dict[str, Any]]) -> tuple[str, ...]:
    """What a prompt is known by: its texts and, since some of MathVerse's have no other text, its images."""
    parts: list[str] = []
    for message in messages:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            parts.append(part["text"] if part["type"] == "text" else part["image_url"]["url"].split(",")[1])
    return tuple(parts)


def stored_key(row: dict[str, Any]) -> tuple[str, ...]:
    """The same of a stored row, with an image for each tag in turn."""
    pictures = iter(row.get("images") or [])
    parts: list[str] = []
    for number, text in enumerate(row["prompt"][0]["content"].split("<image>")):
        if number:
            parts.append(base64.b64encode(next(pictures)["bytes"]).decode())
        if text:
            parts.append(text)
    assert next(pictures, None) is None
    return tuple(parts)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    write_awkward_hub(folder, ROWS, dapo_repeats=1)
    return folder


@pytest.mark.parametrize(("template", "names"), [("qwen", TEXT), ("vision", VISION)])
def test_all_rows_are_answered_graded_and_in_the_table(
    template: str, names: list[str], hub: Path, tmp_path: Path
) -> None:
    answers: dict[tuple[str, ...], str] = {}
    right: dict[str, dict[str, bool]] = {}
    for name in names:
        origin = hub / "datasets" / SOURCES[name].hub
        run("data", name, "--from", str(origin), "-o", str(tmp_path), "--template", template, "--any-count")
        rows = pq.read_table(tmp_path / template / f"{name}.parquet").to_pylist()
        assert len(rows) == min(ROWS, SOURCES[name].rows or 0), name  # none left out
        assert len(load_benchmark(name, tmp_path / template)) == len(rows)
        right[name] = {}
        for number, row in enumerate(rows):
            gold, prompt = row["reward_model"]["ground_truth"], stored_key(row)
            # MathVerse asks some problems several times in the very same words: one answer for all of these.
            answers.setdefault(prompt, gold if number % 3 else "-98765.4321")
            right[name][row["extra_info"]["uid"]] = answers[prompt] == gold
        assert len(right[name]) == len(rows), name

    server = FakeServer(lambda body: f"So we get \\boxed{{{answers[key(body['messages'])]}}}.")
    try:
        words = ["--model", "m", "--base-url", server.url, "--data", str(tmp_path), "--template", template]
        run("eval", *names, *words, "--samples", "1", "--row", "new:m_x", "-o", str(tmp_path / "out"))
    finally:
        server.close()

    assert len(server.asked) == sum(map(len, right.values()))
    assert all(0.5 < sum(found.values()) / len(found) < 0.8 for found in right.values())
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["benchmarks"]
    wrong: list[str] = []
    for name in names:
        samples = load_samples(tmp_path / "out" / "samples" / f"{name}.jsonl")
        assert sorted(sample.uid for sample in samples) == sorted(right[name]), name
        wrong += [f"{s.uid}: {s.answer} {s.grade}" for s in samples if s.correct != right[name][s.uid]]
        assert summary[name]["problems"] == summary[name]["samples"] == len(right[name])
        assert summary[name]["finish_reasons"] == {"stop": len(right[name])}
    assert not wrong  # each published answer, put into the box as it is, is right, and the other is not

    table = run("table", str(tmp_path / "out"), "--format", "markdown")
    shown: dict[str, str] = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if line.startswith("| model |"):
            columns = cells
        elif line.startswith("| m | x | ours |"):
            shown |= zip(columns[3:], cells[3:], strict=True)
    assert set(shown) == {TITLES[name] for name in names}
    for name in names:
        cell = shown[TITLES[name]]
        assert cell.startswith(f"{100 * sum(right[name].values()) / len(right[name]):.1f} ["), name
        whole = SOURCES[name].rows or 0
        assert cell.endswith("†") == (len(right[name]) < whole)
        if len(right[name]) < whole:
            assert f"({TITLES[name]}: {len(right[name])} of {whole:,} problems)" in table
