"""Stages of a run as data: what each sets, when it ends, when the run may stop, and what its best checkpoint is.

A plan is a YAML file (``recipes/shared/stages/paper.yaml``)::

    stages:
      - name: 16k
        set: {data.max_response_length: 14336}          # verl settings of this stage
        until: {metric: response_length/clip_ratio, above: 0.2, in_a_row: 5}
      - name: 32k
        set: {data.max_response_length: 30720}
    stop: {metric: "val-core/*/acc/mean@*", falls_by_noise: 7, window: 3}   # off unless asked for, see rules.py
    best: {metric: "val-core/*/acc/mean@*"}             # the stop rule's metric where this is absent, see best.py

Two processes share a state file in the run's checkpoint folder. The trainer writes each step's readings and, when a
rule has fired, the decision that the next step is the stage's last; verl then saves a checkpoint there and ends in its
own way. The supervisor (``training/supervisor.py``) reads the decision and starts the next stage from that checkpoint.
A decision counts only once its checkpoint is complete, so a crash anywhere leaves either the old stage or the new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hicra_verl.files import write_json
from hicra_verl.records import read_json
from hicra_verl.training.best import BestKeeper
from hicra_verl.training.rules import LARGEST, Metric, Rule, StagesError, only, read_metric, read_rule

STATE_FILE = "stages.json"
UNTIL, STOP = "until", "stop"  # the rules' names in the state; STOP is a decision's goal, too


@dataclass(frozen=True)
class Stage:
    """One stage: its name, the verl settings it sets, and the rule that ends it (None for the last)."""

    name: str
    settings: dict[str, Any]
    until: Rule | None


@dataclass(frozen=True)
class Plan:
    """The stages in order, the rule that stops the run in any of them, and the metric of the best checkpoint."""

    stages: tuple[Stage, ...]
    stop: Rule | None
    best: Metric | None


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
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # nested too deep; not UTF-8; the 40th of May
        raise StagesError(f"{path}: not valid YAML: {str(error)[:500]}") from error
    top = only(content, ("stages", "stop", "best"), str(path))
    listed = top.get("stages")
    if not isinstance(listed, list) or not listed:
        raise StagesError(f"{path}: stages: expected a list of at least one stage")
    stages = []
    for number, data in enumerate(listed):
        where = f"{path}: stages[{number}]"
        fields = only(data, ("name", "set", "until"), where)
        if not isinstance(fields.get("name"), str):
            raise StagesError(f"{where}.name: expected a name (quote it if it is a number)")
        settings = fields.get("set") or {}
        if not isinstance(settings, dict) or not all(_is_setting(*pair) for pair in settings.items()):
            raise StagesError(
                f"{where}.set: expected verl settings by their full names, such as data.max_response_length: 1"
            )
        until = read_rule(fields["until"], f"{where}.until") if "until" in fields else None
        if (until is None) != (number == len(listed) - 1):
            raise StagesError(
                f"{where}.until: every stage but the last needs one, and the last has nothing to go on to"
            )
        stages.append(Stage(fields["name"], settings, until))
    stop = read_rule(top["stop"], f"{path}: stop") if "stop" in top else None
    best = read_metric(top["best"], f"{path}: best") if "best" in top else stop
    return Plan(tuple(stages), stop, best)


def _is_setting(key: Any, value: Any) -> bool:
    single = value is None or isinstance(value, str | int | float)
    return single and isinstance(key, str) and re.fullmatch(r"[+~]{0,2}[\w.@/]+", key) is not None


# --- the state both processes share ----------------------------------------------------------------------------------


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


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
        data = read_json(path, "move it away to begin anew")
        try:
            data["readings"] = {
                name: [(int(s), float(v)) for s, v in pairs] for name, pairs in data["readings"].items()
            }
            state = cls(**data)
            decision = state.decision
            holds = {
                "stage": _is_count(state.stage),
                "launches": _is_count(state.launches),
                "decision": decision is None
                or (
                    _is_count(decision["at_step"])
                    and isinstance(decision["why"], str)
                    and (decision["to"] == STOP or _is_count(decision["to"]))
                ),
                "history": isinstance(state.history, list),
                "stopped": isinstance(state.stopped, str | None),
            }
            if wrong := [name for name, right in holds.items() if not right]:
                raise ValueError(f"{wrong[0]} is wrong")  # a hand, or another program, has been at the file
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise StagesError(f"{path}: not the state of a staged run ({error}); move it away to begin anew") from error
        return state

    def save(self, path: Path) -> None:
        """Replace the file in one move: readers see the old state or the new one."""
        write_json(path, vars(self))

    def recover(self, saved_step: int, plan: Plan, obey_stop: bool = True) -> None:
        """Take over a decision whose checkpoint is complete, and forget what came after the last checkpoint.

        Args:
            saved_step: the step of the last complete checkpoint, 0 if there is none.
            plan: the run's plan.
            obey_stop: whether the stop rule is in force; without it a run that it stopped goes on.
        """
        decision, self.decision = self.decision, None
        if not obey_stop:
            self.stopped = None
        self.readings = {
            name: [(step, value) for step, value in pairs if step <= saved_step]
            for name, pairs in self.readings.items()
        }
        if decision is None or saved_step < decision["at_step"]:
            return
        if decision["to"] == STOP:
            self.stopped = decision["why"] if obey_stop else None
            return
        self.stage = decision["to"]
        if self.stage >= len(plan.stages):
            raise StagesError(f"the run is about to enter stage {self.stage}, which is not in its plan any more")
        self.readings.pop(UNTIL, None)
        self.history.append({"stage": plan.stages[self.stage].name, "from_step": saved_step, "why": decision["why"]})


class StageWatch:
    """The trainer's side: looks at each step's metrics, says when the stage ends, and keeps the best checkpoint.

    Args:
        plan_path: the plan.
        state_path: the state, written by the supervisor before it started this trainer.
        obey_stop: whether the plan's stop rule ends the run; otherwise it only says that it would.
    """

    def __init__(self, plan_path: Path, state_path: Path, obey_stop: bool = False) -> None:
        self.plan = load_plan(plan_path)
        self.state_path = state_path
        self.obey_stop = obey_stop
        self.best = BestKeeper(state_path.parent, self.plan.best) if self.plan.best else None
        self._said = False
        state = State.load(state_path)
        if state is None:
            raise StagesError(f"{state_path}: absent; start staged runs with `hicra stages PLAN -- COMMAND`")
        self.state = state
        rules = {UNTIL: self.plan.stages[state.stage].until, STOP: self.plan.stop}
        self._rules = {name: rule for name, rule in rules.items() if rule is not None}

    def validated(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take note of a validation, that before the first step of a resumed run included: its own may be lost."""
        if STOP in self._rules:
            self._read(STOP, step, metrics)
            self._save()
        if self.best is not None:
            self.best.validated(step, metrics)

    def recall(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take note of the metrics of the step that the run goes on from, which no trainer has looked at."""
        for name in self._rules:
            self._read(name, step, metrics)
        self._save()

    def observe(self, step: int, total_steps: int, metrics: Mapping[str, Any]) -> int | None:
        """Take note of a step's metrics.

        Args:
            step: the step just done.
            total_steps: the run's last step; after it there is nothing left to decide.
            metrics: what verl logs for it.

        Returns:
            The step that is to be the last of this stage, or None to go on.
        """
        for name, rule in self._rules.items():
            if not self._read(name, step, metrics):
                continue
            why = rule.fires([value for _, value in self.state.readings[name]])
            if why is None or self.state.decision is not None or step >= total_steps:
                continue
            if name == STOP and not self.obey_stop:
                if not self._said:
                    print(f"[hicra] step {step}: the stop rule holds ({why}); --stop would end the run", flush=True)
                self._said = True
                continue
            to = STOP if name == STOP else self.state.stage + 1
            self.state.decision = {"at_step": step + 1, "to": to, "why": why}
            stage = self.plan.stages[self.state.stage].name
            print(f"[hicra] step {step + 1} is the last of stage {stage!r}: {why}", flush=True)
        self._save()
        return self.state.decision["at_step"] if self.state.decision else None

    def _read(self, name: str, step: int, metrics: Mapping[str, Any]) -> bool:
        """Whether the step logs the rule's metric; its first reading counts."""
        reading = self._rules[name].reading(metrics)
        pairs = self.state.readings.setdefault(name, [])
        if reading is not None and step not in (known for known, _ in pairs):
            pairs.append((step, reading))
        return reading is not None

    def _save(self) -> None:
        """Write the state, unless a later start has: a cluster ends a killed driver's actors only after a while."""
        on_disk = State.load(self.state_path)
        if on_disk is None or on_disk.launches <= self.state.launches:
            self.state.save(self.state_path)
