"""Made-up solutions that say known phrases, candidates to judge, and a sample of both."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.grams.gramset import Gram, GramSet, save_grams

PHRASES = (
    "let's try a different approach",
    "we can use the fact that",
    "so the answer must be",
    "wait, that is not right",
    "this means that x",
)
TEXTS = (*PHRASES, "the sum of the", "apple and pear", "is the answer", "an apple is", "of the pear")
STEERS = {"let's try a different approach": "branching", "wait, that is not right": "backtracing"}


def candidates(folder: Path) -> Path:
    save_grams(GramSet("candidates", tuple(Gram(text, "other", "") for text in TEXTS)), folder / "candidates.json")
    return folder / "candidates.json"


def solutions(count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        filler = " ".join(rng.choices(["apple", "pear", "sum", "of", "the", "is", "and"], k=20))
        said = [phrase for phrase in PHRASES if rng.random() < 0.5]
        text = f"{filler}. " + " ".join(f"{phrase.capitalize()} {rng.choice(['it', 'this'])}." for phrase in said)
        rows.append({"response": text, "correct": number % 3 != 0})
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sample_of(folder: Path, *more: str) -> Any:
    words = ["precision", "sample", str(folder / "c.jsonl"), "--set", f"{candidates(folder)}=5", "--random", "6"]
    return CliRunner().invoke(app, [*words, "-o", str(folder / "sample"), *more])
