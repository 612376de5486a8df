"""What `hicra errors` wrote beside a run: why failed responses failed, and in what words the judge says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hicra_verl.errors import HicraError
from hicra_verl.records import read_json
from hicra_verl.report.configuration import folder_of

PLACES = ("errors/errors.json", "errors.json")
FIELDS = ("problem", "response", "reference", "letter", "category", "sentences")


def judged_files(path: Path) -> list[Path]:
    """Where the judge's words may be."""
    return [folder_of(path) / name for name in PLACES]


def judged(path: Path, gaps: list[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The judged failures of a run, and the counts of each judge; both empty where nothing was judged.

    Args:
        path: the run's.
        gaps: where to note a file that cannot be read.
    """
    for file in judged_files(path):
        if file.is_file():
            try:
                found = read_json(file, "remove it to leave it out")
            except HicraError as error:
                gaps.append(f"{file.name}: {error.problem}")
                continue
            rows = found.get("judged")
            judges = found.get("judges")
            return (
                [_row(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else [],
                judges if isinstance(judges, dict) else {},
            )
    return [], {}


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """A judged failure with the fields that the page shows, whatever else it holds."""
    texts = {name: row[name] if isinstance(row.get(name), str) else "" for name in FIELDS}
    numbers = {name: row[name] if isinstance(row.get(name), int) else None for name in ("step", "row")}
    return {**numbers, **texts, "kind": row["kind"] if isinstance(row.get("kind"), str) else ""}
