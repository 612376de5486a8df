"""Reading finished (or unfinished) runs: what their trackers logged, and the rollouts that verl dumped."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from hicra_verl.errors import HicraError
from hicra_verl.files import identity
from hicra_verl.metrics.table import old_names
from hicra_verl.verl_formats.dumps import MAX_STEP, ROLLOUTS, VALIDATION, dumps_in, read_file_log

LARGEST = 1e300  # of a metric's values: twice as much is no number any more
LABEL_BYTES = 120  # a label is part of file names
EVENT_LEVELS = 4  # how deep below a run's folder TensorBoard's events are looked for


class RunError(HicraError):
    """A run that cannot be read; the message names the file, the line and the remedy."""


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
        sources: every file that was read.
        gaps: what is missing, in words; figures and reports print it.
    """

    label: str
    path: Path
    seed: int | None = None
    metrics: dict[int, dict[str, float]] = field(default_factory=dict)
    dumps: dict[int, Path] = field(default_factory=dict)
    validations: dict[int, Path] = field(default_factory=dict)
    traces: dict[int, Path] = field(default_factory=dict)
    sources: list[Path] = field(default_factory=list)
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
    """The label and the path of ``LABEL=PATH``; of ``PATH`` alone, its last part. A label holds no slash.

    Raises:
        RunError: if the label is empty, or too long to be part of a file's name.
    """
    label, _, rest = words.partition("=")
    if not _is_labelled(words):
        path = _path(words)
        return (path.stem or path.resolve().name or "run")[:LABEL_BYTES], path
    if not label.strip():
        raise RunError(f"{words}: the label before = is empty", remedy="give one (LABEL=PATH), or the path alone")
    if len(label.encode("utf-8", "replace")) > LABEL_BYTES:
        raise RunError(f"the label {label[:20]}… is too long for a file's name", remedy="give a shorter one")
    return label, _path(rest)


def _is_labelled(words: str) -> bool:
    """``lr=0.1`` may be a label and a path, or a folder's name: that which is there."""
    label, equals, rest = words.partition("=")
    return bool(equals) and "/" not in label and (os.path.exists(rest) or not os.path.exists(words))


def _path(words: str) -> Path:
    try:
        return Path(words).expanduser()
    except RuntimeError as error:  # ~name, of nobody here
        raise RunError("no such home folder", file=words, remedy="write the path out") from error


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
            "holds neither metrics (verl's file logger, TensorBoard events) nor rollout dumps (STEP.jsonl)",
            file=path,
            remedy="set trainer.logger=[console,file] and trainer.rollout_data_dir for the next run",
        )
    run.sources += [*run.dumps.values(), *run.validations.values(), *run.traces.values()]
    _note_missing_steps(run)
    return run


def load_runs(words: Sequence[str]) -> list[Run]:
    """Read several runs. Those of one label are seeds of one method, numbered in the order given.

    Runs without a label are told apart by as much of their paths as it takes: ``a/run`` and ``b/run`` are a_run, b_run.

    Raises:
        RunError: as ``load_run``; if two share a file, so that one run would count as two seeds; if two would have one
            name.
    """
    runs = [load_run(one) for one in words]
    paths = [run.path.resolve() for run in runs]
    _check_distinct(runs)
    unlabelled = [place for place, one in enumerate(words) if not _is_labelled(one)]
    for parts in range(2, max((len(path.parts) for path in paths), default=0)):
        sizes = Counter(run.label for run in runs)
        for place in unlabelled:
            if sizes[runs[place].label] > 1:
                runs[place].label = "_".join(paths[place].with_suffix("").parts[1:][-parts:])[-LABEL_BYTES:]
    sizes = Counter(run.label for run in runs)
    seen: Counter[str] = Counter()
    for place, run in enumerate(runs):
        if place in unlabelled and sizes[run.label] > 1:
            raise RunError(f"another run is called {run.label}, too", file=run.path, remedy="label it: LABEL=PATH")
        seen[run.label] += 1
        run.seed = seen[run.label] if sizes[run.label] > 1 else None
    names = Counter(run.name for run in runs)
    clash = next((name for name, count in names.items() if count > 1), None)
    if clash is not None:  # such as a label "grpo_1" beside two runs labelled "grpo"
        raise RunError(f"two runs would be called {clash}", remedy="give one of them another label (LABEL=PATH)")
    return runs


def _check_distinct(runs: Sequence[Run]) -> None:
    read: dict[tuple[int, int], Run] = {}
    for run in runs:
        for file in run.sources:
            other = read.setdefault(identity(file), run)
            if other is not run:
                problem = f"given twice: {file} is of {other.path}, too, and would count as two seeds"
                raise RunError(problem, file=run.path, remedy="give each run once")


def held_out_metric(run: Run) -> str | None:
    """The first accuracy that verl logs on held-out problems, None if it logs none."""
    names = sorted({name for data in run.metrics.values() for name in data if name.startswith("val-core/")})
    return next((name for name in names if "/acc/mean@" in name), names[0] if names else None)


