"""The one reader of rows, JSONL or Parquet, and the one rule of what a field may hold."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hicra_verl.errors import HicraError

T = TypeVar("T", dict[str, Any], list[Any])

SUCCESS_FIELDS = ("correct", "score", "acc")
"""The fields that say whether a response succeeded, in the order they are looked for."""

MAX_BYTES = 1 << 30  # ours, of what is read at once; the longest data sets so read take a tenth

_REPAIR = "remove or repair the line"


class InputError(HicraError):
    """A file or a row that cannot be used; the message names the file, the line, the field and the remedy."""


@dataclass(frozen=True)
class Record:
    """One row of a file.

    Attributes:
        file: where it stands.
        line: its line there, or its row in Parquet, counted from 1.
        data: the row.
    """

    file: Path
    line: int
    data: dict[str, Any]

    def error(self, problem: str, field: str | None = None, remedy: str | None = None) -> InputError:
        """What is wrong with this row, ready to be raised."""
        return InputError(problem, file=self.file, line=self.line, field=field, remedy=remedy)

    def text(self, *names: str, remedy: str | None = None) -> str:
        """The first of these fields that is there.

        Raises:
            InputError: if none is there, or it holds no text.
        """
        name = next((name for name in names if name in self.data), None)
        if name is None:
            wanted, have = " or ".join(map(repr, names)), ", ".join(map(repr, self.data)) or "nothing"
            raise self.error(f"expected the field {wanted} with text; the row has {have}", None, remedy)
        value = self.data[name]
        if not isinstance(value, str):
            raise self.error(f"expected text, got {short(value)}", name, remedy)
        check_text(value, self, name)
        return value

    def success(self, *names: str, remedy: str | None = None) -> bool:
        """Whether the response succeeded: the first of these fields that is there is true, or a number above zero.

        Raises:
            InputError: if none is there, or it is neither true, false nor a finite number (the text "false" is none).
        """
        names = names or SUCCESS_FIELDS
        name = next((name for name in names if name in self.data), None)
        if name is None:
            raise self.error(f"expected the field {' or '.join(map(repr, names))}: did it succeed?", None, remedy)
        return self.number(name, remedy) > 0

    def number(self, name: str, remedy: str | None = None) -> float:
        """A field that is true, false or a finite number.

        Raises:
            InputError: if it is not.
        """
        value = self.data.get(name)
        if not isinstance(value, bool | int | float) or abs(value) > 1e300 or math.isnan(value):
            raise self.error(f"expected true, false or a number, got {short(value)}", name, remedy)
        return float(value)


def read_records(path: Path) -> Iterator[Record]:
    """The rows of a ``.parquet`` file, or of a JSONL file under any other name; blank lines are skipped.

    Raises:
        InputError: on a missing or unreadable file, a line that is not a JSON object in UTF-8, or a file without rows.
    """
    rows = _parquet(path) if path.suffix == ".parquet" else _jsonl(path)
    try:
        first = next(rows, None)
        if first is None:
            raise InputError("holds no rows", file=path, remedy="expected one JSON object a line, or a Parquet table")
        yield first
        yield from rows
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise InputError(reason, file=path, remedy="give a JSONL or Parquet file with one row a response") from error


def read_json(path: Path, remedy: str, kind: type[T] = dict) -> T:  # type: ignore[assignment]
    """The JSON object (or, by ``kind``, list) that a file holds.

    Raises:
        InputError: if the file cannot be read, or holds something else; ``remedy`` says what to do then.
    """
    try:
        value = json.loads(read_whole(path))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy=remedy) from error
    except (RecursionError, ValueError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"not readable JSON ({why})", file=path, remedy=remedy) from error
    if not isinstance(value, kind):
        expected = "list" if kind is list else "object"
        raise InputError(f"expected a JSON {expected}, got {short(value)}", file=path, remedy=remedy)
    return value


def read_whole(path: Path) -> bytes:
    """What a file or a pipe of at most ``MAX_BYTES`` holds.

    Raises:
        InputError: if it is longer, or a device, which may have no end.
    """
    with path.open("rb") as stream:
        if path.is_char_device() or path.is_block_device():
            raise InputError("is a device, expected a file", file=path)
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"is longer than {MAX_BYTES >> 20} MiB", file=path, remedy="is it another file?")
    return data


def parse_line(raw: bytes, path: Path, line: int) -> Record:
    """One line of a JSONL file.

    Raises:
        InputError: if it is not a JSON object in UTF-8.
    """
    try:
        value = json.loads(raw.decode("utf-8-sig" if line == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"byte 0x{raw[error.start]:02x} at position {error.start} is not valid UTF-8",
            file=path,
            line=line,
            remedy="save the file as UTF-8",
        ) from error
    except json.JSONDecodeError as error:
        cut = "" if raw.endswith(b"\n") else " (the line has no end: was the file cut off?)"
        problem = f"column {error.colno}: not valid JSON: {error.msg}{cut}"
        raise InputError(problem, file=path, line=line, remedy=_REPAIR) from error
    except (RecursionError, ValueError) as error:  # nested too deep; a number of thousands of digits
        why = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"not readable JSON: {why}", file=path, line=line, remedy=_REPAIR) from error
    if not isinstance(value, dict):
        raise InputError(f"expected a JSON object, got {short(value)}", file=path, line=line)
    return Record(path, line, value)


def check_text(value: str, record: Record, field: str) -> None:
    """Refuse half of a character, which no file and no tokenizer takes.

    Raises:
        InputError: if there is one.
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise record.error(
            f"holds half of a character ({value[error.start]!r})", field, "was an emoji cut in two? repair the text"
        ) from error


def whole_number(text: str) -> int | None:
    """A whole number from 0 as people type it; None for anything else, such as "²" or a number of 19 digits."""
    return int(text) if re.fullmatch(r"\d{1,18}", text.strip(), re.ASCII) else None


def short(value: Any) -> str:
    """A value as a message shows it: what it is, and at most some of it."""
    if value is None:
        return "null"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, int) and abs(value) > 10**40:
        return "a huge number"
    shown = json.dumps(value, default=str)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _jsonl(path: Path) -> Iterator[Record]:
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            if raw.strip():
                yield parse_line(raw, path, number)


def _parquet(path: Path) -> Iterator[Record]:
    number = 0
    with open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=1024):  # with pictures, some 200 MB
            for row in batch.to_pylist():
                number += 1
                yield Record(path, number, row)


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """A ``pyarrow.parquet.ParquetFile``.

    Raises:
        InputError: if it is none, or what is read of it cannot be.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except HicraError:
        raise
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:  # a date beyond the year 9999, say
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"not a readable Parquet file ({reason})", file=path, remedy="make it again") from error
