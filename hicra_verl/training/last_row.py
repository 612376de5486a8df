"""The metrics of a step whose checkpoint is written before they are logged.

verl saves a step's checkpoint, validates (minutes), and only then logs the step. A run killed in between goes on with
the next step, and the step's metrics would be lost. So they are kept beside the checkpoint before it is written; a
trainer that goes on from it logs them first, and forgets them once they are logged.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hicra_verl.files import write_json
from hicra_verl.records import InputError, read_json
from hicra_verl.verl_formats.checkpoints import tracked_step

FILE = "last_row.json"


def keep(run: Path, step: int, metrics: Mapping[str, Any]) -> None:
    """Keep a step's metrics, those that are numbers, until ``forget``."""
    row = {name: float(value) for name, value in metrics.items() if isinstance(value, numbers.Real)}
    write_json(run / FILE, {"step": step, "data": row}, indent=None)


def forget(run: Path, step: int) -> None:
    """The step has been logged."""
    kept = _read(run)
    if kept is not None and kept["step"] == step:
        (run / FILE).unlink()


def unlogged(run: Path) -> tuple[int, dict[str, float]] | None:
    """The step that the run goes on from, and its metrics, if they were not logged."""
    kept = _read(run)
    if kept is None or kept["step"] != tracked_step(run):  # killed before its checkpoint was whole: it is done again
        return None
    return kept["step"], kept["data"]


def _read(run: Path) -> dict[str, Any] | None:
    path = run / FILE
    if not path.exists():
        return None
    kept = read_json(path, "move it away; the metrics of one step are lost")
    data = kept.get("data")
    if (
        not isinstance(kept.get("step"), int)
        or not isinstance(data, dict)
        or not all(isinstance(value, int | float) for value in data.values())
    ):
        raise InputError("does not hold a step and its metrics as numbers", file=path, remedy="move it away")
    return kept
