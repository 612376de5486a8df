"""Result folders of `hicra eval`, gathered into rows: several folders of one row are its seeds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hicra_verl.endpoint import REFUSED
from hicra_verl.evaluation.benchmarks import EvaluationError
from hicra_verl.evaluation.comparison import PerProblem
from hicra_verl.evaluation.run import SETTINGS_FILE, by_problem, distinct_samples, samples_file
from hicra_verl.records import read_json, read_records, short

SUMMARY_FILE = "summary.json"
OWN_ROW = "new:"
"""What stands before the name of a row that is not the paper's, so that a misspelt name is not taken for one."""

_KINDS = {"model": str, "seed": int | None, "row": str | None, "sampling": dict | None, "limit": int | None}
_SAME_IN_A_ROW = ("template", "sampling", "samples", "limit")


@dataclass(frozen=True)
class Run:
    """One folder: what was evaluated, how, and each benchmark's figures (see ``summary.summarise``)."""

    folder: Path
    settings: dict[str, Any]
    benchmarks: dict[str, dict[str, Any]]

    @property
    def identity(self) -> tuple[str, int]:
        """Two runs with the same model and seed are one and the same."""
        return os.path.normpath(self.settings["model"]), int(self.settings.get("seed") or 0)


@dataclass
class Row:
    """What belongs to one row.

    Attributes:
        name: the row's; of results without one, the model's.
        named: whether it was evaluated with ``--row``.
        runs: its folders.
    """

    name: str
    named: bool
    runs: list[Run] = field(default_factory=list)

    def benchmarks(self) -> set[str]:
        """What it was evaluated on."""
        return {benchmark for run in self.runs for benchmark in run.benchmarks}

    def of(self, benchmark: str) -> list[Run]:
        """The runs that have this benchmark: one a seed."""
        return [run for run in self.runs if benchmark in run.benchmarks]

    def scores(self, benchmark: str) -> list[float]:
        """Pass@1 in percent, one a seed."""
        return [100 * run.benchmarks[benchmark]["pass@1"] for run in self.of(benchmark)]

    def per_problem(self, benchmark: str) -> list[PerProblem] | None:
        """Each seed's results by problem; None if one is of a version that did not keep them."""
        figures = [run.benchmarks[benchmark] for run in self.of(benchmark)]
        if not all("per_problem" in each for each in figures):
            return None
        return [each["per_problem"] for each in figures]


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (dividing by n - 1) of two or more seeds' scores."""
    return float(np.mean(values)), float(np.std(values, ddof=1))


def row_name(word: str, known: Iterable[str]) -> str:
    """The row that ``--row`` names: one that is known, or one's own after ``new:``.

    Raises:
        EvaluationError: if the own one is not fit for a name, or is known.
    """
    name = word.removeprefix(OWN_ROW)
    if name == word:
        return name
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise EvaluationError(f"--row {word}: a row's name has small letters, digits and _, such as qwen25_7b_gspo")
    if name in set(known):
        raise EvaluationError(f"--row {word}: this row is there already; for it, --row {name}; else another name")
    return name


def result_files(folders: Sequence[Path]) -> list[Path]:
    """Every file of these folders that results are read from."""
    return [
        file
        for folder in folders
        for file in (folder / SETTINGS_FILE, folder / SUMMARY_FILE, *folder.glob("samples/*.jsonl"))
    ]


def load_results(folders: Sequence[Path]) -> list[Row]:
    """Rows in the order of their first folder; results without a row go by their model.

    Raises:
        EvaluationError: if a folder holds no finished evaluation, two hold the same model and seed, or two of a row
            differ in how they were sampled.
    """
    rows: dict[tuple[bool, str], Row] = {}
    for run in map(_load, folders):
        row = run.settings.get("row")
        key = (row is not None, row or os.path.normpath(run.settings["model"]))
        rows.setdefault(key, Row(key[1], key[0])).runs.append(run)
    for found in rows.values():
        for benchmark in sorted(found.benchmarks()):
            _check_seeds(found.of(benchmark), benchmark)
    last_parts = [Path(row.name).name for row in rows.values() if not row.named]
    for found in rows.values():
        # A model's folder or hub name is long; its last part says it unless another model's is the same.
        last = Path(found.name).name
        if not found.named and last_parts.count(last) == 1:
            found.name = last
    return list(rows.values())


