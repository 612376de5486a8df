"""Runs a verl command stage by stage: each stage is an ordinary verl run that resumes from the last one's checkpoint.

Run the same command again after any crash: it goes on from the last complete checkpoint, in the stage that is due.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import IO, Any

from hicra_verl.training.stages import STATE_FILE, TRACKER_FILE, Plan, StagesError, State, load_plan

LOCK_WAIT_S = 60  # a trainer whose supervisor was killed ends within seconds


def settings_of(command: list[str]) -> dict[str, str]:
    """The ``key=value`` words of a verl command; the last one counts, as for Hydra."""
    words = (word.split("=", 1) for word in command if re.match(r"[+~]{0,2}[\w.@/]+=", word))
    return {key.lstrip("+~"): value for key, value in words}


def last_saved_step(folder: Path) -> int:
    """The step of verl's last complete checkpoint in ``folder``, 0 if none; mends a tracker file cut short by a crash.

    verl writes the tracker in place, as its last act. A crash in that moment leaves it empty, and verl would not start.
    """
    tracker = folder / TRACKER_FILE
    if not tracker.exists():
        return 0
    text = tracker.read_text().strip()
    if text.isdigit() and (folder / f"global_step_{text}").is_dir():
        return int(text)
    # data.pt is written after the weights: where it stands, the checkpoint is whole.
    complete = [int(path.parent.name.removeprefix("global_step_")) for path in folder.glob("global_step_*/data.pt")]
    if not complete:
        tracker.unlink()
        return 0
    temporary = tracker.with_suffix(".tmp")
    temporary.write_text(str(max(complete)))
    temporary.replace(tracker)
    return max(complete)


class Supervisor:
    """Runs one staged training to its end.

    Args:
        plan_path: the plan, see ``stages``.
        command: a whole verl command, ``python -m verl.trainer.main_ppo …``, with ``trainer.default_local_dir`` set.

    Raises:
        StagesError: if the plan is invalid, or the command sets what the plan's stages set.
    """

    def __init__(self, plan_path: Path, command: list[str]) -> None:
        self.plan_path = plan_path.resolve()
        self.plan: Plan = load_plan(plan_path)
        self.command = command
        given = settings_of(command)
        clash = sorted(self.plan.controlled_settings() & set(given))
        if clash:
            raise StagesError(
                f"{clash[0]}={given[clash[0]]} is in the command, but {plan_path} sets it stage by stage: change it "
                "there, or run without stages (in the recipes: STAGES=none)"
            )
        if "trainer.default_local_dir" not in given:
            raise StagesError("the command must set trainer.default_local_dir: the stages' state is kept there")
        if given.get("trainer.resume_mode", "auto") != "auto":
            raise StagesError("a staged run goes on from its checkpoints: leave trainer.resume_mode at auto")
        self.folder = Path(given["trainer.default_local_dir"]).absolute()
        self.state_path = self.folder / STATE_FILE

    def run(self) -> int:
        """Run what is left of the plan; returns the exit code of the last verl run, 0 if the plan is done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "stages.lock").open("w") as lock:
            self._take(lock)
            while True:
                state = State.load(self.state_path) or State(
                    0, 0, {}, None, [{"stage": self.plan.stages[0].name, "from_step": 0, "why": "start"}], None
                )
                if state.stage >= len(self.plan.stages):
                    raise StagesError(f"{self.state_path}: stage {state.stage} is not in {self.plan_path} any more")
                saved = last_saved_step(self.folder)
                state.recover(saved, self.plan)
                state.launches += state.stopped is None
                state.save(self.state_path)
                if state.stopped is not None:
                    print(f"[hicra] the run has been stopped at step {saved}: {state.stopped}", flush=True)
                    return 0
                code = self._launch(state, saved, lock)
                if code:
                    print(f"[hicra] verl exited with code {code}; the same command goes on from the last checkpoint")
                    return code
                after = State.load(self.state_path)
                if after is None or after.decision is None:
                    return 0  # verl reached the last step it was given
                if last_saved_step(self.folder) < after.decision["at_step"]:
                    raise StagesError("verl ended without the checkpoint that the next stage starts from")

    def _take(self, lock: IO[str]) -> None:
        for attempt in range(LOCK_WAIT_S):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if attempt == 0:
                    print(f"[hicra] another trainer still works in {self.folder}; waiting up to {LOCK_WAIT_S} s")
                time.sleep(1)
        raise StagesError(f"{self.folder}: another trainer works there; end it first")

    def _launch(self, state: State, saved: int, lock: IO[str]) -> int:
        stage = self.plan.stages[state.stage]
        words = [
            *self.command,
            *(f"{key}={value}" for key, value in stage.settings.items()),
            f"+hicra_stages.plan={self.plan_path}",
            f"+hicra_stages.state={self.state_path}",
        ]
        with (self.folder / "command.txt").open("a", encoding="utf-8") as record:
            record.write(f"# stage {stage.name}, from step {saved}\n{shlex.join(words)}\n")
        print(f"[hicra] stage {stage.name!r} from step {saved}: {shlex.join(words)}", flush=True)
        # The lock passes to the trainer: should this process be killed, no other starts while that one still works.
        process = subprocess.Popen(
            words, env=self._environment(state), pass_fds=[lock.fileno()], preexec_fn=_end_with_parent
        )
        previous = {name: signal.signal(name, lambda n, _: process.send_signal(n)) for name in (2, 15)}
        try:
            return process.wait()
        finally:
            for name, handler in previous.items():
                signal.signal(name, handler)

    def _environment(self, state: State) -> dict[str, str]:
        """One run in every tracker, however many processes it takes."""
        metrics = self.folder / "metrics"
        metrics.mkdir(exist_ok=True)
        defaults: dict[str, Any] = {
            "WANDB_RUN_ID": uuid.uuid5(uuid.NAMESPACE_URL, str(self.folder)).hex[:16],
            "WANDB_RESUME": "allow",
            "TENSORBOARD_DIR": self.folder / "tensorboard",
            # verl's file logger empties its file when it starts, so each start gets one of its own.
            "VERL_FILE_LOGGER_PATH": metrics / f"{state.launches:04d}.jsonl",
        }
        return {**{name: str(value) for name, value in defaults.items()}, **os.environ}


def _end_with_parent() -> None:
    """Where the kernel can (Linux), have it end this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
