"""Stands for verl in the tests of staged runs: same checkpoints, same end, and a crash wherever it is told to.

python fake_trainer.py [KEY=VALUE…] with FAKE_CRASH=POINT in the environment; it crashes there once, and leaves a mark.
"""

import os
import signal
import sys
from pathlib import Path

from hicra_verl.training.launch import settings_of, value_of
from hicra_verl.training.stages import StageWatch
from hicra_verl.verl_formats.checkpoints import TRACKER_FILE


def crash(point: str, folder: Path) -> None:
    mark = folder / f"crashed-{point}"
    if os.environ.get("FAKE_CRASH") == point and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    given = settings_of(sys.argv[1:])
    folder = Path(given["trainer.default_local_dir"])
    crash("at the start of a trainer", folder)
    plan, state, obey_stop = (value_of(f"x={given[f'hicra_stages.{name}']}") for name in ("plan", "state", "obey_stop"))
    watch = StageWatch(Path(plan), Path(state), obey_stop)
    if watch.state.stage:
        crash("at the start of the next stage", folder)
    length, total, save_freq = (
        int(given["data.max_response_length"]),
        int(given["total"]),
        int(given["trainer.save_freq"]),
    )
    tracker = folder / TRACKER_FILE
    step = int(tracker.read_text()) if tracker.exists() else 0
    optimiser = int((folder / f"global_step_{step}" / "optimiser").read_text()) if step else 0
    while step < total:
        step += 1
        optimiser += 1
        last = step >= total
        if last or step % save_freq == 0:
            checkpoint = folder / f"global_step_{step}"
            checkpoint.mkdir(exist_ok=True)
            (checkpoint / "optimiser").write_text(str(optimiser))
            if last and watch.state.decision:
                crash("while the last checkpoint is written", folder)
            (checkpoint / "data.pt").touch()
            if last and watch.state.decision:
                tracker.write_text("")
                crash("while the tracker file is written", folder)
            tracker.write_text(str(step))
            if last and watch.state.decision:
                crash("after the last checkpoint", folder)
        clipped = 0.5 if length == 16 else 0.0
        with open(os.environ["VERL_FILE_LOGGER_PATH"], "a") as log:
            log.write(f"{step} {length} {optimiser}\n")
        end = watch.observe(step, total, {"response_length/clip_ratio": clipped, "val/acc": 1 / step})
        if watch.state.decision and watch.state.decision["at_step"] == step + 1:
            crash("after the decision", folder)
        total = min(total, end or total)
    crash("at the end of a trainer", folder)


main()
