"""Tables written for spreadsheets and programs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hicra_verl.files import writing

# What a spreadsheet would run, in the widths that it knows.
_FORMULA = re.compile(r"[\s']*[=+\-@＝＋－＠]")


def escaped(text: str) -> str:
    """A text that no spreadsheet runs as a formula: an apostrophe makes it text."""
    return f"'{text}" if _FORMULA.match(text) else text


def unescaped(text: str) -> str:
    """What ``escaped`` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV, with a column for each key; see ``files.writing`` for what can go wrong.

    Texts are ``escaped``; numbers stay numbers.
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
    return escaped(cell.encode("utf-8", "replace").decode())
