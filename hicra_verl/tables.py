"""Tables written for spreadsheets and programs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hicra_verl.files import writing

_FORMULA = re.compile(r"\s*[=+\-@]")


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV, with a column for each key; see ``files.writing`` for what can go wrong.

    A text that a spreadsheet would run as a formula gets an apostrophe before it. Numbers stay numbers.
    """
    listed = list(rows)
    columns = list(dict.fromkeys(key for row in listed for key in row))
    with writing(path, newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([_safe(row.get(column, "")) for column in columns] for row in listed)


def _safe(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    cell = cell.encode("utf-8", "replace").decode()
    return f"'{cell}" if _FORMULA.match(cell) else cell
