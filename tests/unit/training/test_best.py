"""The best checkpoint and the last row: whole or not there, whatever the moment of a kill."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hicra_verl.training import last_row
from hicra_verl.training.best import BestKeeper, note_steps_without_both, read_best, refuse_another_runs_best
from hicra_verl.training.rules import Metric, StagesError
from hicra_verl.verl_formats.checkpoints import last_saved_step, remove_older

METRIC = Metric("val-core/*/acc/mean@*")


def save(run: Path, step: int, keep: int = 2) -> None:
    """A checkpoint as verl writes it: its data, the tracker last; of older ones, the actor's part is removed."""
    actor = run / f"global_step_{step}" / "actor"
    actor.mkdir(parents=True, exist_ok=True)
    for rank in range(2):
        (actor / f"model_world_size_2_rank_{rank}.pt").write_text(f"weights of step {step}")
    (actor.parent / "data.pt").write_text("")
    (run / "latest_checkpointed_iteration.txt").write_text(str(step))
    for old in range(1, step - keep + 1):
        shutil.rmtree(run / f"global_step_{old}" / "actor", ignore_errors=True)


def validate(run: Path, step: int, value: float) -> None:
    BestKeeper(run, METRIC).validated(step, {"val-core/aime24/acc/mean@32": value, "val-aux/x": 9})


def kept(run: Path) -> dict[int, list[str]]:
    return {
        int(folder.name.removeprefix("global_step_")): [
            path.read_text() for path in sorted((folder / "actor").iterdir())
        ]
        for folder in (run / "best").glob("global_step_*")
    }


def test_the_best_outlives_verls_deletion(tmp_path: Path) -> None:
    for step, value in enumerate([0.2, 0.5, 0.4, 0.45, 0.3, 0.5], 1):
        save(tmp_path, step)
        validate(tmp_path, step, value)
    assert not (tmp_path / "global_step_2" / "actor").exists()
    assert kept(tmp_path) == {2: ["weights of step 2"] * 2}  # the first of equals
    record = {"step": 2, "metric": METRIC.metric, "value": 0.5, "kept_as": "hard links"}
    assert json.loads((tmp_path / "best" / "best.json").read_text()) == record
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["best.json", "global_step_2"]
    save(tmp_path, 7)
    validate(tmp_path, 7, 0.6)
    first = tmp_path / "global_step_7" / "actor" / "model_world_size_2_rank_0.pt"
    assert first.samefile(tmp_path / "best" / first.relative_to(tmp_path))  # no second copy on the disk


def test_a_step_without_a_whole_checkpoint_is_no_candidate(tmp_path: Path) -> None:
    validate(tmp_path, 0, 0.9)  # the validation before training
    save(tmp_path, 4)
    validate(tmp_path, 6, 0.9)  # validated between two checkpoints
    assert read_best(tmp_path) is None
    validate(tmp_path, 4, 0.1)
    assert kept(tmp_path).keys() == {4}


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def count_calls(patch: pytest.MonkeyPatch, last_call: int) -> list[str]:
    """Note each call that changes the disk; the one numbered ``last_call`` does nothing and ends the run."""
    calls: list[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            if len(calls) == last_call:
                raise Killed
            return function(*args, **kwargs)

        return call

    for owner, names in {os: ("link", "mkdir", "rename", "replace", "rmdir", "unlink"), Path: ("write_text",)}.items():
        for name in names:
            patch.setattr(owner, name, counted(name, getattr(owner, name)))
    return calls


def test_a_kill_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call that changes the disk is, in its turn, the last one before the kill, and then not even begun."""
    moments = 0
    for last_call in range(1, 100):
        run = tmp_path / str(last_call)
        save(run, 1)
        validate(run, 1, 0.3)
        save(run, 2)
        with monkeypatch.context() as patch:
            calls = count_calls(patch, last_call)
            try:
                validate(run, 2, 0.6)
            except Killed:
                moments += 1
        best = read_best(run)
        assert best is not None
        assert kept(run)[best["step"]] == [f"weights of step {best['step']}"] * 2  # whole
        save(run, 3)
        validate(run, 3, 0.7)
        assert kept(run) == {3: ["weights of step 3"] * 2}
        assert sorted(path.name for path in (run / "best").iterdir()) == ["best.json", "global_step_3"]
        if len(calls) < last_call:
            break
    assert moments >= 8


@pytest.mark.parametrize("number", ["EPERM", "EOPNOTSUPP", "EXDEV"])
def test_without_hard_links_it_is_a_copy(number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Object stores mounted as folders (mountpoint-s3: EPERM or ENOTSUP) and exFAT have no links."""
    import errno

    def link(*args: Any, **kwargs: Any) -> None:
        code = getattr(errno, number)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    save(tmp_path, 1)
    validate(tmp_path, 1, 0.3)
    assert kept(tmp_path) == {1: ["weights of step 1"] * 2}
    best = read_best(tmp_path)
    assert best is not None
    assert best["kept_as"].startswith("a copy")


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def link(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", link)
    save(tmp_path, 1)
    with pytest.raises(OSError, match="No space left"):
        validate(tmp_path, 1, 0.3)


def test_another_runs_best_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 5)
    validate(tmp_path, 5, 0.3)
    refuse_another_runs_best(tmp_path, 5)
    with pytest.raises(StagesError, match="holds step 5, but this run is at step 0.*Move it away"):
        refuse_another_runs_best(tmp_path, 0)
    (tmp_path / "best" / "best.json").write_text("{}")
    with pytest.raises(StagesError, match="best.json: does not say which checkpoint"):
        read_best(tmp_path)


def test_steps_that_do_not_meet_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    note_steps_without_both("10", "10")
    note_steps_without_both("20", "10")
    note_steps_without_both("-1", "10")
    assert capsys.readouterr().out == ""
    note_steps_without_both("5", "10")
    assert "validations every 5 steps, checkpoints every 10" in capsys.readouterr().out


def test_a_row_is_kept_until_it_is_logged(tmp_path: Path) -> None:
    row = {"hicra/planning_fraction": 0.1, "actor/grad_norm": np.float32(2.5), "critic/x": np.int64(3), "text": "no"}
    last_row.keep(tmp_path, 4, row)
    assert last_row.unlogged(tmp_path) is None  # killed before the checkpoint was whole: the step is done again
    save(tmp_path, 4)
    assert last_row.unlogged(tmp_path) == (4, {"hicra/planning_fraction": 0.1, "actor/grad_norm": 2.5, "critic/x": 3.0})
    last_row.forget(tmp_path, 3)
    assert last_row.unlogged(tmp_path) is not None
    last_row.forget(tmp_path, 4)
    assert last_row.unlogged(tmp_path) is None


def test_checkpoints_of_earlier_starts_are_removed(tmp_path: Path) -> None:
    """verl keeps a list of what it has saved in its memory, so every start would leave its last ones behind."""
    for step in (2, 4, 6, 8, 10):
        save(tmp_path, step, keep=99)
    save(tmp_path, 12, keep=99)
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("10")  # killed while 12 was being written
    validate(tmp_path, 10, 0.5)
    assert remove_older(tmp_path, last_saved_step(tmp_path), 3) == [2, 4]
    assert [step for step in range(13) if (tmp_path / f"global_step_{step}" / "actor").exists()] == [6, 8, 10, 12]
    assert kept(tmp_path).keys() == {10}
    assert remove_older(tmp_path, 10, 3) == []
