"""A corpus of solutions, in parts that can be read one at a time, in any order, on any machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hicra_verl.files import identity, sha256_of
from hicra_verl.records import SUCCESS_FIELDS, InputError, Record, open_parquet, parse_line

PART_BYTES = 4 << 20  # ours; bounds what a worker holds to a few hundred MB
TEXT_FIELDS = ("response", "output", "solution", "text")  # tried in this order; "output" is that of verl's dumps
ANY_SOLUTION = "none"
LOGS = (".answers.jsonl", ".judgements.jsonl")  # of `hicra annotate` and `hicra review`


class CorpusError(InputError):
    """A corpus that cannot be used; the message names the file, the line, the field and the remedy."""


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
        files = map(Path, self.paths)
        return [{"file": file.name, "bytes": file.stat().st_size, "sha256": sha256_of(file)} for file in files]

    def read(self, part: Part) -> Iterator[str]:
        """The successful solutions of a part.

        Raises:
            InputError: naming the line and field of a row that is not one.
        """
        other = f"--success names another field, or `{ANY_SOLUTION}` to take every solution"
        for row in _rows(part):
            try:
                text = row.text(self.field, remedy="--field names it")
                if self.success == ANY_SOLUTION or row.number(self.success, remedy=other) > 0:
                    yield text
            except InputError as error:
                error.line = _line_of(part, row.line)
                raise

    def texts(self) -> Iterator[str]:
        """All successful solutions."""
        for part in self.parts():
            yield from self.read(part)


def solution_files(paths: Sequence[Path]) -> list[Path]:
    """The files of a corpus: those given, and the .jsonl and .parquet files of folders, but no command's own logs.

    Raises:
        CorpusError: if there is no such file, or one is given twice.
    """
    files: dict[tuple[int, int], Path] = {}
    for path in paths:
        inside = sorted([*path.glob("*.jsonl"), *path.glob("*.parquet")]) if path.is_dir() else [path]
        found = [file for file in inside if file == path or not file.name.endswith(LOGS)]
        if not found:
            raise CorpusError("a folder without .jsonl or .parquet files", file=path)
        for file in found:
            if file.exists() and not file.is_file():
                raise CorpusError("no regular file, which is read more than once", file=file, remedy="save it as one")
            if not file.is_file():
                raise CorpusError("no such file; give JSONL or Parquet files with one solution a row", file=file)
            if file.suffix not in (".jsonl", ".parquet"):
                raise CorpusError("expected .jsonl or .parquet", file=file)
            if before := files.get(identity(file)):
                given = "is given twice" if before == file else f"is {before} once more"
                raise CorpusError(f"{given}: its solutions would count twice", file=file, remedy="give it once")
            files[identity(file)] = file
    return list(files.values())


def open_corpus(paths: Sequence[Path], field: str | None = None, success: str | None = None) -> Corpus:
    """A corpus of files; see ``solution_files``.

    Args:
        paths: files and folders.
        field: the column with the text; None finds one of ``TEXT_FIELDS``.
        success: the column that says what succeeded; None finds one of ``SUCCESS_FIELDS``.

    Raises:
        CorpusError: if there is no such file, or no such column, or a file is given twice.
    """
    files = solution_files(paths)
    first = next((row.data for file in files for part in _parts_of(file) for row in _rows(part)), None)
    if first is None:
        raise CorpusError("no rows; expected one solution a row", file=", ".join(map(str, files)))
    field = field or _one_of(TEXT_FIELDS, first, files[0], "--field names the one with the text")
    success = success or _one_of(
        SUCCESS_FIELDS, first, files[0], f"--success names the one that says what succeeded, `{ANY_SOLUTION}` takes all"
    )
    return Corpus(tuple(str(file.absolute()) for file in files), field, success)


def _one_of(names: Sequence[str], row: dict[str, Any], path: Path, remedy: str) -> str:
    for name in names:
        if name in row:
            return name
    problem = f"has the fields {', '.join(row)}, none of {', '.join(names)}"
    raise CorpusError(problem, file=path, remedy=remedy)


def _parts_of(path: Path) -> list[Part]:
    if path.suffix == ".parquet":
        with open_parquet(path) as file:
            metadata = file.metadata
        parts, begin, held = [], 0, 0
        for group in range(metadata.num_row_groups):
            held += metadata.row_group(group).total_byte_size
            if held >= PART_BYTES or group == metadata.num_row_groups - 1:
                parts.append(Part(str(path), begin, group + 1))
                begin, held = group + 1, 0
        return parts
    size = path.stat().st_size
    return [Part(str(path), begin, min(size, begin + PART_BYTES)) for begin in range(0, size, PART_BYTES)]


def _rows(part: Part) -> Iterator[Record]:
    """The rows of a part; a record's ``line`` is its first byte (JSONL) or row in the part, from 1."""
    path = Path(part.path)
    if path.suffix == ".parquet":
        number = 0
        with open_parquet(path) as file:
            for batch in file.iter_batches(row_groups=range(part.begin, part.end)):
                for row in batch.to_pylist():
                    number += 1
                    yield Record(path, number, row)
        return
    with path.open("rb") as stream:
        stream.seek(max(0, part.begin - 1))
        if part.begin > 0:
            stream.readline()  # the line that the part before began
        while (start := stream.tell()) < part.end and (line := stream.readline()):
            if not line.isspace():
                try:
                    yield parse_line(line, path, start + 1)
                except InputError as error:
                    error.line = _line_of(part, start + 1)
                    raise


def _line_of(part: Part, place: int) -> int:
    """The line, or row, of its file that ``_rows`` gave a place; only errors ask, so that reading need not count."""
    path = Path(part.path)
    if path.suffix == ".parquet":
        with open_parquet(path) as file:
            return place + sum(int(file.metadata.row_group(group).num_rows) for group in range(part.begin))
    with path.open("rb") as stream:
        return stream.read(place - 1).count(b"\n") + 1
