"""The checkpoint with the best validation so far, kept where verl's deletion of old checkpoints does not reach it.

``OUTPUT_DIR/best/global_step_N`` holds it as hard links (no space while verl keeps the same checkpoint; a copy where
the file system has none), and ``OUTPUT_DIR/best/best.json`` says which step it is and what it reached. "Best" is the
highest single validation: of many noisy ones that is too high an estimate, so report it on other benchmarks.

Each change is whole or not there: a checkpoint is linked under a temporary name and renamed, ``best.json`` is replaced
in one move, and only then does the checkpoint before it go.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hicra_verl.files import write_json
from hicra_verl.records import read_json, whole_number
from hicra_verl.training.rules import Metric, StagesError
from hicra_verl.verl_formats.checkpoints import step_folder, tracked_step

FOLDER = "best"
RECORD = "best.json"
NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


class BestKeeper:
    """Keeps the best checkpoint of a run.

    Args:
        run: the run's checkpoint folder.
        metric: the metric of its validations; higher is better.
    """

    def __init__(self, run: Path, metric: Metric) -> None:
        self._run, self._metric = run, metric
        self._folder = run / FOLDER

    def validated(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Keep this step's checkpoint if its validation is the best so far and it has been saved whole."""
        value = self._metric.reading(metrics)
        best = read_best(self._run)
        if value is None or (best is not None and value <= best["value"]):
            return
        if step == 0 or tracked_step(self._run) != step:
            return  # validated between two checkpoints
        if best is not None and best["step"] == step:  # by a run that goes on from it
            how = best["kept_as"]
        else:
            how = self._place(step, None if best is None else step_folder(self._folder, best["step"]))
        record = {"step": step, "metric": self._metric.metric, "value": value, "kept_as": how}
        write_json(self._folder / RECORD, record, indent=None)
        self._remove_all_but(step_folder(self._folder, step))
        print(f"[hicra] step {step} is the best so far: {self._metric.metric} {value:.4g}, kept as {how}", flush=True)

    def _place(self, step: int, best: Path | None) -> str:
        whole, temporary = step_folder(self._folder, step), self._folder / f".global_step_{step}"
        self._folder.mkdir(exist_ok=True)
        self._remove_all_but(best)
        copied = []

        def link(source: str, target: str) -> None:
            try:
                os.link(source, target)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                copied.append(shutil.copy2(source, target))

        shutil.copytree(step_folder(self._run, step), temporary, copy_function=link)
        temporary.rename(whole)
        return "a copy (this file system has no hard links)" if copied else "hard links"

    def _remove_all_but(self, kept: Path | None) -> None:
        """Remove checkpoints, and what a kill left of them; none is ever half there under its own name."""
        for folder in list(self._folder.iterdir()):
            if folder.is_dir() and folder != kept:
                hidden = folder if folder.name.startswith(".") else folder.rename(folder.with_name(f".{folder.name}"))
                shutil.rmtree(hidden, ignore_errors=True)


def read_best(run: Path) -> dict[str, Any] | None:
    """What ``best.json`` says: ``step``, ``metric``, ``value``, ``kept_as``; None if nothing has been kept.

    Raises:
        StagesError: if the file is not one of these.
    """
    path = run / FOLDER / RECORD
    if not path.exists():
        return None
    record = read_json(path, "move it away")
    try:
        step, value, kept_as = int(record["step"]), float(record["value"]), str(record["kept_as"])
        if step < 1 or not math.isfinite(value):
            raise ValueError(f"step {step}, value {value}")
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise StagesError(f"{path}: does not say which checkpoint is best ({error}); move it away") from error
    return {**record, "step": step, "value": value, "kept_as": kept_as}


def refuse_another_runs_best(run: Path, saved_step: int) -> None:
    """A best checkpoint from after the last saved step belongs to a run that was here before.

    Raises:
        StagesError: naming the folder and the remedy.
    """
    best = read_best(run)
    if best is not None and best["step"] > saved_step:
        raise StagesError(
            f"{run / FOLDER} holds step {best['step']}, but this run is at step {saved_step}: the folder is left from "
            "another run. Move it away, or choose another output folder"
        )


def note_steps_without_both(test_freq: str, save_freq: str) -> None:
    """Say where validations and checkpoints do not fall on the same steps; takes verl's settings as texts."""
    validated, saved = whole_number(test_freq), whole_number(save_freq)
    if validated is not None and saved and validated % saved:
        how_often = f"validations every {test_freq} steps, checkpoints every {save_freq}"
        print(f"[hicra] {how_often}: the best checkpoint is one of the steps that have both", flush=True)
