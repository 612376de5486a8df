"""verl's checkpoint folders: which ones are whole, and which one a run goes on from."""

from __future__ import annotations

import shutil
from pathlib import Path

from hicra_verl.files import write_text
from hicra_verl.records import whole_number

TRACKER_FILE = "latest_checkpointed_iteration.txt"  # verl's own, written last of a checkpoint


def step_folder(run: Path, step: int) -> Path:
    """The folder of a step's checkpoint."""
    return run / f"global_step_{step}"


def tracked_step(run: Path) -> int | None:
    """The step that verl's tracker file names; None where there is none, or it was cut short."""
    tracker = run / TRACKER_FILE
    step = whole_number(tracker.read_text(errors="replace")) if tracker.exists() else None
    return step if step is not None and step_folder(run, step).is_dir() else None


def last_saved_step(run: Path) -> int:
    """The step of verl's last complete checkpoint, 0 if none; mends a tracker file cut short by a crash.

    verl writes the tracker in place, as its last act. A crash in that moment leaves it empty, and verl would not start.
    """
    tracker = run / TRACKER_FILE
    if not tracker.exists():
        return 0
    step = tracked_step(run)
    if step is not None:
        return step
    # data.pt is written after the weights: where it stands, the checkpoint is whole.
    complete = [step for step in _steps(run) if (step_folder(run, step) / "data.pt").exists()]
    if not complete:
        tracker.unlink()
        return 0
    write_text(tracker, str(max(complete)))
    return max(complete)


def remove_older(run: Path, saved_step: int, keep: int) -> list[int]:
    """Remove what verl would have removed, had it not been started anew: a trainer deletes only its own checkpoints.

    Args:
        run: the run's checkpoint folder.
        saved_step: the last complete checkpoint's step.
        keep: how many checkpoints to leave, that one included.

    Returns:
        The steps whose models were removed; like verl, it leaves the rest of their folders, which is small.
    """
    older = [step for step in _steps(run) if step <= saved_step and (step_folder(run, step) / "actor").is_dir()]
    removed = older[:-keep]
    for step in removed:
        for part in ("actor", "critic"):
            shutil.rmtree(step_folder(run, step) / part, ignore_errors=True)
    return removed


def _steps(run: Path) -> list[int]:
    """The steps that have a folder, which may also be a person's own: ``global_step_10.bak``."""
    found = (whole_number(path.name.removeprefix("global_step_")) for path in run.glob("global_step_*"))
    return sorted(step for step in found if step is not None)
