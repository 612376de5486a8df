"""What `hicra errors` wrote beside a run: why failed responses failed, and in what words the judge says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hicra_verl.analysis.errors import COUNTS, JUDGED
from hicra_verl.errors import HicraError
from hicra_verl.records import read_json
from hicra_verl.report.configuration import folder_of
from hicra_verl.verl_formats.dumps import lines_of

FOLDERS = ("errors", ".")
KINDS = {"training": "train", "validation": "validation"}
TEXTS = {"letter": "letter", "category": "category", "sentences": "answer", "rater": "rater", "kind": "of"}


def judged_files(path: Path) -> list[Path]:
    """Where the judge's words may be."""
    return [folder_of(path) / folder / name for folder in FOLDERS for name in (JUDGED, COUNTS)]


def judged(
    path: Path, sections: Sequence[dict[str, Any]], gaps: list[str]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The judged failures of a run, and the counts of each judge; both empty where nothing was judged.

    Args:
        path: the run's.
        sections: as the manifest has them: a failure is named by its place in its step's dump.
        gaps: where to note a file that cannot be read.
    """
    for folder in FOLDERS:
        words, counts = (folder_of(path) / folder / name for name in (JUDGED, COUNTS))
        if words.is_file() or counts.is_file():
            return _rows(words, sections, gaps), _judges(counts, gaps)
    return [], {}


def _judges(path: Path, gaps: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        judges = read_json(path, "remove it to leave it out").get("judges")
    except HicraError as error:
        gaps.append(f"{path.name}: {error.problem}")
        return {}
    return judges if isinstance(judges, dict) else {}


def _rows(path: Path, sections: Sequence[dict[str, Any]], gaps: list[str]) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    places = {(section["kind"], section["step"]): section for section in sections}
    found = []
    try:
        for line in lines_of(path, gaps):
            row: dict[str, Any] = {name: _text(line.data.get(field)) for name, field in TEXTS.items()}
            step, place = line.data.get("step"), line.data.get("row")
            section = places.get((KINDS.get(row["kind"], ""), step)) if isinstance(step, int) else None
            inside = section is not None and isinstance(place, int) and 0 <= place < section["count"]
            row |= {"step": step if isinstance(step, int) else None, "row": None}
            if section is not None and inside:
                row["row"] = section["first"] + place
            found.append(row)
    except HicraError as error:
        gaps.append(f"{path.name}: {error}")
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
