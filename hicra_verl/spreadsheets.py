"""Files that spreadsheets open, and that come back from them: no cell of theirs is ever a formula."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hicra_verl.files import writing
from hicra_verl.records import InputError, read_whole, short

_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")  # what a spreadsheet would run; the apostrophe makes it text


def escaped(cell: str) -> str:
    """A cell as it is written: on one line, and never a formula."""
    cell = " ".join(cell.split())
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescaped(cell: str) -> str:
    """What ``escaped`` was given, but for its white space."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a TSV; see ``files.writing`` for what can go wrong."""
    with writing(path) as stream:
        for row in (columns, *rows):
            stream.write("\t".join(map(escaped, row)) + "\n")


def read_table(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, cells by column) of a TSV; cells that a row lacks are empty, empty rows are skipped.

    Args:
        path: the file, in UTF-8, or in UTF-16 with its mark, as spreadsheets save "Unicode text".
        needed: the columns that it must have.

    Raises:
        InputError: if it is no such table.
    """
    data = read_whole(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError("not UTF-8", file=path, line=line, remedy="save the file as UTF-8") from error
    head, *lines = [line.removesuffix("\r") for line in text.split("\n")]
    columns = [unquoted(cell).strip() for cell in head.split("\t")]
    if not set(needed) <= set(columns):
        raise InputError(
            f"expected the columns {' and '.join(needed)}, separated by tabs; it has {short(head)}",
            file=path,
            line=1,
            remedy="keep the first line as it was",
        )
    for number, row in enumerate(lines, 2):
        if row.strip():
            cells = row.split("\t")
            yield number, dict(zip(columns, [*cells, *[""] * len(columns)], strict=False))


def unquoted(cell: str) -> str:
    """Spreadsheets put quotation marks about a cell that holds one."""
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV, with a column for each key. Numbers stay numbers."""
    listed = list(rows)
    columns = list(dict.fromkeys(key for row in listed for key in row))
    with writing(path, newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([_cell(row.get(column, "")) for column in columns] for row in listed)


def _cell(value: Any) -> Any:
    return escaped(value.encode("utf-8", "replace").decode()) if isinstance(value, str) else value
