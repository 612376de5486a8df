"""Staged runs: rules, plans, and the hand-over from one stage to the next, crashed at every point of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from hicra_verl.training.launch import settings_of
from hicra_verl.training.rules import Above, Falls, Metric, Rule
from hicra_verl.training.stages import StagesError, StageWatch, State, load_plan
from hicra_verl.training.supervisor import Supervisor
from hicra_verl.verl_formats.checkpoints import last_saved_step

FAKE = ROOT / "tests" / "support" / "fake_trainer.py"
PLAN = """
stages:
  - name: short
    set: {data.max_response_length: 16}
    until: {metric: response_length/clip_ratio, above: 0.2, in_a_row: 3}
  - name: long
    set: {data.max_response_length: 32}
"""


FLAT = [0.5, 0.52] * 5


@pytest.mark.parametrize(
    ("rule", "values", "fires"),
    [
        (Above("m", 0.2, 2), [0.3, 0.25], True),
        (Above("m", 0.2, 2), [0.3, 0.2], False),
        (Above("m", 0.2, 2), [0.3], False),
        (Above("m", 0.2, 2), [0.3, 0.1, 0.3, 0.3], True),
        # The noise of FLAT is 0.02 / sqrt 2, its best mean of three 0.5133.
        (Falls("m", 2, 3), [*FLAT, 0.49, 0.47, 0.47], True),
        (Falls("m", 5, 3), [*FLAT, 0.49, 0.47, 0.47], False),
        (Falls("m", 2, 3), [*FLAT, 0.44], False),  # one bad validation
        (Falls("m", 2, 3), [0.51, 0.5, 0.51, 0.5, 0.4, 0.3, 0.2], False),  # too few to know the noise
        (Falls("m", 7, 3), [0.5] * 20, False),  # no noise, no fall
        (Falls("m", 7, 3), [0.0] * 15, False),
    ],
)
def test_rules(rule: Rule, values: list[float], fires: bool) -> None:
    assert (rule.fires(values) is not None) is fires


def test_a_rule_averages_what_its_pattern_matches() -> None:
    rule = Metric("val-core/*/acc/mean@*")
    assert rule.reading(
        {"val-core/aime24/acc/mean@32": 0.2, "val-core/amc23/acc/mean@32": 0.4, "x": 9}
    ) == pytest.approx(0.3)
    assert rule.reading({"x": 1}) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("stages: []", "expected a list of at least one stage"),
        ("stages: [{name: a, until: {metric: m, above: 1}}]", "the last has nothing to go on to"),
        ("stages: [{name: a}, {name: b}]", "every stage but the last needs one"),
        ("stages: [{name: 16}]", "expected a name (quote it"),
        ("stages: [{name: a, sets: {}}]", "did you mean 'set'?"),
        ("stages: [{name: a, set: {data: {max_response_length: 1}}}]", "by their full names"),
        ("stages: [{name: a, until: {metric: m}}, {name: b}]", "give either above: NUMBER or falls_by_noise: NUMBER"),
        (
            "{stages: [{name: a}], stop: {metric: m, falling: true, in_a_row: 4}}",
            "write falls_by_noise: 7 and window: 3",
        ),
        ("{stages: [{name: a}], stop: {metric: m, falls_by_noise: 7, in_a_row: 4}}", "falls_by_noise with window"),
        ("{stages: [{name: a}], stop: {metric: m, falls_by_noise: 0}}", "expected a number above 0"),
        ("{stages: [{name: a}], stop: {metric: m, falls_by_noise: yes}}", "expected a number, got True"),
        ("{stages: [{name: a}], best: {metrics: m}}", "did you mean 'metric'?"),
        ("{stages: [{name: a}], best: {}}", "expected the name of a metric"),
        ("stages: [{name: a, until: {metric: m, above: high}}, {name: b}]", "expected a number, got 'high'"),
        ("stages: [{name: a, until: {metric: m, above: 1, in_a_row: 0}}, {name: b}]", "at least 1"),
        ("stages: {", "not valid YAML"),
        ("7", "expected a mapping"),
    ],
)
def test_wrong_plans(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(content)
    with pytest.raises(StagesError, match=r"plan\.yaml") as caught:
        load_plan(path)
    assert message in str(caught.value)


RULE = Falls("val-core/*/acc/mean@*", 7, 3)


def test_the_shipped_plans_are_valid() -> None:
    for name in ("paper", "vision"):
        plan = load_plan(ROOT / "recipes" / "shared" / "stages" / f"{name}.yaml")
        assert [stage.name for stage in plan.stages] == ["16k", "32k"]
        assert plan.stages[0].until == Above("response_length/clip_ratio", 0.2, 5)
        context = [stage.settings["actor_rollout_ref.actor.ppo_max_token_len_per_gpu"] for stage in plan.stages]
        assert context == [16384, 32768]
        assert (plan.stop, plan.best) == (RULE, RULE)
    single = load_plan(ROOT / "recipes" / "shared" / "stages" / "single.yaml")
    assert [(stage.settings, stage.until) for stage in single.stages] == [({}, None)]
    assert (single.stop, single.best) == (RULE, RULE)


def test_a_command_that_sets_what_a_stage_sets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    words = ["python", "trainer.default_local_dir=x", "data.max_response_length=8"]
    with pytest.raises(StagesError, match=r"data\.max_response_length=8 is in the command.*STAGES=none"):
        Supervisor(tmp_path / "plan.yaml", words)
    with pytest.raises(StagesError, match="must set trainer.default_local_dir"):
        Supervisor(tmp_path / "plan.yaml", ["python"])
    with pytest.raises(StagesError, match="leave trainer.resume_mode at auto"):
        Supervisor(tmp_path / "plan.yaml", [*words[:2], "trainer.resume_mode=disable"])
    assert settings_of(["python", "-m", "verl", "+a.b=1", "a.b=2"]) == {"a.b": "2"}


def test_a_state_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "stages.json").write_text('{"stage": 0}')
    with pytest.raises(StagesError, match="not the state of a staged run"):
        State.load(tmp_path / "stages.json")
    (tmp_path / "plan.yaml").write_text(PLAN)
    with pytest.raises(StagesError, match="start staged runs with `hicra stages"):
        StageWatch(tmp_path / "plan.yaml", tmp_path / "absent.json")


@pytest.mark.parametrize("tracker", ["", "12x", "99"])
def test_a_tracker_cut_short_is_mended(tracker: str, tmp_path: Path) -> None:
    for step, complete in ((8, True), (12, True), (16, False)):
        (tmp_path / f"global_step_{step}").mkdir()
        if complete:
            (tmp_path / f"global_step_{step}" / "data.pt").touch()
    (tmp_path / "latest_checkpointed_iteration.txt").write_text(tracker)
    assert last_saved_step(tmp_path) == 12
    assert (tmp_path / "latest_checkpointed_iteration.txt").read_text() == "12"


CRASHES = [
    "nowhere",
    "at the start of a trainer",
    "after the decision",
    "while the last checkpoint is written",
    "while the tracker file is written",
    "after the last checkpoint",
    "at the end of a trainer",
    "at the start of the next stage",
]


def staged(folder: Path, plan: str = PLAN, *options: str, total: int = 12) -> list[str]:
    (folder / "plan.yaml").write_text(plan)
    fake = [
        sys.executable,
        str(FAKE),
        f"total={total}",
        "trainer.save_freq=4",
        f"trainer.default_local_dir={folder / 'run'}",
    ]
    return [sys.executable, "-m", "hicra_verl.cli", "stages", str(folder / "plan.yaml"), *options, "--", *fake]


def logged(folder: Path) -> dict[int, tuple[int, int]]:
    """Step to (response length, optimiser's step count); of a step done twice, the last time counts."""
    rows = {}
    for path in sorted((folder / "run" / "metrics").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            step, length, optimiser = map(int, line.split())
            rows[step] = (length, optimiser)
    return rows


@pytest.mark.parametrize("point", CRASHES)
def test_the_hand_over_survives_a_crash(point: str, tmp_path: Path) -> None:
    environment = {**os.environ, "FAKE_CRASH": point, "PYTHONPATH": str(ROOT)}
    codes = []
    for _ in range(3):
        done = subprocess.run(staged(tmp_path), env=environment, capture_output=True, text=True, timeout=120)
        codes.append(done.returncode)
        if done.returncode == 0:
            break
        assert "the same command goes on from the last checkpoint" in done.stdout, done.stderr
    assert codes == ([0] if point == "nowhere" else [-9 % 256, 0])
    # verl saves a checkpoint before it logs the step's metrics: a crash between the two loses that one row.
    lost = {4} if point in ("while the tracker file is written", "after the last checkpoint") else set()
    rows = logged(tmp_path)
    assert set(rows) == set(range(1, 13)) - lost
    # The rule fires at step 3 (where readings were lost: when they are there again), so step 4 ends the first stage.
    assert all(length == (16 if step <= 4 else 32) for step, (length, _) in rows.items())
    assert all(optimiser == step for step, (_, optimiser) in rows.items())  # the optimiser's state went on
    state = json.loads((tmp_path / "run" / "stages.json").read_text())
    assert [(entry["stage"], entry["from_step"]) for entry in state["history"]] == [("short", 0), ("long", 4)]


@pytest.mark.parametrize("delay_s", [0.3, 0.6, 0.9, 1.2])
def test_the_supervisor_itself_may_be_killed(delay_s: float, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(staged(tmp_path), env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    time.sleep(delay_s)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = subprocess.run(staged(tmp_path), env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [length for length, _ in logged(tmp_path).values()] == [16] * 4 + [32] * 8


STOPPING = PLAN + "stop: {metric: val/acc, falls_by_noise: 1.5, window: 2}\n"


def test_the_stop_rule_ends_the_run_only_where_asked(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(folder: Path, *options: str) -> str:
        folder.mkdir(exist_ok=True)
        command = staged(folder, STOPPING, *options, total=24)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    obeyed = tmp_path / "obeyed"
    for _ in range(2):
        output = run(obeyed, "--stop")
        assert re.search(
            r"stopped at step 11: val/acc fell from \S+ to \S+ \(means of 2\), more than 1.5 times", output
        )
    assert sorted(logged(obeyed)) == list(range(1, 12))
    run(obeyed)  # without --stop the same command goes on
    assert sorted(logged(obeyed)) == list(range(1, 25))
    output = run(tmp_path / "only said")
    assert output.count("the stop rule holds") == 1
    assert sorted(logged(tmp_path / "only said")) == list(range(1, 25))


def test_two_supervisors_do_not_share_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    import hicra_verl.training.supervisor as supervisor

    monkeypatch.setattr(supervisor, "LOCK_WAIT_S", 1)
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "run").mkdir()
    second = Supervisor(tmp_path / "plan.yaml", ["true", f"trainer.default_local_dir={tmp_path / 'run'}"])
    with (tmp_path / "run" / "stages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StagesError, match="another trainer works there"):
            second.run()


def test_a_reading_lost_to_a_kill_is_made_up_for(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    State(0, 1, {}, None, [], None).save(tmp_path / "stages.json")
    watch = StageWatch(tmp_path / "plan.yaml", tmp_path / "stages.json")
    cut_off = {"response_length/clip_ratio": 0.5}
    for step in (1, 2):
        assert watch.observe(step, 9, cut_off) is None
    watch.recall(3, cut_off)  # saved, then killed before the rules saw it
    watch.recall(3, cut_off)
    assert watch.observe(4, 9, cut_off) == 5
    state = State.load(tmp_path / "stages.json")
    assert state is not None
    assert state.readings["until"] == [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5)]


def test_a_trainer_that_outlives_its_driver_spoils_nothing(tmp_path: Path) -> None:
    """Ray ends a killed driver's actors only after some seconds: the old trainer may still write then."""
    (tmp_path / "plan.yaml").write_text(PLAN)
    state_path = tmp_path / "stages.json"
    State(0, 3, {}, None, [], None).save(state_path)
    old = StageWatch(tmp_path / "plan.yaml", state_path)
    State(0, 4, {}, None, [], None).save(state_path)
    old.observe(1, 9, {"response_length/clip_ratio": 0.5})
    state = State.load(state_path)
    assert state is not None
    assert (state.launches, state.readings) == (4, {})


def test_no_start_empties_the_metrics_of_another(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(staged(tmp_path), env=environment, capture_output=True, timeout=120, check=True)
    before = {path.name: path.read_text() for path in (tmp_path / "run" / "metrics").iterdir()}
    (tmp_path / "run" / "stages.json").unlink()  # as if written back by an old trainer, or lost
    subprocess.run(staged(tmp_path, total=16), env=environment, capture_output=True, timeout=120, check=True)
    after = {path.name: path.read_text() for path in (tmp_path / "run" / "metrics").iterdir()}
    assert {name: after[name] for name in before} == before