def _load(folder: Path) -> Run:
    lacking = [name for name in (SETTINGS_FILE, SUMMARY_FILE) if not (folder / name).exists()]
    if lacking:
        problem = f"holds no finished evaluation: {' and '.join(lacking)} absent"
        raise EvaluationError(problem, file=folder, remedy="`hicra eval` writes one")
    remedy = "`hicra eval` writes it"
    settings = read_json(folder / SETTINGS_FILE, remedy)
    summary = read_json(folder / SUMMARY_FILE, f"{remedy}: run the evaluation's command again, it goes on")
    run = Run(folder, settings, summary.get("benchmarks", {}))
    for name, kind in _KINDS.items():
        value = settings.get(name)
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and abs(value) >= 2**63):
            problem = f"not as `hicra eval` writes it: {short(value)}"
            raise EvaluationError(problem, file=folder / SETTINGS_FILE, field=name, remedy="restore it")
    if not isinstance(run.benchmarks, dict) or not run.benchmarks:
        raise _unlike(folder, "benchmarks")
    for name, figures in run.benchmarks.items():
        if not _well_formed(figures):
            raise _unlike(folder, name)
        _check_samples(folder, name, figures)
    return run


def _unlike(folder: Path, field: str) -> EvaluationError:
    remedy = "remove it and run the evaluation's command again: it makes it from the samples"
    return EvaluationError("not as `hicra eval` writes it", file=folder / SUMMARY_FILE, field=field, remedy=remedy)


def _well_formed(figures: Any) -> bool:
    """Whether a benchmark's figures are what ``summary.summarise`` gives, as far as tables need them."""

    def numbers(values: Any, count: int, high: float) -> bool:
        ok = isinstance(values, list) and len(values) == count
        return ok and all(type(value) in (int, float) and 0 <= value <= high for value in values)

    if not isinstance(figures, dict) or not isinstance(figures.get("grades", {}), dict):
        return False
    problems, each = figures.get("problems"), figures.get("per_problem", {})
    return (
        numbers([figures.get("pass@1")], 1, 1)
        and numbers(figures.get("pass@1_interval"), 2, 1)
        and type(problems) is int
        and problems > 0
        and type(figures.get("grades", {}).get(REFUSED, 0)) is int
        and isinstance(each, dict)
        and len(each) == (problems if "per_problem" in figures else 0)
        and all(numbers(pair, 2, 10**9) and max(1, pair[1]) <= pair[0] for pair in each.values())
    )


def _check_samples(folder: Path, name: str, figures: dict[str, Any]) -> None:
    """Refuse a summary that its own samples do not bear out, where they are still there."""
    path = samples_file(folder, name)
    if "per_problem" not in figures or not re.fullmatch(r"[\w-]+", name) or not path.is_file():
        return
    samples = distinct_samples(path, ((record.line, record.data) for record in read_records(path)))
    if by_problem(samples) != figures["per_problem"]:
        raise EvaluationError(
            f"says something else of {name} than the samples in {path}",
            file=folder / SUMMARY_FILE,
            remedy="run the evaluation's command again: it makes the summary from the samples",
        )


def _check_seeds(runs: list[Run], benchmark: str) -> None:
    by_identity: dict[tuple[str, int], Run] = {}
    for run in runs:
        first = by_identity.setdefault(run.identity, run)
        if first is not run:
            raise EvaluationError(
                f"{first.folder} and {run.folder} both hold {benchmark} of {run.identity[0]} with seed "
                f"{run.identity[1]}: give one of the two (seeds of a row differ in --model or --seed)"
            )
        for name in _SAME_IN_A_ROW:
            wanted, this = _setting(runs[0], name), _setting(run, name)
            if wanted != this:
                raise EvaluationError(
                    f"{runs[0].folder} and {run.folder} hold {benchmark} of the same row, but {name} is {wanted!r} and "
                    f"{this!r}: that is no spread of seeds; give one of the two"
                )


def different_settings(ours: Sequence[Run], theirs: Sequence[Run]) -> list[str]:
    """What two rows' evaluations do not have in common, although a comparison wants it."""
    return [name for name in _SAME_IN_A_ROW if _setting(ours[0], name) != _setting(theirs[0], name)]


def _setting(run: Run, name: str) -> Any:
    value = run.settings.get(name)
    return {"stop": [], **value} if name == "sampling" and value else value  # earlier versions had no stop texts
