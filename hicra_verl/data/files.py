"""A data set's files on this machine, and their rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hicra_verl.data.problems import DataError
from hicra_verl.data.sources import Source
from hicra_verl.records import Record, read_json, read_records, short


def find_files(name: str, source: Source, origin: Path) -> dict[str, Path]:
    """The data set's files in a local copy, by their names there: by the hub's layout, or by the data set's own name.

    Raises:
        DataError: if there are none.
    """
    if origin.is_file():
        return {origin.name: origin}
    if not origin.is_dir():
        raise DataError("no such folder or file", file=origin, remedy=f"--from takes a folder, or a file of {name}")
    listing = [path.relative_to(origin).as_posix() for path in origin.rglob("*") if path.is_file()]
    found = source.select(listing) or [path.name for path in sorted(origin.glob(f"{name}.*"))]
    if not found:
        raise DataError(
            f"holds neither {', '.join(source.files)} (the hub's layout of {source.hub}) nor {name}.jsonl", file=origin
        )
    return {path: origin / path for path in found}


def read_rows(path: Path) -> Iterator[Record]:
    """The rows of a .parquet, .jsonl or .json file (a list of objects).

    Raises:
        DataError, InputError: if the file or a row of it cannot be read.
    """
    if path.suffix in (".parquet", ".jsonl"):
        yield from read_records(path)
        return
    if path.suffix != ".json":
        raise DataError("expected a .parquet, .jsonl or .json file", file=path)
    for number, row in enumerate(read_json(path, "fetch or copy it again", list), 1):
        if not isinstance(row, dict):
            raise DataError(f"expected an object, got {short(row)}", file=path, line=f"row {number}")
        yield Record(path, number, row)
