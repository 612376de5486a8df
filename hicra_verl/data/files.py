"""A data set's files on this machine, and their rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hicra_verl.data.sources import DataError, Source


def sha256(path: Path) -> str:
    """The file's hash (64 hex digits)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_files(name: str, source: Source, origin: Path) -> list[Path]:
    """The data set's files in a local copy: by the hub's layout, or by the data set's own name.

    Raises:
        DataError: if there are none.
    """
    if origin.is_file():
        return [origin]
    listing = [path.relative_to(origin).as_posix() for path in origin.rglob("*") if path.is_file()]
    found = [origin / path for path in source.select(listing)] or sorted(origin.glob(f"{name}.*"))
    if not found:
        raise DataError(
            f"{origin}: holds neither {', '.join(source.files)} (the hub's layout of {source.hub}) nor {name}.jsonl"
        )
    return found


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a .parquet, .jsonl or .json file, numbered from 1, one batch in memory at a time.

    Raises:
        DataError: if the file or a line of it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            number = 0
            for batch in pq.ParquetFile(path).iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        elif path.suffix == ".json":
            yield from enumerate(json.loads(path.read_text(encoding="utf-8")), 1)
        elif path.suffix == ".jsonl":
            with path.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        try:
                            yield number, json.loads(line.decode("utf-8"))
                        except ValueError as error:
                            raise DataError(
                                f"{path}, line {number}: not valid JSON ({error}); is it cut short?"
                            ) from error
        else:
            raise DataError(f"{path}: expected a .parquet, .jsonl or .json file")
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not valid JSON ({error})") from error
