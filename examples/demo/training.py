"""Run verl's stock trainer as a user would, and watch it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

STALL_S = 900  # no sign of life for this long means verl hangs (it does not always exit when a worker dies)


def train(overrides: list[str], folder: Path, steps: int) -> list[dict[str, Any]]:
    """Run ``python -m verl.trainer.main_ppo`` with these overrides and return what it logged, one dict a step.

    verl's own output goes to ``folder/verl.log``, its metrics to ``folder/metrics.jsonl``.

    Raises:
        SystemExit: if the training fails or stalls, after printing the end of its log.
    """
    console = Console()
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *overrides]
    shown = " \\\n    ".join([shlex.join(command[:3]), *map(shlex.quote, command[3:])])
    console.rule("the command")
    print(shown)
    console.rule()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "command.txt").write_text(shown + "\n", encoding="utf-8")
    metrics_file, log_file = folder / "metrics.jsonl", folder / "verl.log"
    metrics_file.unlink(missing_ok=True)
    print(f"log: {log_file}\nmetrics: {metrics_file}")
    env = {**os.environ, "VERL_FILE_LOGGER_PATH": str(metrics_file)}
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with log_file.open("wb") as log, Progress(*columns, console=console) as progress:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        task = progress.add_task("training", total=steps, state="starting Ray, FSDP and vLLM (a minute or two)")
        last_sign, last_size, shown = time.monotonic(), 0, 0
        try:
            while process.poll() is None:
                time.sleep(1)
                done = [row for row in read_metrics(metrics_file) if row["step"] > 0]
                if done:
                    left = (steps - len(done)) * _median_step_s(done)
                    score = done[-1]["data"].get("critic/score/mean", float("nan"))
                    state = f"reward {score:.2f}, about {left:.0f} s left"
                    if not console.is_terminal and len(done) > shown:  # a log file gets lines instead of a bar
                        print(f"step {len(done)}/{steps}: {state}", flush=True)
                        shown = len(done)
                    progress.update(task, completed=len(done), state=state)
                size = log_file.stat().st_size
                if size != last_size:
                    last_sign, last_size = time.monotonic(), size
                if time.monotonic() - last_sign > STALL_S:
                    _fail(f"no output for {STALL_S} s", log_file)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 15)
    if process.returncode:
        _fail(f"verl exited with code {process.returncode}", log_file)
    return read_metrics(metrics_file)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of verl's ``file`` logger: ``{"step": int, "data": {metric: value}}``; an unfinished last line waits."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def _median_step_s(rows: list[dict[str, Any]]) -> float:
    durations = sorted(row["data"].get("timing_s/step", 0.0) for row in rows)
    return float(durations[len(durations) // 2])


def _fail(reason: str, log_file: Path) -> None:
    tail = log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
    print("\n".join(tail))
    raise SystemExit(f"training failed: {reason}. The whole log: {log_file}. `hicra doctor` checks the installation.")
