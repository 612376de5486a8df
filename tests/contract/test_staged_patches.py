"""A staged run inside verl's trainer: what is kept before a checkpoint is written, and how a resumed run uses it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hicra_verl.training import last_row
from hicra_verl.training.stages import State
from hicra_verl.verl_patches import active, metrics, staged
from hicra_verl.verl_patches.patches import stand_in

PLAN = """
stages:
  - name: short
    until: {metric: response_length/clip_ratio, above: 0.2, in_a_row: 2}
  - name: long
best: {metric: val-core/x/acc/mean@1}
"""


class Killed(BaseException):
    """Stands for SIGKILL."""


class Shaper:
    """Hands out the step's metrics once, as the real one does."""

    def __init__(self) -> None:
        self.taken = 0
        self.shaping = SimpleNamespace(save=lambda checkpoint: None)

    def write(self, step: int) -> None:
        """Nothing is kept."""

    def take_metrics(self, step_s: float | None) -> dict[str, float]:
        self.taken += 1
        return {"hicra/planning_fraction": 0.1 * self.taken, "timing_s/hicra": 1.0}


class Trainer:
    """verl's fit(), in its order: step, save, validate, metrics, log (v1/trainer_base.py:467-514)."""

    steps_per_epoch = 100

    def __init__(self, run: Path, killed_at: str = "") -> None:
        self.run, self.killed_at = run, killed_at
        stages = {"plan": str(run / "plan.yaml"), "state": str(run / "stages.json"), "obey_stop": False}
        reward = SimpleNamespace(custom_reward_function=SimpleNamespace(path="other"))
        trainer = SimpleNamespace(default_local_dir="checkpoints")
        self.config: Any = SimpleNamespace(get={"hicra_stages": stages}.get, reward=reward, trainer=trainer)
        self.global_steps, self.total_training_steps = 0, 9
        self.logged: list[tuple[int, dict[str, Any]]] = []

    def _step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> str:
        metrics["actor/pg_loss"] = float(self.global_steps)
        return "batch"

    def _save(self) -> None:
        folder = self.run / f"global_step_{self.global_steps}"
        (folder / "actor").mkdir(parents=True)
        self.kill("while saving")
        (self.run / "latest_checkpointed_iteration.txt").write_text(str(self.global_steps))

    def _compute(self, batch: str, metrics: dict[str, Any], timing_raw: dict[str, float], **_: Any) -> None:
        assert "step" in timing_raw  # verl divides by it
        metrics["training/global_step"], metrics["response_length/clip_ratio"] = self.global_steps, 0.5
        metrics.update(timing_metrics(batch, timing_raw))

    def kill(self, point: str) -> None:
        if self.killed_at == point:
            raise Killed

    step = stand_in(staged.step, _step)
    _save_checkpoint = stand_in(staged.save_checkpoint, _save)
    _validate = stand_in(staged.validate, lambda self: {"val-core/x/acc/mean@1": 1 / (1 + self.global_steps)})
    _compute_metrics = stand_in(metrics.compute_metrics_v1, _compute)

    def one_step(self) -> dict[str, Any]:
        self.global_steps += 1
        found: dict[str, Any] = {}
        timing_raw: dict[str, float] = {"gen": 1.0}
        batch = self.step(found, timing_raw)
        self._save_checkpoint()
        timing_raw["step"] = 2.0
        self.kill("while validating")
        found.update(self._validate())
        self._compute_metrics(batch, found, timing_raw, global_steps=self.global_steps, epoch=0)
        self.kill("before logging")
        self.tracking.log(found, self.global_steps)
        return found

    def fit(self) -> None:
        self.tracking = Tracking(self)


timing_metrics = stand_in(
    metrics.compute_timing_metrics, lambda batch, timing_raw: {"timing_s/step": timing_raw["step"]}
)


class Tracking:
    """verl's: made once at the start of fit()."""

    def __init__(self, trainer: Trainer) -> None:
        self.logged = trainer.logged
        made = stand_in(staged.begin_tracking, lambda *_: None)
        made(self, "project", "experiment", [], {"hicra_stages": trainer.config.get("hicra_stages")})

    log = stand_in(staged.log, lambda self, data, step: self.logged.append((step, dict(data))))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "plan.yaml").write_text(PLAN)
    State(0, 1, {}, None, [], None).save(tmp_path / "stages.json")
    monkeypatch.setattr(active, "shaper", Shaper())
    monkeypatch.setattr(active, "reported", {})
    return tmp_path


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged, "_watch", None)
    monkeypatch.setattr(staged, "_step", None)


def start(run: Path, **how: Any) -> Trainer:
    """A trainer in a process of its own."""
    staged._watch = staged._step = None
    trainer = Trainer(run, **how)
    trainer.fit()
    return trainer


def test_a_step_is_logged_once_and_reported_once(run: Path) -> None:
    trainer = start(run)
    first, second = trainer.one_step(), trainer.one_step()
    assert [step for step, _ in trainer.logged] == [1, 2]
    assert (first["hicra/planning_fraction"], second["hicra/planning_fraction"]) == (0.1, 0.2)  # each step's own
    assert first["timing_s/step"] == 2.0
    assert last_row.unlogged(run) is None
    assert trainer.total_training_steps == 3  # the rule held after two steps
    assert json.loads((run / "best" / "best.json").read_text())["step"] == 1


@pytest.mark.parametrize("point", ["while validating", "before logging"])
def test_a_step_saved_but_not_logged_is_logged_by_the_next_trainer(run: Path, point: str) -> None:
    trainer = start(run)
    trainer.one_step()
    trainer.killed_at = point
    with pytest.raises(Killed):
        trainer.one_step()
    resumed = start(run)
    assert [step for step, _ in resumed.logged] == [2]
    row = resumed.logged[0][1]
    assert (row["actor/pg_loss"], row["hicra/planning_fraction"]) == (2.0, 0.2)
    assert last_row.unlogged(run) is None
    state = State.load(run / "stages.json")
    assert state is not None
    assert [step for step, _ in state.readings["until"]] == [1, 2]  # the rule has no gap either
    resumed.global_steps = 2
    resumed._validate()  # verl validates before it goes on: step 2's own validation counts after all
    assert start(run).logged == []


def test_a_step_killed_while_it_is_saved_is_done_again(run: Path) -> None:
    trainer = start(run, killed_at="while saving")
    with pytest.raises(Killed):
        trainer.one_step()
    assert start(run).logged == []


def test_a_run_without_stages_is_left_alone(run: Path) -> None:
    staged._watch = None
    trainer = Trainer(run)
    trainer.config.get = {}.get
    trainer.fit()
    assert trainer.one_step()["hicra/planning_fraction"] == 0.1
    assert not (run / last_row.FILE).exists()
