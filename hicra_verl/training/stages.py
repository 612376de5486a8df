"""Stages of a run as data: what each sets, when it ends, and when the run stops.

A plan is a YAML file (``recipes/shared/stages/paper.yaml``)::

    stages:
      - name: 16k
        set: {data.max_response_length: 14336}          # verl settings of this stage
        until: {metric: response_length/clip_ratio, above: 0.2, in_a_row: 5}
      - name: 32k
        set: {data.max_response_length: 30720}
    stop: {metric: "val-core/*/acc/mean@*", falling: true, in_a_row: 3}

Two processes share a state file in the run's checkpoint folder. The trainer writes each step's readings and, when a
rule has fired, the decision that the next step is the stage's last; verl then saves a checkpoint there and ends in its
own way. The supervisor (``training/supervisor.py``) reads the decision and starts the next stage from that checkpoint.
A decision counts only once its checkpoint is complete, so a crash anywhere leaves either the old stage or the new one.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from hicra_verl.config import nearest

STATE_FILE = "stages.json"
TRACKER_FILE = "latest_checkpointed_iteration.txt"  # verl's own, written last of a checkpoint
STOP = "stop"


class StagesError(ValueError):
    """A plan or state that cannot be used; the message names the file, the field and the remedy."""


@dataclass(frozen=True)
class Rule:
    """A condition on a metric that verl logs.

    Attributes:
        metric: its name; ``*`` matches anything, and several matches are averaged.
        above: holds where the metric exceeds this, or
        falling: holds where the metric is lower than at its previous reading.
        in_a_row: readings in a row that must hold. A step that does not log the metric is no reading.
    """

    metric: str
    above: float | None
    falling: bool
    in_a_row: int

    def reading(self, metrics: Mapping[str, Any]) -> float | None:
        """The metric's value at this step, None where it is not logged."""
        values = [float(metrics[name]) for name in fnmatch.filter(metrics, self.metric)]
        return sum(values) / len(values) if values else None

    def fires(self, readings: list[tuple[int, float]]) -> bool:
        """True if the last ``in_a_row`` readings all satisfy the condition.

        Args:
            readings: (step, value), oldest first.
        """
        values = [value for _, value in readings]
        if self.above is not None:
            return len(values) >= self.in_a_row and all(value > self.above for value in values[-self.in_a_row :])
        recent = values[-self.in_a_row - 1 :]
        return len(recent) == self.in_a_row + 1 and all(b < a for a, b in pairwise(recent))


@dataclass(frozen=True)
class Stage:
    """One stage: its name, the verl settings it sets, and the rule that ends it (None for the last)."""

    name: str
    settings: dict[str, Any]
    until: Rule | None


@dataclass(frozen=True)
class Plan:
    """The stages in order, and the rule that stops the run in any of them."""

    stages: tuple[Stage, ...]
    stop: Rule | None

    def controlled_settings(self) -> set[str]:
        """Every verl setting that some stage sets."""
        return {key for stage in self.stages for key in stage.settings}


def _only(mapping: Any, allowed: tuple[str, ...], where: str) -> dict[str, Any]:
    if not isinstance(mapping, dict):
        raise StagesError(f"{where}: expected a mapping, got {mapping!r}")
    for key in mapping:
        if key not in allowed:
            raise StagesError(f"{where}.{key}: no such field; {nearest(str(key), list(allowed))}")
    return mapping


def _rule(data: Any, where: str) -> Rule | None:
    if data is None:
        return None
    fields = _only(data, ("metric", "above", "falling", "in_a_row"), where)
    above, falling, in_a_row = fields.get("above"), fields.get("falling", False), fields.get("in_a_row", 1)
    if not isinstance(fields.get("metric"), str):
        raise StagesError(f"{where}.metric: expected the name of a metric that verl logs")
    if (above is None) == (falling is not True):
        raise StagesError(f"{where}: give either above: NUMBER or falling: true")
    if above is not None and (isinstance(above, bool) or not isinstance(above, int | float)):
        raise StagesError(f"{where}.above: expected a number, got {above!r}")
    if isinstance(in_a_row, bool) or not isinstance(in_a_row, int) or in_a_row < 1:
        raise StagesError(f"{where}.in_a_row: expected a whole number of at least 1, got {in_a_row!r}")
    return Rule(fields["metric"], above, bool(falling), in_a_row)


