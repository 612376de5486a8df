"""Runs a verl command stage by stage: each stage is an ordinary verl run that resumes from the last one's checkpoint.

Run the same command again after any crash: it goes on from the last complete checkpoint, in the stage that is due.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import IO, Any

from hicra_verl.files import make_folder
from hicra_verl.records import whole_number
from hicra_verl.redact import redact_words
from hicra_verl.training import launch
from hicra_verl.training.best import note_steps_without_both, refuse_another_runs_best
from hicra_verl.training.rules import StagesError
from hicra_verl.training.stages import STATE_FILE, Plan, State, load_plan
from hicra_verl.verl_formats.checkpoints import last_saved_step, remove_older

LOCK_WAIT_S = 60  # a trainer whose supervisor was killed ends within seconds


class Supervisor:
    """Runs one staged training to its end.

    Args:
        plan_path: the plan, see ``stages``.
        command: a whole verl command, ``python -m verl.trainer.main_ppo …``, with ``trainer.default_local_dir`` set.
        obey_stop: whether the plan's stop rule ends the run.

    Raises:
        StagesError: if the plan is invalid, or the command sets what the plan's stages set.
    """

    def __init__(self, plan_path: Path, command: list[str], obey_stop: bool = False) -> None:
        self.plan_path = plan_path.resolve()
        self.plan: Plan = load_plan(plan_path)
        self.obey_stop = obey_stop
        self.command = launch.absolute_words(command, Path.cwd())
        for before, after in zip(command, self.command, strict=True):
            if before != after:
                print(f"[hicra] {before} became {after}: on a cluster, other processes work elsewhere", flush=True)
        given = launch.settings_of(self.command)
        clash = sorted(key for stage in self.plan.stages for key in stage.settings if key in given)
        if clash:
            raise StagesError(
                f"{clash[0]}={given[clash[0]]} is in the command, but {plan_path} sets it stage by stage: change it "
                "there, or run without stages (in the recipes: STAGES=none)"
            )
        if shutil.which(command[0]) is None:
            raise StagesError(f"{command[0]}: no such command; a whole verl command begins with python")
        if obey_stop and self.plan.stop is None:
            raise StagesError(f"{plan_path} has no stop rule for --stop to obey")
        if "trainer.default_local_dir" not in given:
            raise StagesError("the command must set trainer.default_local_dir: the stages' state is kept there")
        if given.get("trainer.resume_mode", "auto") != "auto":
            raise StagesError("a staged run goes on from its checkpoints: leave trainer.resume_mode at auto")
        self.given = given
        folder = launch.value_of(f"trainer.default_local_dir={given['trainer.default_local_dir']}")
        if not isinstance(folder, str):
            raise StagesError(
                f"trainer.default_local_dir={given['trainer.default_local_dir']}: Hydra reads no path there; put "
                "quotes of its own around it: \"trainer.default_local_dir='…'\""
            )
        self.folder = Path(folder).expanduser().absolute()
        self.state_path = self.folder / STATE_FILE

    def run(self) -> int:
        """Run what is left of the plan; returns the exit code of the last verl run, 0 if the plan is done."""
        make_folder(self.folder)
        with (self.folder / "stages.lock").open("a") as lock:
            self._take(lock)
            if self.plan.best is not None:
                note_steps_without_both(*(self.given.get(f"trainer.{name}_freq", "-1") for name in ("test", "save")))
            while True:
                state = State.load(self.state_path) or State(
                    0, 0, {}, None, [{"stage": self.plan.stages[0].name, "from_step": 0, "why": "start"}], None
                )
                if state.stage >= len(self.plan.stages):
                    raise StagesError(f"{self.state_path}: stage {state.stage} is not in {self.plan_path} any more")
                saved = last_saved_step(self.folder)
                refuse_another_runs_best(self.folder, saved)
                state.recover(saved, self.plan, self.obey_stop)
                self._remove_older(saved)
                if state.stopped is None:
                    state.launches = self._next_launch(state)
                state.save(self.state_path)
                if state.stopped is not None:
                    print(f"[hicra] the run has been stopped at step {saved}: {state.stopped}", flush=True)
                    print("[hicra] without --stop the same command goes on", flush=True)
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

    def _next_launch(self, state: State) -> int:
        """The number of this start, and its metrics file: verl's file logger empties the file it is given."""
        metrics = make_folder(self.folder / "metrics")
        numbers = [whole_number(file.stem) or 0 for file in metrics.glob("*.jsonl")]
        number = max(state.launches, *numbers, 0) + 1
        self._metrics_file(number).touch()
        return number

    def _metrics_file(self, number: int) -> Path:
        return self.folder / "metrics" / f"{number:04d}.jsonl"

    def _remove_older(self, saved: int) -> None:
        keep = whole_number(self.given.get("trainer.max_actor_ckpt_to_keep", ""))
        removed = remove_older(self.folder, saved, keep) if keep else []
        if removed:
            print(f"[hicra] removed checkpoints of earlier starts: steps {', '.join(map(str, removed))}", flush=True)

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
        ours, environment = self._environment(state)
        words = [
            *self.command,
            *launch.setting_words(stage.settings),
            f"+hicra_stages.plan={launch.hydra_string(str(self.plan_path))}",
            f"+hicra_stages.state={launch.hydra_string(str(self.state_path))}",
            f"+hicra_stages.obey_stop={str(self.obey_stop).lower()}",
            *launch.environment_words(self.given, environment, ours),
        ]
        shown = shlex.join(redact_words(words))
        with (self.folder / "command.txt").open("a", encoding="utf-8") as record:
            with contextlib.suppress(OSError):  # a file system without permissions
                os.fchmod(record.fileno(), 0o600)
            record.write(f"# stage {stage.name}, from step {saved}\n{shown}\n")
        print(f"[hicra] stage {stage.name!r} from step {saved}: {shown}", flush=True)
        # The lock passes to the trainer: should this process be killed, no other starts while that one still works.
        process = subprocess.Popen(words, env=environment, pass_fds=[lock.fileno()], preexec_fn=_end_with_parent)
        previous = {name: signal.signal(name, lambda n, _: process.send_signal(n)) for name in (2, 15)}
        try:
            return process.wait()
        finally:
            for name, handler in previous.items():
                signal.signal(name, handler)

    def _environment(self, state: State) -> tuple[set[str], dict[str, str]]:
        """The variables that make one run of it in every tracker, however many processes it takes, and all of them."""
        defaults: dict[str, Any] = {
            "WANDB_RUN_ID": uuid.uuid5(uuid.NAMESPACE_URL, str(self.folder)).hex[:16],
            "WANDB_RESUME": "allow",
            "WANDB_DIR": self.folder,
            "TENSORBOARD_DIR": self.folder / "tensorboard",
            "VERL_FILE_LOGGER_PATH": self._metrics_file(state.launches),
        }
        environment = {**{name: str(value) for name, value in defaults.items()}, **os.environ}
        secrets = launch.kept_back(environment)
        if secrets and "RAY_ADDRESS" in environment:
            print(
                f"[hicra] {', '.join(secrets)}: secrets are not sent to a cluster that runs already. Set them where "
                "`ray start` is called, or log in on its nodes (`wandb login`, `hf auth login`)",
                flush=True,
            )
        return set(defaults), environment


def _end_with_parent() -> None:
    """Where the kernel can (Linux), have it end this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
