"""The benchmarks of the paper's tables and how each is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hicra_verl.config import nearest
from hicra_verl.grading.answers import Kind

TEMPERATURE = 0.6  # paper: DeepSeek-R1's protocol
SAMPLES = {"aime24": 32, "aime25": 32, "amc23": 4}  # paper: benchmarks under 100 items are averaged; 1 for the rest
TITLES = {
    "aime24": "AIME24",
    "aime25": "AIME25",
    "math500": "MATH500",
    "amc23": "AMC23",
    "minerva": "Minerva",
    "olympiad": "Olympiad",
    "mathvista": "MathVista",
    "mathvision": "MathVision",
    "mathverse": "MathVerse",
    "emma": "EMMA",
}


class EvaluationError(ValueError):
    """An evaluation that cannot go on; the message says why, what is safe, and what to do."""


@dataclass(frozen=True)
class Item:
    """A benchmark's problem: its identity, its prompt as chat messages (images as verl stores them), its answer."""

    benchmark: str
    uid: str
    messages: list[dict[str, Any]]
    images: list[dict[str, Any]]
    answer: str
    kind: Kind
    options: list[str] | None


def load_benchmark(name: str, folder: Path, limit: int | None = None) -> list[Item]:
    """The first ``limit`` problems of a benchmark that `hicra data` wrote to ``folder`` (all if None).

    Raises:
        EvaluationError: if there is no such benchmark or file.
    """
    import pyarrow.parquet as pq

    if name not in TITLES:
        raise EvaluationError(f"{name}: no such benchmark; {nearest(name, list(TITLES))}")
    path = folder / f"{name}.parquet"
    if not path.exists():
        raise EvaluationError(f"{path}: absent; `hicra data {name} --output …` writes it (see its --template)")
    rows = pq.read_table(path).to_pylist()[:limit]
    return [
        Item(
            name,
            row["extra_info"]["uid"],
            row["prompt"],
            row.get("images") or [],
            row["reward_model"]["ground_truth"],
            row["extra_info"]["answer_kind"],
            row["extra_info"]["options"],
        )
        for row in rows
    ]
