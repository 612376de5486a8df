"""A corpus of solutions, in parts that can be read one at a time, in any order, on any machine."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hicra_verl.errors import HicraError

PART_BYTES = 4 << 20  # ours; bounds what a worker holds to a few hundred MB
TEXT_FIELDS = ("response", "output", "solution", "text")  # tried in this order; "output" is that of verl's dumps
SUCCESS_FIELDS = ("correct", "score", "acc")  # likewise
ANY_SOLUTION = "none"


class CorpusError(HicraError):
    """A corpus that cannot be read; the message names the file, the line, the field and the remedy."""


@dataclass(frozen=True)
class Part:
    """Some rows of a file: those that begin in a range of bytes (JSONL), or a range of row groups (parquet)."""

    path: str
    begin: int
    end: int


@dataclass(frozen=True)
class Corpus:
    """Files of solutions.

    Attributes:
        paths: JSONL or parquet files.
        field: the column with the text.
        success: the column that says whether a solution succeeded (true, or above zero); ``none`` to take all.
    """

    paths: tuple[str, ...]
    field: str
    success: str

    def parts(self) -> list[Part]:
        """The corpus cut into parts; the same files give the same parts."""
        return [part for path in self.paths for part in _parts_of(Path(path))]

    def fingerprint(self) -> list[dict[str, Any]]:
        """Each file's name, size and SHA-256."""
        rows = []
        for path in map(Path, self.paths):
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            rows.append({"file": path.name, "bytes": path.stat().st_size, "sha256": digest})
        return rows

    def read(self, part: Part) -> Iterator[str]:
        """The successful solutions of a part.

        Raises:
            CorpusError: naming the line and field of a row that is not one.
        """
        for where, row in _rows(part):
            text = row.get(self.field)
            if not isinstance(text, str):
                raise CorpusError(f"{where}: no text in the field {self.field!r}; --field names it")
            if self.success == ANY_SOLUTION:
                yield text
                continue
            value = row.get(self.success)
            if not isinstance(value, bool | int | float) or (isinstance(value, float) and math.isnan(value)):
                raise CorpusError(
                    f"{where}, field {self.success!r}: expected true, false or a number, got {value!r}; --success "
                    f"names another field, or `{ANY_SOLUTION}` to take every solution"
                )
            if value > 0:
                yield text

    def texts(self) -> Iterator[str]:
        """All successful solutions."""
        for part in self.parts():
            yield from self.read(part)


def open_corpus(paths: Sequence[Path], field: str | None = None, success: str | None = None) -> Corpus:
    """A corpus of files, or of the .jsonl and .parquet files of folders.

    Args:
        paths: files and folders.
        field: the column with the text; None finds one of ``TEXT_FIELDS``.
        success: the column that says what succeeded; None finds one of ``SUCCESS_FIELDS``.

    Raises:
        CorpusError: if there is no such file, or no such column.
    """
    files: list[Path] = []
    for path in paths:
        found = sorted([*path.glob("*.jsonl"), *path.glob("*.parquet")]) if path.is_dir() else [path]
        if not found:
            raise CorpusError(f"{path}: a folder without .jsonl or .parquet files")
        files += found
    for file in files:
        if not file.is_file():
            raise CorpusError(f"{file}: no such file; give JSONL or parquet files with one solution a row")
        if file.suffix not in (".jsonl", ".parquet"):
            raise CorpusError(f"{file}: expected .jsonl or .parquet")
    first = next((row for file in files for part in _parts_of(file) for _, row in _rows(part)), None)
    if first is None:
        raise CorpusError(f"{', '.join(map(str, files))}: no rows; expected one solution a row")
    field = field or _one_of(TEXT_FIELDS, first, files[0], "--field names the one with the text")
    success = success or _one_of(
        SUCCESS_FIELDS, first, files[0], f"--success names the one that says what succeeded, `{ANY_SOLUTION}` takes all"
    )
    return Corpus(tuple(str(file.absolute()) for file in files), field, success)


def _one_of(names: Sequence[str], row: dict[str, Any], path: Path, remedy: str) -> str:
    for name in names:
        if name in row:
            return name
    raise CorpusError(f"{path}: has the fields {', '.join(row)}, none of {', '.join(names)}; {remedy}")


def _parts_of(path: Path) -> list[Part]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        metadata = pq.ParquetFile(path).metadata
        parts, begin, held = [], 0, 0
        for group in range(metadata.num_row_groups):
            held += metadata.row_group(group).total_byte_size
            if held >= PART_BYTES or group == metadata.num_row_groups - 1:
                parts.append(Part(str(path), begin, group + 1))
                begin, held = group + 1, 0
        return parts
    size = path.stat().st_size
    return [Part(str(path), begin, min(size, begin + PART_BYTES)) for begin in range(0, size, PART_BYTES)]


def _rows(part: Part) -> Iterator[tuple[str, dict[str, Any]]]:
    if part.path.endswith(".parquet"):
        import pyarrow.parquet as pq

        number = 0
        for batch in pq.ParquetFile(part.path).iter_batches(row_groups=range(part.begin, part.end)):
            for row in batch.to_pylist():
                number += 1
                yield f"{part.path}, row {number} of row group {part.begin}", row
        return
    with open(part.path, "rb") as stream:
        stream.seek(max(0, part.begin - 1))
        if part.begin > 0:
            stream.readline()  # the line that the part before began
        while (start := stream.tell()) < part.end and (line := stream.readline()):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
                if not isinstance(row, dict):
                    raise ValueError("not an object")
            except ValueError as error:
                cut = "" if line.endswith(b"\n") else " (it has no end: was the file cut off?)"
                raise CorpusError(
                    f"{part.path}, line {_line_number(part.path, start)}: not a JSON object in UTF-8: {error}{cut}; "
                    "remove or repair the line"
                ) from error
            yield f"{part.path}, the line at byte {start}", row


def _line_number(path: str, position: int) -> int:
    with open(path, "rb") as stream:
        return stream.read(position).count(b"\n") + 1
