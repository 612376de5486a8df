"""The benchmarks of the paper's tables, and others of one's own, and how each is sampled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hicra_verl.data.problems import IMAGE
from hicra_verl.data.sources import SOURCES
from hicra_verl.errors import HicraError, nearest
from hicra_verl.grading.answers import Kind

TEMPERATURE = 0.6  # paper: DeepSeek-R1's protocol
TOP_P = 0.95  # ours: the paper gives none; DeepSeek-R1's protocol has this one
BENCHMARKS = {name: source for name, source in SOURCES.items() if not source.training}
SAMPLES = {name: source.samples for name, source in BENCHMARKS.items() if source.samples > 1}
TITLES = {name: source.title for name, source in BENCHMARKS.items()}


class EvaluationError(HicraError):
    """An evaluation that cannot go on; the message says why, what is safe, and what to do."""


@dataclass(frozen=True)
class Item:
    """A benchmark's problem: its identity, its prompt as chat messages (images as verl stores them), its answer."""

    benchmark: str
    uid: str
    messages: list[dict[str, Any]]
    images: list[dict[str, Any]]
    answer: str | list[str]
    kind: Kind
    options: list[str] | None


def benchmark_file(name: str, folder: Path) -> Path:
    """The file of a benchmark: one of ``TITLES``, or any other in verl's format that lies in ``folder``.

    Raises:
        EvaluationError: if there is none.
    """
    path = folder / f"{name}.parquet"
    if re.fullmatch(r"[\w-]+", name) and path.exists():
        return path
    if name in TITLES:
        raise EvaluationError(f"{path}: absent; `hicra data {name} --output …` writes it (see its --template)")
    raise EvaluationError(
        f"{name}: no such benchmark; {nearest(name, list(TITLES))} One of your own is a file in verl's format: {path}"
    )


def load_benchmark(name: str, folder: Path, limit: int | None = None) -> list[Item]:
    """The first ``limit`` problems of a benchmark (all if None), each fit to be asked.

    A file of one's own needs ``prompt`` and ``reward_model.ground_truth``; ``extra_info`` may hold a ``uid`` (or an
    ``index``), the ``answer_kind`` and the ``options`` as `hicra data` writes them.

    Raises:
        EvaluationError: if there is no such file, or a row of it could not be asked or told from another.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = benchmark_file(name, folder)
    try:
        rows = pq.read_table(path).slice(0, limit).to_pylist()
    except pa.ArrowException as error:
        raise EvaluationError(f"{path}: cannot be read ({error}); write it anew") from error
    if not rows:
        raise EvaluationError(f"{path}: holds no problem; write it anew")
    items = [_item(name, row, number, path) for number, row in enumerate(rows)]
    seen: set[str] = set()
    for item in items:
        if item.uid in seen:
            raise EvaluationError(f"{path}: two problems are called {item.uid}; every extra_info.uid must be another")
        seen.add(item.uid)
    return items


def _item(name: str, row: Mapping[str, Any], number: int, path: Path) -> Item:
    extra = row.get("extra_info") or {}
    uid = str(extra.get("uid") or f"{name}-{extra.get('index', number)}")
    try:
        messages = [dict(message) for message in row["prompt"]]
        tags = sum(message["content"].count(IMAGE) for message in messages)
        answer = row["reward_model"]["ground_truth"]
        if answer in (None, "", []):
            raise ValueError("no answer")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EvaluationError(
            f"{path}: {uid} is not in verl's format ({type(error).__name__}: {error}); it needs prompt (chat messages) "
            "and reward_model.ground_truth"
        ) from error
    images = row.get("images") or []
    if tags != len(images):
        raise EvaluationError(
            f"{path}: {uid} has {tags} {IMAGE} in its prompt but {len(images)} images; write it with as many (if "
            f"`hicra data {name}` wrote it, do so anew)"
        )
    if not all(image.get("bytes") for image in images):
        raise EvaluationError(f"{path}: {uid} has an image without bytes; put the image itself into the row")
    golds = [str(part) for part in answer] if isinstance(answer, list) else str(answer)
    return Item(name, uid, messages, images, golds, extra.get("answer_kind") or "math", extra.get("options"))
