"""verl's checkpoint folders: which ones are whole, and which one a run goes on from."""

from __future__ import annotations

import shutil
from pathlib import Path

TRACKER_FILE = "latest_checkpointed_iteration.txt"  # verl's own, written last of a checkpoint


def step_folder(run: Path, step: int) -> Path:
    """The folder of a step's checkpoint."""
    return run / f"global_step_{step}"


def tracked_step(run: Path) -> int | None:
    """The step that verl's tracker file names; None where there is none, or it was cut short."""
    tracker = run / TRACKER_FILE
    text = tracker.read_text().strip() if tracker.exists() else ""
    return int(text) if text.isdigit() and step_folder(run, int(text)).is_dir() else None


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
    complete = [int(path.parent.name.removeprefix("global_step_")) for path in run.glob("global_step_*/data.pt")]
    if not complete:
        tracker.unlink()
        return 0
    temporary = tracker.with_suffix(".tmp")
    temporary.write_text(str(max(complete)))
    temporary.replace(tracker)
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
    whole = sorted(int(path.name.removeprefix("global_step_")) for path in run.glob("global_step_*"))
    older = [step for step in whole if step <= saved_step and (step_folder(run, step) / "actor").is_dir()]
    removed = older[:-keep]
    for step in removed:
        for part in ("actor", "critic"):
            shutil.rmtree(step_folder(run, step) / part, ignore_errors=True)
    return removed
