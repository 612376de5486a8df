"""The benchmarks of the paper's tables, and others of one's own, and how each is sampled."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from hicra_verl.data.images import FORMATS, media_type
from hicra_verl.data.problems import IMAGE
from hicra_verl.data.sources import SOURCES
from hicra_verl.errors import HicraError, nearest
from hicra_verl.grading.answers import Kind
from hicra_verl.records import Record, read_records

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
        EvaluationError, InputError: if there is no such file, or a row of it could not be asked or told from another.
    """
    path = benchmark_file(name, folder)
    items: list[Item] = []
    seen: set[str] = set()
    for record in islice(read_records(path), limit):
        item = _item(name, record)
        if item.uid in seen:
            raise record.error(f"two problems are called {item.uid}", None, "every extra_info.uid must be another")
        seen.add(item.uid)
        items.append(item)
    return items


def load_benchmarks(names: Sequence[str], folder: Path, limit: int | None = None) -> list[Item]:
    """The problems of several benchmarks; see ``load_benchmark``.

    Raises:
        EvaluationError: also if one benchmark is named twice, by whatever names.
    """
    named: dict[tuple[int, int], str] = {}
    items = []
    for name in names:
        found = benchmark_file(name, folder).stat()
        other = named.get((found.st_dev, found.st_ino))
        if other is not None:
            same = f"{name} is named twice" if other == name else f"{other} and {name} are the same file"
            raise EvaluationError(f"{same}, and every problem would count twice", remedy="name it once")
        named[found.st_dev, found.st_ino] = name
        items += load_benchmark(name, folder, limit)
    return items


def digest(items: Iterable[Item]) -> str:
    """The hash of all that is asked and expected, pictures included (64 hex digits)."""
    total = hashlib.sha256()
    for item in items:
        pictures = [hashlib.sha256(image["bytes"]).hexdigest() for image in item.images]
        parts = [item.uid, item.messages, pictures, item.answer, item.kind, item.options]
        total.update(json.dumps(parts, sort_keys=True).encode() + b"\n")
    return total.hexdigest()


def _item(name: str, record: Record) -> Item:
    row = record.data
    uid = f"row {record.line}"
    try:
        extra = row.get("extra_info") or {}
        uid = str(extra.get("uid") or f"{name}-{extra.get('index', record.line - 1)}")
        messages = [{"role": str(message["role"]), "content": message["content"]} for message in row["prompt"]]
        if not messages or not all(isinstance(message["content"], str) for message in messages):
            raise TypeError("the content of a message is not text")
        answer = row["reward_model"]["ground_truth"]
        golds = [str(part) for part in answer] if isinstance(answer, list) else str(answer)
        if answer is None or not golds:
            raise ValueError("no answer")
        kind: Kind = extra.get("answer_kind") or "math"
        options = extra.get("options")
        if kind not in get_args(Kind):
            raise ValueError(f"answer_kind {kind!r} is none of {', '.join(get_args(Kind))}")
        options = None if options is None else [str(option) for option in options]
        images = [{"bytes": image.get("bytes")} for image in row.get("images") or []]
        json.dumps([uid, messages, golds, options], ensure_ascii=False).encode()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise record.error(
            f"{uid} is not in verl's format ({type(error).__name__}: {error})",
            None,
            "it needs prompt (chat messages) and reward_model.ground_truth",
        ) from error
    tags = sum(message["content"].count(IMAGE) for message in messages)
    if tags != len(images):
        raise record.error(
            f"{uid} has {tags} {IMAGE} in its prompt but {len(images)} images",
            None,
            f"write it with as many (if `hicra data {name}` wrote it, do so anew)",
        )
    for image in images:
        if not isinstance(image["bytes"], bytes) or not image["bytes"]:
            raise record.error(f"{uid} has an image without bytes", "images", "put the image itself into the row")
        if media_type(image["bytes"]) is None:
            raise record.error(f"{uid} has an image that is none", "images", f"known are {', '.join(FORMATS)}")
    return Item(name, uid, messages, images, golds, kind, options)
