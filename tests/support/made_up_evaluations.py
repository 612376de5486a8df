"""Benchmarks, engines and results of evaluations for the table of bad inputs: small, fast, and spoilt on demand."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hicra_verl.evaluation import protocol
from hicra_verl.evaluation.sampling import Completion, Request

Change = Callable[[dict[str, Any]], None]


def nothing(value: Any) -> None:
    """Spoils nothing."""


def problem(number: int, name: str = "amc23") -> dict[str, Any]:
    """A row in verl's format."""
    return {
        "prompt": [{"role": "user", "content": f"What is {number} + 1?"}],
        "reward_model": {"style": "rule", "ground_truth": str(number + 1)},
        "extra_info": {"uid": f"{name}-{number}", "index": number},
    }


def benchmark(change: Change = nothing, count: int = 2, name: str = "amc23") -> Callable[[Path], None]:
    """Writes a benchmark's file, its second row changed."""

    def write(path: Path) -> None:
        rows = [problem(number, name) for number in range(count)]
        if count > 1:
            change(rows[1])
        pq.write_table(pa.Table.from_pylist(rows), path)

    return write


def columns(**values: list[Any]) -> Callable[[Path], None]:
    """Writes a Parquet file of these columns."""
    return lambda path: pq.write_table(pa.table(values), path)


def answering(text: str = "\\boxed{1}", tokens: Any = 3) -> Callable[[Path], Callable[[], None]]:
    """Puts an engine that always answers the same in the place of the server."""

    class Engine:
        def __init__(self, *arguments: Any) -> None: ...

        def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
            for request in requests:
                yield Completion(request, text, "stop", tokens)

    def prepare(folder: Path) -> Callable[[], None]:
        real, protocol.EndpointEngine = protocol.EndpointEngine, Engine  # type: ignore[misc, assignment]

        def undo() -> None:
            protocol.EndpointEngine = real  # type: ignore[misc]

        return undo

    return prepare


def without(module: str) -> Callable[[Path], Callable[[], None]]:
    """As if a package were not installed."""

    def prepare(folder: Path) -> Callable[[], None]:
        kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == module}
        sys.modules[module] = None  # type: ignore[assignment]

        def undo() -> None:
            del sys.modules[module]
            sys.modules.update(kept)

        return undo

    return prepare


def words(*more: str, name: str = "amc23") -> list[str]:
    """An evaluation that asks a server that is not there."""
    asked = ["eval", name, "--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--timeout-s", "1"]
    return [*asked, *([] if "-o" in more else ["-o", "out"]), *more]


def sample(uid: str = "amc23-0", number: int = 0, correct: bool = True, **more: Any) -> dict[str, Any]:
    """A line of a samples file."""
    return {
        "uid": uid,
        "sample": number,
        "seed": 1,
        "response": "\\boxed{1}",
        "finish_reason": "stop",
        "tokens": 3,
        "answer": "1",
        "correct": correct,
        "grade": "equal",
        "refusal": None,
        **more,
    }


def lines(*rows: dict[str, Any]) -> str:
    """Rows as JSONL."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def figures(**more: Any) -> dict[str, Any]:
    """A benchmark's figures: one problem, one sample, right."""
    return {
        "problems": 1,
        "samples": 1,
        "pass@1": 1.0,
        "pass@1_interval": [1.0, 1.0],
        "grades": {"equal": 1},
        "per_problem": {"amc23-0": [1, 1]},
        **more,
    }


def result(
    folder: str = "r", settings: Any = None, benchmarks: Any = None, samples: str | None = None
) -> dict[str, str]:
    """The files of a finished evaluation, as a case's ``files``."""
    made = {
        f"{folder}/settings.json": json.dumps({"model": "m", "row": None, "seed": 0, **(settings or {})}),
        f"{folder}/summary.json": json.dumps(
            {"benchmarks": {"amc23": figures()} if benchmarks is None else benchmarks}
        ),
    }
    return made if samples is None else {**made, f"{folder}/samples/amc23.jsonl": samples}


def png(width: int = 2, height: int = 2, content: bytes | None = None) -> bytes:
    """A small picture; or one that says it is large, or whose content is spoilt."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress((b"\0" + b"\7" * 6) * 2) if content is None else content
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
