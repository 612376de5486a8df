"""Reading finished (or unfinished) runs: what their trackers logged, and the rollouts that verl dumped."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from hicra_verl.errors import HicraError

_PADDING = re.compile(r"pad[0-9a-f]{32}_\d+_0")  # verl 0.9.1, padding_utils.py:196; prompts' own names are UUIDs


class RunError(HicraError):
    """A run that cannot be read; the message names the file, the line and the remedy."""


@dataclass(frozen=True)
class Rollout:
    """One dumped response: its prompt's text, its own, the expected answer, its score, the prompt it belongs to, and
    the session within that (of an agent loop's several outputs the last one counts)."""

    prompt: str
    response: str
    expected: str
    score: float
    group: str
    session: str


@dataclass
class Run:
    """One training run.

    Attributes:
        label: what figures call its method; runs of one label are seeds of that method.
        path: where it was read from.
        seed: its place, from 1, among several runs of its label; None for the only one.
        metrics: step to what was logged at it; finite numbers only.
        dumps: step to the file of its rollouts.
        validations: step to the file of its responses to held-out prompts, which come again at each validation.
        traces: step to the file of responses kept token by token (``training/traces.py``).
        gaps: what is missing, in words; figures and reports print it.
    """

    label: str
    path: Path
    seed: int | None = None
    metrics: dict[int, dict[str, float]] = field(default_factory=dict)
    dumps: dict[int, Path] = field(default_factory=dict)
    validations: dict[int, Path] = field(default_factory=dict)
    traces: dict[int, Path] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What tells it from every other run: its label, and its place where there are several of that label."""
        return self.label if self.seed is None else f"{self.label}_{self.seed}"

    def series(self, metric: str) -> tuple[list[int], list[float]]:
        """The steps at which a metric was logged, and its values."""
        steps = [step for step in sorted(self.metrics) if metric in self.metrics[step]]
        return steps, [self.metrics[step][metric] for step in steps]


def split_label(words: str) -> tuple[str, Path]:
    """The label and the path of ``LABEL=PATH``; of ``PATH`` alone, its last part. A label holds no slash."""
    label, equals, rest = words.partition("=")
    if equals and "/" not in label:
        return label, Path(rest).expanduser()
    path = Path(words).expanduser()
    return path.stem, path


def load_run(words: str) -> Run:
    """Read a run from ``PATH`` or ``LABEL=PATH``.

    The path may be a run's folder (``metrics/*.jsonl`` or ``metrics.jsonl``, ``rollouts/*.jsonl``,
    ``validation/*.jsonl``, TensorBoard events), a folder of rollout dumps, a file of verl's ``file`` logger, or a CSV
    exported from wandb or TensorBoard.

    Raises:
        RunError: if there is nothing to read there, or a file is not what it seems.
    """
    label, path = split_label(words)
    run = Run(label, path)
    if path.is_file():
        _read_file(path, run)
    elif path.is_dir():
        _read_folder(path, run)
    else:
        raise RunError(f"{path}: no such run; give its folder, a metrics file (.jsonl), or an export (.csv)")
    if not run.metrics and not run.dumps:
        raise RunError(
            f"{path}: holds neither metrics (verl's file logger, TensorBoard events) nor rollout dumps (STEP.jsonl): "
            "set trainer.logger=[console,file] and trainer.rollout_data_dir for the next run"
        )
    _note_missing_steps(run)
    return run


def load_runs(words: Sequence[str]) -> list[Run]:
    """Read several runs; those of one label are numbered in the order given.

    Raises:
        RunError: as ``load_run``; or if one path is given twice, which would count as two seeds.
    """
    runs = [load_run(one) for one in words]
    paths = [run.path.resolve() for run in runs]
    again = next((run for place, run in enumerate(runs) if paths[place] in paths[:place]), None)
    if again is not None:
        raise RunError(f"{again.path}: given twice; it would count as two seeds. Give each run once")
    sizes = Counter(run.label for run in runs)
    seen: Counter[str] = Counter()
    for run in runs:
        seen[run.label] += 1
        run.seed = seen[run.label] if sizes[run.label] > 1 else None
    names = Counter(run.name for run in runs)
    clash = next((name for name, count in names.items() if count > 1), None)
    if clash is not None:  # such as a label "grpo_1" beside two runs labelled "grpo"
        raise RunError(f"two runs would be called {clash}: give one of them another label (LABEL=PATH)")
    return runs


def _read_folder(path: Path, run: Run) -> None:
    for file in [*sorted((path / "metrics").glob("*.jsonl")), path / "metrics.jsonl"]:
        if file.exists():
            _read_file(file, run)
    run.dumps = _dumps_in(path / "rollouts") or _dumps_in(path)
    run.validations = _dumps_in(path / "validation")
    run.traces = _dumps_in(path / "hicra_traces") or _dumps_in(path / "checkpoints" / "hicra_traces")
    events = sorted({file.parent for file in path.rglob("events.out.tfevents.*")})
    if not run.metrics and events:
        for folder in events:
            _read_tensorboard(folder, run)


def _dumps_in(folder: Path) -> dict[int, Path]:
    return {int(file.stem): file for file in folder.glob("*.jsonl") if file.stem.isdigit()}


def _read_file(path: Path, run: Run) -> None:
    if path.suffix == ".jsonl":
        _read_file_logger(path, run)
    elif path.suffix == ".csv":
        _read_csv(path, run)
    elif ".tfevents." in path.name:
        _read_tensorboard(path.parent, run)
    else:
        raise RunError(f"{path}: expected .jsonl (verl's file logger), .csv (an export), or TensorBoard events")


def _add(run: Run, step: int, values: dict[str, Any]) -> None:
    """Of a step logged twice, around a crash, the last time counts; what is no finite number is noted and left out."""
    kept = run.metrics.setdefault(step, {})
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if math.isfinite(value):
            kept[name] = float(value)
        else:
            run.gaps.append(f"{name} is {value} at step {step}")


def _read_file_logger(path: Path, run: Run) -> None:
    for number, row in _json_lines(path, run):
        if not isinstance(row.get("step"), int) or not isinstance(row.get("data"), dict):
            raise RunError(f'{path}, line {number}: not a line of verl\'s file logger ({{"step": …, "data": …}})')
        _add(run, row["step"], row["data"])


def _json_lines(path: Path, run: Run) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except ValueError as error:
            if number == len(lines):  # no line break after it: a crash cut it short
                run.gaps.append(f"{path.name}: its last line is cut short and left out")
                return
            raise RunError(
                f"{path}, line {number}: not valid JSON ({error}); remove the line to leave it out"
            ) from error
        if not isinstance(row, dict):
            raise RunError(f"{path}, line {number}: expected a JSON object")
        yield number, row


def _read_csv(path: Path, run: Run) -> None:
    """wandb's export: a Step column and one column a metric, named ``RUN - METRIC``; TensorBoard's: Wall time, Step,
    Value, with the metric in the file's name."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        table = csv.DictReader(stream)
        columns = table.fieldnames or []
        step_column = next((name for name in columns if name in ("Step", "_step", "step", "trainer/global_step")), None)
        if step_column is None:
            raise RunError(f"{path}: no column named Step; export with steps as the x axis")
        for number, row in enumerate(table, 2):
            values = {}
            for name in columns:
                if name in (step_column, "Wall time") or name.endswith(("__MIN", "__MAX")) or not row[name]:
                    continue
                metric = path.stem if name == "Value" else name.split(" - ", 1)[-1]
                try:
                    values[metric] = float(row[name])
                except ValueError:
                    continue  # a column of text
            try:
                _add(run, int(float(row[step_column])), values)
            except (ValueError, TypeError) as error:
                raise RunError(f"{path}, line {number}: {row[step_column]!r} is no step") from error


def _read_tensorboard(folder: Path, run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            _add(run, event.step, {name: event.value})


def _note_missing_steps(run: Run) -> None:
    for what, steps in (("metrics", run.metrics), ("rollouts", run.dumps)):
        present = sorted(step for step in steps if step > 0)
        if len(present) > 1:
            spacing = min(b - a for a, b in pairwise(present))
            missing = sorted(set(range(present[0], present[-1], spacing)) - set(present))
            if missing:
                shown = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
                run.gaps.append(f"no {what} for {len(missing)} steps ({shown})")


def read_dump(path: Path, gaps: list[str] | None = None) -> list[Rollout]:
    """The rollouts of one step; a last line cut short is left out and noted in ``gaps``.

    The rows that verl's V1 trainer adds to fill a batch are left out; a response that is empty because the model ended
    at once is one.

    Raises:
        RunError: naming the line and field that is not as verl writes it.
    """
    note = Run("", path, gaps=[] if gaps is None else gaps)
    rollouts = []
    for number, row in _json_lines(path, note):
        if _PADDING.fullmatch(str(row.get("uid", ""))):
            continue
        for name in ("input", "output", "score"):
            if name not in row:
                raise RunError(f"{path}, line {number}: no field {name!r}; is it one of verl's rollout dumps?")
        # V1 names a response {prompt}_{session}_{output}; the other trainers name none, and prompts tell groups apart.
        parts = str(row.get("uid", "")).rsplit("_", 2)
        group, session = (parts[0], parts[1]) if len(parts) == 3 else (str(row["input"]), str(number))
        score = float(row["score"]) if row["score"] is not None else math.nan
        expected = str(row.get("gts", ""))
        rollouts.append(Rollout(str(row["input"]), str(row["output"]), expected, score, group, session))
    return rollouts
