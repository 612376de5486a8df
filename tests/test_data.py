"""Data: every known layout in its exact schema, repetitions, overlap with benchmarks, counts, and changed columns."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import DATA
from PIL import Image
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.data.overlap import NearIndex, key
from hicra_verl.data.prepare import prepare, read_rows
from hicra_verl.data.sources import SOURCES, DataError
from hicra_verl.evaluation.benchmarks import TITLES


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (28, 28), "red").save(stream, "PNG")
    return stream.getvalue()


DAPO = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n{}\n\nRemember to put your answer on its "
    "own line "
    'after "Answer:".'
)


def verl_schema(problem: str, answer: str) -> dict[str, Any]:
    return {
        "data_source": "math_dapo",
        "prompt": [{"content": DAPO.format(problem), "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": "9a9b6eb4-a1cb-49d1-8c1e-62eaf2f74079"},
    }


IMAGE = {"bytes": png(), "path": None}
# One row of each source as the hub has it, where its file lies, and what it must become: (text begins, answer, kind).
HUB_ROWS: dict[str, tuple[str, dict[str, Any], tuple[str, str, str]]] = {
    "dapo_math_17k": ("data/dapo-math-17k.parquet", verl_schema("What is 1+1?", "2"), ("What is 1+1?\n", "2", "math")),
    "deepscaler": (
        "deepscaler.json",
        {"problem": "What is 2+2?", "answer": "4", "solution": "It is 4."},
        ("What is 2+2?\n", "4", "math"),
    ),
    "hicra_math": ("train.parquet", verl_schema("What is 3+3?", "6"), ("What is 3+3?\n", "6", "math")),
    "virl39k": (
        "39Krelease.parquet",
        {
            "question": "<image>How many?",
            "answer": "\\boxed{3}",
            "PassRate_32BTrained": 0.5,
            "PassRate_7BBase": 0.1,
            "category": "Counting",
            "source": "s",
            "qid": "q-1",
            "image": ["images/a.png"],
        },
        ("<image>How many?\n", "3", "math"),
    ),
    "aime24": (
        "data/train-00000-of-00001.parquet",
        {"id": 60, "problem": "Find it.", "solution": "s", "answer": "025", "url": "u", "year": "2024"},
        ("Find it.\n", "025", "math"),
    ),
    "aime25": (
        "data/train-00000-of-00001.parquet",
        {"problem_idx": 1, "problem": "Find $b$.", "answer": 70, "problem_type": ["Number Theory"]},
        ("Find $b$.\n", "70", "math"),
    ),
    "math500": (
        "test.jsonl",
        {
            "problem": "P",
            "solution": "s",
            "answer": "\\frac{1}{2}",
            "subject": "Algebra",
            "level": 2,
            "unique_id": "test/1",
        },
        ("P\n", "\\frac{1}{2}", "math"),
    ),
    "amc23": (
        "test-00000-of-00001.parquet",
        {"id": 0, "question": "Q", "answer": "27.0", "url": "u"},
        ("Q\n", "27", "math"),
    ),
    "minerva": ("test-00000-of-00001.parquet", {"question": "Q", "answer": "1.6"}, ("Q\n", "1.6", "math")),
    "olympiad": (
        "data/test-00000-of-00001.parquet",
        {"id": 1606, "question": "Q", "final_answer": ["$2^{3}$"], "subfield": "Algebra"},
        ("Q\n", "2^{3}", "math"),
    ),
    "mathvista": (
        "data/testmini-00000-of-00001.parquet",
        {
            "pid": "1",
            "question": "How long?",
            "image": "images/1.jpg",
            "decoded_image": IMAGE,
            "choices": None,
            "unit": "cm",
            "precision": 1.0,
            "answer": "1.2",
            "question_type": "free_form",
            "answer_type": "float",
            "metadata": {"grade": "high school"},
            "query": "q",
        },
        ("<image>How long?\nGive the answer to 1 decimal places. (Unit: cm)", "1.2", "number"),
    ),
    "mathvision": (
        "data/test-00000-of-00001.parquet",
        {
            "id": "1",
            "question": "Which? <image1>",
            "options": ["A", "B"],
            "image": "images/1.jpg",
            "decoded_image": IMAGE,
            "answer": "B",
            "solution": None,
            "level": 2,
            "subject": "logic",
        },
        ("Which? <image>\n(A) A\n(B) B\n", "B", "choice"),
    ),
    "mathverse": (
        "testmini.parquet",
        {
            "sample_index": "1",
            "problem_index": "1",
            "problem_version": "Text Dominant",
            "question": "Find x. Choices: A:1 B:2",
            "image": IMAGE,
            "answer": "A",
            "question_type": "multi-choice",
            "metadata": {"split": "testmini"},
            "query_wo": "q",
            "query_cot": "q",
            "question_for_eval": "q",
        },
        ("<image>Find x.", "A", "choice"),
    ),
    "emma": (
        "Math/test-00000-of-00001.parquet",
        {
            "pid": "math_1",
            "question": "Look: <image_1> then <image_2>",
            "options": ["2", "3"],
            "answer": "A",
            "image_1": IMAGE,
            "image_2": IMAGE,
            "image_3": None,
            "image_4": None,
            "image_5": None,
            "solution": "",
            "subject": "Math",
        },
        ("Look: <image> then <image>\n(A) 2", "A", "choice"),
    ),
}
HUB_ROWS["hicra_vl"] = (
    "train.parquet",
    {**verl_schema("<image>How big?", "5"), "images": [{"bytes": png()}]},
    ("<image>How big?\n", "5", "math"),
)


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if "39K" in name:
        with zipfile.ZipFile(folder / "images.zip", "w") as archive:
            archive.writestr("images/a.png", png())


def test_every_source_has_a_row_here_and_every_benchmark_a_source() -> None:
    assert set(HUB_ROWS) == set(SOURCES)
    assert set(TITLES) == {name for name, source in SOURCES.items() if not source.training}


@pytest.mark.parametrize("name", HUB_ROWS)
def test_the_hub_layout(name: str, tmp_path: Path) -> None:
    file, row, (begins, answer, kind) = HUB_ROWS[name]
    write(tmp_path / "hub", file, [row])
    template = "vision" if "image" in begins else "qwen"
    account = prepare(name, SOURCES[name], tmp_path / "hub", tmp_path / "out", template, {}, any_count=True)
    (made,) = pq.read_table(tmp_path / "out" / f"{name}.parquet").to_pylist()
    content = made["prompt"][0]["content"]
    assert content.startswith(begins)
    assert content.endswith("put your final answer within \\boxed{}.")
    assert made["reward_model"]["ground_truth"] == answer
    assert made["extra_info"]["answer_kind"] == kind
    assert content.count("<image>") == len(made.get("images") or [])
    assert all(image["bytes"] == png() for image in made.get("images") or [])
    assert account.problems == 1
    assert len(account.output_sha256) == 64
    assert json.loads((tmp_path / "out" / f"{name}.json").read_text())["inputs"].keys() == {Path(file).name}


@pytest.mark.parametrize("name", HUB_ROWS)
def test_a_changed_column_is_refused(name: str, tmp_path: Path) -> None:
    file, row, _ = HUB_ROWS[name]
    column = SOURCES[name].layouts[0].columns[0]
    changed = {f"new_{key}" if key == column else key: value for key, value in row.items()}
    if name in ("math500",):
        changed.pop("problem", None)
    if name in ("amc23", "minerva", "olympiad", "aime24", "aime25"):
        changed = {f"new_{key}": value for key, value in row.items()}
    write(tmp_path, file, [changed])
    with pytest.raises(DataError, match=r"has the columns .* expected .*schema has changed"):
        prepare(name, SOURCES[name], tmp_path, tmp_path / "out", "qwen", {}, any_count=True)
    assert not (tmp_path / "out").exists()


def test_repetitions_and_benchmarks_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"problem": "What is $1+1$?", "answer": "2", "solution": ""},
        {"problem": "what is  $1 + 1$ ?", "answer": "3", "solution": ""},
        {
            "problem": "Find the sum of all integer bases b > 9 for which 17 is a divisor of 97",
            "answer": "70",
            "solution": "",
        },
        {"problem": "Nothing like it at all, in other words entirely", "answer": "1", "solution": ""},
        {"problem": "No answer", "answer": "", "solution": ""},
    ]
    write(tmp_path, "deepscaler.json", rows)
    aime = {"aime25": ["Find the sum of all integer bases $b>9$ for which $17$ is a divisor of $97$."]}
    account = prepare("deepscaler", SOURCES["deepscaler"], tmp_path, tmp_path / "out", "qwen", aime, any_count=True)
    assert (account.rows, account.repeated, account.contradicting, account.problems) == (5, 1, 1, 2)
    (left_out,) = account.in_a_benchmark
    assert left_out["benchmark"] == "aime25"
    assert left_out["similarity"] == 1.0
    assert account.unusable == ["deepscaler.json, row 5: no answer"]


def test_near_overlap_against_a_slow_reference() -> None:
    texts = ["a b c d e f", "a b c x e f", "p q r s", "a b", ""]
    index = NearIndex(texts)
    for text in [*texts, "a b c d e", "zzz"]:

        def triples(value: str) -> set[tuple[str, ...]]:
            words = key(value).split()
            return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}

        wanted = max(len(triples(text) & triples(other)) / len(triples(text) | triples(other)) for other in texts)
        found = index.nearest(text)
        assert (0.0 if found is None else found[0]) == pytest.approx(wanted)


def test_the_published_count_is_checked(tmp_path: Path) -> None:
    write(tmp_path, "test.jsonl", [HUB_ROWS["math500"][1]])
    with pytest.raises(DataError, match=r"1 problems in test\.jsonl, but 500 were published.*--any-count"):
        prepare("math500", SOURCES["math500"], tmp_path, tmp_path / "out", "qwen", {})


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("x.jsonl", b'{"a": 1}\n{"a"', "line 2: not valid JSON"),
        ("x.jsonl", b'{"a": "\xff"}\n', "line 1: not valid JSON"),
        ("x.parquet", b"PAR1", "cannot be read"),
        ("x.json", b"[{", "not valid JSON"),
        ("x.csv", b"a,b", "expected a .parquet, .jsonl or .json file"),
    ],
)
def test_unreadable_files(file: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_rows(tmp_path / file))


def test_the_command_on_local_files(tmp_path: Path) -> None:
    folder = DATA / "benchmarks"
    if not folder.exists():
        pytest.skip(f"benchmark files absent: {folder}")
    words = ["data", "aime24", "amc23", "minerva", "olympiad", "--from", str(folder), "-o", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    for name, count in {"aime24": 30, "amc23": 40, "minerva": 272, "olympiad": 675}.items():
        assert f"{count} problems of {count} rows" in done.output.replace("\n", " ")
        assert pq.read_table(tmp_path / "qwen" / f"{name}.parquet").num_rows == count


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "amc32"], "did you mean 'amc23'?"),
        (["data", "aime24", "--template", "quen"], "did you mean 'qwen'?"),
        (["data", "aime24", "--from", "/absent"], "holds neither **/*.parquet"),
    ],
)
def test_wrong_words(words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert message in done.output


def test_the_list() -> None:
    done = CliRunner().invoke(app, ["data"])
    assert done.exit_code == 0
    assert all(name in done.output for name in SOURCES)