def _read_folder(path: Path, run: Run) -> None:
    for file in [*sorted((path / "metrics").glob("*.jsonl")), path / "metrics.jsonl"]:
        if file.is_file():
            _read_file(file, run)
    run.dumps = dumps_in(path / ROLLOUTS) or dumps_in(path)
    run.validations = dumps_in(path / VALIDATION)
    run.traces = dumps_in(path / "hicra_traces") or dumps_in(path / "checkpoints" / "hicra_traces")
    if not run.metrics:
        for folder in _event_folders(path):
            _read_tensorboard(folder, run)


def _event_folders(path: Path) -> Iterator[Path]:
    """The folders that hold TensorBoard's events, this one or some levels below; links are not followed."""
    for folder, folders, files in os.walk(path):
        if len(Path(folder).relative_to(path).parts) >= EVENT_LEVELS:
            folders.clear()
        folders.sort()
        if any(name.startswith("events.out.tfevents.") for name in files):
            yield Path(folder)


def _read_file(path: Path, run: Run) -> None:
    run.sources.append(path)
    if path.suffix == ".jsonl":
        for step, data in read_file_log(path, run.gaps):
            _add(run, step, data)
    elif path.suffix == ".csv":
        _read_csv(path, run)
    elif ".tfevents." in path.name:
        _read_tensorboard(path.parent, run)
    else:
        raise RunError("expected .jsonl (verl's file logger), .csv (an export), or TensorBoard events", file=path)


def _add(run: Run, step: int, values: dict[str, Any]) -> None:
    """Of a step logged twice, around a crash, the last time counts; what is no finite number is noted and left out."""
    kept = run.metrics.setdefault(step, {})
    for logged, value in values.items():
        name = old_names().get(logged, logged)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if value != value or abs(value) > LARGEST:  # math.isnan takes no integer of 400 digits
            shown = value if isinstance(value, float) else "a huge number"
            run.gaps.append(f"{name} is {shown} at step {step}")
        else:
            kept[name] = float(value)


def _read_csv(path: Path, run: Run) -> None:
    """wandb's export: a Step column and one column a metric, named ``RUN - METRIC``; TensorBoard's: Wall time, Step,
    Value, with the metric in the file's name."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            table = csv.DictReader(stream)
            columns = table.fieldnames or []
            step_column = next((name for name in columns if name in STEP_COLUMNS), None)
            if step_column is None:
                raise RunError("no column named Step", file=path, remedy="export with steps as the x axis")
            for row in table:
                _add(run, _csv_step(path, table.line_num, row[step_column]), _csv_values(path, step_column, row))
    except (csv.Error, UnicodeDecodeError) as error:  # UTF-16 or Latin-1 from a spreadsheet; a cell of a megabyte
        reason = f"not a CSV file in UTF-8 ({error})"
        raise RunError(reason, file=path, remedy="export it again, or save it as UTF-8") from error


STEP_COLUMNS = ("Step", "_step", "step", "trainer/global_step")


def _csv_step(path: Path, line: int, cell: str | None) -> int:
    try:
        step = int(float(cell or ""))
    except (ValueError, OverflowError):
        step = -1
    if not 0 <= step <= MAX_STEP:
        raise RunError(f"{cell!r:.40} is no step", file=path, line=line, remedy="remove the line to leave it out")
    return step


def _csv_values(path: Path, step_column: str, row: dict[str, Any]) -> dict[str, float]:
    values = {}
    for name, cell in row.items():
        if name in (None, step_column, "Wall time") or name.endswith(("__MIN", "__MAX")) or not cell:
            continue
        try:
            values[path.stem if name == "Value" else name.split(" - ", 1)[-1]] = float(cell)
        except ValueError:
            continue  # a column of text
    return values


def _read_tensorboard(folder: Path, run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run.sources += folder.glob("events.out.tfevents.*")
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            if 0 <= event.step <= MAX_STEP:
                _add(run, event.step, {name: event.value})
            else:
                run.gaps.append(f"{name} was logged at {event.step}, which is no step")


def _note_missing_steps(run: Run) -> None:
    for what, steps in (("metrics", run.metrics), ("rollouts", run.dumps)):
        present = sorted(step for step in steps if step > 0)
        if len(present) < 2:
            continue
        spacing = min(b - a for a, b in pairwise(present))
        # Counted, not listed: a step number may be as large as it likes.
        expected, kept = range(present[0], present[-1], spacing), set(present)
        missing = len(expected) - sum(step in expected for step in kept)
        if missing:
            shown = [str(step) for step in islice((step for step in expected if step not in kept), 5)]
            dots = ", …" if missing > len(shown) else ""
            run.gaps.append(f"no {what} for {missing} steps ({', '.join(shown)}{dots})")
