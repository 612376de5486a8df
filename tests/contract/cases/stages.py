"""`hicra stages`: plans, the files of an earlier run, and what the command itself may do wrong."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import Case

PLAN = """
stages:
  - name: short
    set: {data.max_response_length: 16}
    until: {metric: response_length/clip_ratio, above: 0.2, in_a_row: 3}
  - name: long
    set: {data.max_response_length: 32}
best: {metric: val/acc}
"""
STATE = {
    "stage": 0,
    "launches": 1,
    "readings": {},
    "decision": None,
    "history": [{"stage": "short", "from_step": 0, "why": "start"}],
    "stopped": None,
}
COMMAND = ["stages", "plan.yaml", "--", sys.executable, "-c", "pass", "trainer.default_local_dir={tmp}/run"]
DEEP = "[" * 100_000 + "]" * 100_000


def plan(name: str, content: Any, *says: str) -> Case:
    files = {"plan.yaml": content}
    return Case(name, COMMAND, ("plan.yaml", *says), files, absent=("run",))


def run(name: str, *says: str, words: tuple[str, ...] = (), code: int = 2, **more: Any) -> Case:
    """A good plan, a trainer that does nothing, and what an earlier run has left."""
    files = {"plan.yaml": PLAN, **more.pop("files", {})}
    return Case(name, [*COMMAND, *words], says, files, code=code, **more)


def state(name: str, says: str, **wrong: Any) -> Case:
    files = {"run/stages.json": json.dumps({**STATE, **wrong})}
    return run(name, "stages.json", says, files=files, kept=("run/stages.json",))


def broken_state(name: str, content: Any) -> Case:
    return run(name, "stages.json", "move it away", files={"run/stages.json": content}, kept=("run/stages.json",))


def best(name: str, content: Any, *says: str) -> Case:
    files = {"run/best/best.json": content}
    return run(name, "best", *says, files=files, kept=("run/best/best.json",))


def says_nothing_of(secret: str) -> Callable[[Path, str], None]:
    def check(tmp: Path, printed: str) -> None:
        record = tmp / "run" / "command.txt"
        assert secret not in record.read_text(encoding="utf-8")
        assert secret not in printed
        assert stat.S_IMODE(record.stat().st_mode) == 0o600

    return check


def recorded(text: str) -> Callable[[Path, str], None]:
    def check(tmp: Path, _: str) -> None:
        assert text in (tmp / "run" / "command.txt").read_text(encoding="utf-8")

    return check


def readable_record(path: Path) -> None:
    path.write_text("# an earlier start\n", encoding="utf-8")
    path.chmod(0o644)


def folder(path: Path) -> None:
    path.mkdir()


CASES = [
    # plans
    Case("no plan", ["stages", "absent.yaml", "--", "python"], ("absent.yaml", "give a plan")),
    Case("a folder as plan", ["stages", ".", "--", "python"], ("cannot be read",)),
    Case("no command", ["stages", "plan.yaml"], ("Missing argument",), {"plan.yaml": PLAN}),
    plan("an empty plan", "", "expected a mapping"),
    plan("a plan in UTF-16", PLAN.encode("utf-16"), "not valid YAML"),
    plan("a plan in Latin-1", PLAN.replace("short", "früh").encode("latin-1"), "not valid YAML"),
    plan("a plan nested 100,000 deep", DEEP, "not valid YAML"),
    plan("a plan with code", "!!python/object/apply:os.system ['touch pwned']", "not valid YAML"),
    plan("a date that is none", "stages: [{name: 2024-99-99}]", "plan.yaml"),
    plan("a number of 5,000 digits", "stages: " + "9" * 5000, "plan.yaml"),
    plan("stages that are text", "stages: both", "expected a list"),
    plan("a stage that is a number", "stages: [1]", "stages[0]", "expected a mapping"),
    plan("settings that are a list", "stages: [{name: a, set: [1]}]", "full names"),
    plan("a setting that is a mapping", "stages: [{name: a, set: {a: {b: 1}}}]", "full names"),
    plan("a setting whose name is a number", "stages: [{name: a, set: {1: 2}}]", "full names"),
    plan("a setting whose name is two words", "stages: [{name: a, set: {'a b': 2}}]", "full names"),
    plan("a setting that is a date", "stages: [{name: a, set: {a: 2024-01-01}}]", "full names"),
    plan(
        "a limit that is not a number",
        "stages: [{name: a, until: {metric: m, above: .nan}}, {name: b}]",
        "above",
        "expected a number",
    ),
    plan(
        "a limit beyond all floats",
        f"stages: [{{name: a, until: {{metric: m, above: {10**400}}}}}, {{name: b}}]",
        "above",
        "expected a number",
    ),
    plan(
        "a count beyond 64 bits",
        f"stages: [{{name: a, until: {{metric: m, above: 1, in_a_row: {2**80}}}}}, {{name: b}}]",
        "in_a_row",
    ),
    plan("in_a_row ²", "stages: [{name: a, until: {metric: m, above: 1, in_a_row: ²}}, {name: b}]", "in_a_row"),
    plan("a metric that is a list", "{stages: [{name: a}], best: {metric: [m]}}", "metric"),
    plan("a key of a megabyte", "stages: [{name: a}]\n? " + "k" * 1_000_000 + "\n: 1", "no such field"),
    # the command
    Case(
        "a command that does not exist",
        ["stages", "plan.yaml", "--", "nonsense", "trainer.default_local_dir={tmp}/run"],
        ("nonsense: no such command",),
        {"plan.yaml": PLAN},
        absent=("run",),
    ),
    run("a setting of a stage in the command", "stage by stage", words=("data.max_response_length=1",)),
    run("an output folder that is a file", "is a file", files={"run": "x"}, kept=("run",)),
    run("an output folder that cannot be made", "/proc/run", words=("trainer.default_local_dir=/proc/run",)),
    run("an output folder that is a number", "Hydra reads no path", words=("trainer.default_local_dir=1",)),
    run("a lock that is a folder", "stages.lock", files={"run/stages.lock": folder}),
    run("a record that is a folder", "command.txt", files={"run/command.txt": folder}),
    run("metrics that are a file", "metrics", files={"run/metrics": "x"}),
    run("checkpoints to keep: ²", words=("trainer.max_actor_ckpt_to_keep=²",), code=0),
    run("a metrics file called ²", files={"run/metrics/².jsonl": ""}, code=0),
    Case(
        "--stop without a rule",
        ["stages", "plan.yaml", "--stop", *COMMAND[2:]],
        ("no stop rule",),
        {"plan.yaml": PLAN},
    ),
    # secrets
    run(
        "a key on the command line",
        words=("+a.api_key=sk-hidden",),
        code=0,
        after=says_nothing_of("sk-hidden"),
    ),
    run("a token of the hub", words=("+e={HF_TOKEN:hf_hidden}",), code=0, after=says_nothing_of("hf_hidden")),
    run("a password", words=("--password", "hidden-one"), code=0, after=says_nothing_of("hidden-one")),
    run("a password in an address", words=("+u=http://me:hunter2@h/",), code=0, after=says_nothing_of("hunter2")),
    run("a password of two words", words=("--password=hun ter2",), code=0, after=says_nothing_of("ter2")),
    run("an address without http://", words=("--base-url", "u:hunter2@h/v1"), code=0, after=says_nothing_of("hunter2")),
    run(
        "an old record that all may read",
        words=("+a.secret=hunter2",),
        code=0,
        files={"run/command.txt": readable_record},
        after=says_nothing_of("hunter2"),
    ),
    run(
        "a setting that only sounds like a secret",
        words=("+actor.ppo_max_token_len_per_gpu=16384",),
        code=0,
        after=recorded("ppo_max_token_len_per_gpu=16384"),
    ),
    # what an earlier run left
    broken_state("an empty state", ""),
    broken_state("a state cut off", json.dumps(STATE)[:30]),
    broken_state("a state that is a list", "[1]"),
    broken_state("a state nested deep", DEEP),
    broken_state("a state in Latin-1", json.dumps(STATE).replace("start", "früh").encode("latin-1")),
    broken_state("a state with another field", json.dumps({**STATE, "more": 1})),
    state("readings that are a list", "move it away", readings=[1]),
    state("readings without steps", "move it away", readings={"until": [1, 2]}),
    state("a reading beyond all floats", "move it away", readings={"until": [[float("inf"), 1]]}),
    state("a stage that is text", "stage is wrong", stage="1"),
    state("a stage below zero", "stage is wrong", stage=-1),
    state("a stage that is not in the plan", "stage 7", stage=7),
    state("a count of starts beyond 64 bits", "launches is wrong", launches=2**80),
    state("a decision that is a list", "move it away", decision=[1]),
    state("a decision at no step", "decision is wrong", decision={"at_step": "1", "to": 1, "why": "x"}),
    state("a history that is text", "history is wrong", history="x"),
    run(
        "a decision for a stage that the plan does not have",
        "not in its plan any more",
        files={
            "run/stages.json": json.dumps({**STATE, "decision": {"at_step": 1, "to": 9, "why": "x"}}),
            "run/latest_checkpointed_iteration.txt": "1",
            "run/global_step_1/data.pt": "",
        },
        kept=("run/stages.json",),
    ),
    run("a state that is a folder", "stages.json", files={"run/stages.json": folder}),
    best("a best checkpoint cut off", '{"step": 1', "move it away"),
    best("a best checkpoint at ²", '{"step": "²", "value": 1, "kept_as": "x"}', "move it away"),
    best("a best checkpoint of no value", '{"step": 1, "value": NaN, "kept_as": "x"}', "move it away"),
    best("a best checkpoint that is a list", "[]", "move it away"),
    best("another run's best checkpoint", '{"step": 9, "value": 1, "kept_as": "x"}', "another run"),
    run(
        "a tracker file that says ²",
        files={"run/latest_checkpointed_iteration.txt": "²"},
        code=0,
    ),
    run(
        "a tracker file that is not UTF-8",
        files={"run/latest_checkpointed_iteration.txt": b"\xff\xfe1"},
        code=0,
    ),
    run(
        "a tracker file of 5,000 digits",
        files={"run/latest_checkpointed_iteration.txt": "9" * 5000},
        code=0,
    ),
    run(
        "a checkpoint that a person has set aside",
        files={"run/latest_checkpointed_iteration.txt": "", "run/global_step_5.bak/data.pt": ""},
        words=("trainer.max_actor_ckpt_to_keep=1",),
        code=0,
    ),
    run("a disk that is full", "run", file_limit=20),
]