def load_plan(path: Path) -> Plan:
    """Read and validate a plan.

    Raises:
        StagesError: naming the file, the field and the remedy.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StagesError(
            f"{path}: cannot be read ({error.strerror}); give a plan such as recipes/shared/stages/paper.yaml"
        ) from error
    except yaml.YAMLError as error:
        raise StagesError(f"{path}: not valid YAML: {error}") from error
    top = _only(content, ("stages", "stop"), str(path))
    listed = top.get("stages")
    if not isinstance(listed, list) or not listed:
        raise StagesError(f"{path}: stages: expected a list of at least one stage")
    stages = []
    for number, data in enumerate(listed):
        where = f"{path}: stages[{number}]"
        fields = _only(data, ("name", "set", "until"), where)
        if not isinstance(fields.get("name"), str):
            raise StagesError(f"{where}.name: expected a name (quote it if it is a number)")
        settings = fields.get("set") or {}
        if not isinstance(settings, dict) or any(isinstance(value, dict | list) for value in settings.values()):
            raise StagesError(
                f"{where}.set: expected verl settings by their full names, such as data.max_response_length: 1"
            )
        until = _rule(fields.get("until"), f"{where}.until")
        if (until is None) != (number == len(listed) - 1):
            raise StagesError(
                f"{where}.until: every stage but the last needs one, and the last has nothing to go on to"
            )
        stages.append(Stage(fields["name"], settings, until))
    return Plan(tuple(stages), _rule(top.get("stop"), f"{path}: stop"))


# --- the state both processes share ----------------------------------------------------------------------------------


@dataclass
class State:
    """Where a run is in its plan.

    Attributes:
        stage: index of the stage in force.
        launches: how often a trainer was started.
        readings: rule name ("until" or "stop") to its (step, value) pairs in this stage; the stop rule's go on.
        decision: None, or ``{"at_step": int, "to": stage index or "stop", "why": str}``.
        history: one entry for each stage entered, ``{"stage": name, "from_step": int, "why": str}``.
        stopped: why the run has been stopped for good, None if it has not.
    """

    stage: int
    launches: int
    readings: dict[str, list[tuple[int, float]]]
    decision: dict[str, Any] | None
    history: list[dict[str, Any]]
    stopped: str | None

    @classmethod
    def load(cls, path: Path) -> State | None:
        """Read the state; None if the run has not begun."""
        if not path.exists():
            return None
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            data["readings"] = {
                name: [(int(s), float(v)) for s, v in pairs] for name, pairs in data["readings"].items()
            }
            return cls(**data)
        except (ValueError, TypeError, KeyError) as error:
            raise StagesError(f"{path}: not the state of a staged run ({error}); move it away to begin anew") from error

    def save(self, path: Path) -> None:
        """Replace the file in one move: readers see the old state or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(vars(self), stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)

    def recover(self, saved_step: int, plan: Plan) -> None:
        """Take over a decision whose checkpoint is complete, and forget what came after the last checkpoint.

        Args:
            saved_step: the step of the last complete checkpoint, 0 if there is none.
            plan: the run's plan.
        """
        decision, self.decision = self.decision, None
        self.readings = {
            name: [(step, value) for step, value in pairs if step <= saved_step]
            for name, pairs in self.readings.items()
        }
        if decision is None or saved_step < decision["at_step"]:
            return
        if decision["to"] == STOP:
            self.stopped = decision["why"]
            return
        self.stage = decision["to"]
        self.readings.pop("until", None)
        self.history.append({"stage": plan.stages[self.stage].name, "from_step": saved_step, "why": decision["why"]})


class StageWatch:
    """The trainer's side: looks at each step's metrics and says when the stage ends.

    Args:
        plan_path: the plan.
        state_path: the state, written by the supervisor before it started this trainer.
    """

    def __init__(self, plan_path: Path, state_path: Path) -> None:
        self.plan = load_plan(plan_path)
        self.state_path = state_path
        state = State.load(state_path)
        if state is None:
            raise StagesError(f"{state_path}: absent; start staged runs with `hicra stages PLAN -- COMMAND`")
        self.state = state

    def observe(self, step: int, total_steps: int, metrics: Mapping[str, Any]) -> int | None:
        """Take note of a step's metrics.

        Args:
            step: the step just done.
            total_steps: the run's last step; after it there is nothing left to decide.
            metrics: what verl logs for it.

        Returns:
            The step that is to be the last of this stage, or None to go on.
        """
        stage = self.plan.stages[self.state.stage]
        goals: dict[str, tuple[Rule | None, int | str]] = {
            "until": (stage.until, self.state.stage + 1),
            "stop": (self.plan.stop, STOP),
        }
        for name, (rule, to) in goals.items():
            reading = rule.reading(metrics) if rule else None
            if rule is None or reading is None:
                continue
            pairs = self.state.readings.setdefault(name, [])
            pairs.append((step, reading))
            if rule.fires(pairs) and self.state.decision is None and step < total_steps:
                recent = ", ".join(f"{value:.4g}" for _, value in pairs[-rule.in_a_row :])
                limit = f"above {rule.above:g}" if rule.above is not None else "falling"
                why = f"{rule.metric} {limit} {rule.in_a_row} times in a row: {recent}"
                self.state.decision = {"at_step": step + 1, "to": to, "why": why}
                print(f"[hicra] step {step + 1} is the last of stage {stage.name!r}: {why}", flush=True)
        self.state.save(self.state_path)
        return self.state.decision["at_step"] if self.state.decision else None
