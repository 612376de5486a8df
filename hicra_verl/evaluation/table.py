"""The paper's tables with our results in their place: paper and ours in lines of their own, never mixed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import compress, groupby
from typing import Any

from hicra_verl.evaluation.benchmarks import BENCHMARKS, TITLES
from hicra_verl.evaluation.comparison import Difference, holm, paired_difference
from hicra_verl.evaluation.results import Row, Run, different_settings, mean_and_spread
from hicra_verl.tables import Table

NOT_TRAINED_HERE = ("Base", "ORZ", "SimpleRL", "")
"""Methods whose checkpoint is not chosen by a validation of ours (and models evaluated without --row)."""

# What stands behind a cell, and the note that says what it means.
PARTIAL, VALIDATED, EXCLUDES_ZERO, AFTER_HOLM = "†", "‡", " *", " **"


Line = tuple[str, ...]
"""One line of a table: the model and method it belongs to, whose numbers it holds, and a cell a benchmark."""


@dataclass(frozen=True)
class Label:
    """How a row is shown, and under which name (``key``) the rows of its model begin."""

    key: str
    model: str
    method: str


def paper_numbers() -> dict[str, Any]:
    """The paper's tables, as the package carries them."""
    text = resources.files("hicra_verl.evaluation").joinpath("paper.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def published_problems(benchmark: str) -> int | None:
    """How many problems a benchmark has; None for one of one's own."""
    known = BENCHMARKS.get(benchmark)
    return None if known is None else known.rows


def build(rows: Sequence[Row]) -> list[Table]:
    """The paper's tables, each followed by our other rows that have its benchmarks; then our other benchmarks."""
    paper = paper_numbers()
    writer = _Writer(paper, rows)
    tables = []
    for table in paper["tables"]:
        here = {row["row"] for row in table["rows"]}
        slips = [slip["note"] for slip in paper["slips"] if slip["row"] in here]
        tables.append(writer.table(f"Table {table['table']}", table["benchmarks"], table["rows"], slips))
    printed = {name for table in paper["tables"] for name in table["benchmarks"]}
    others = dict.fromkeys(name for row in rows for name in sorted(row.benchmarks()) if name not in printed)
    if others:
        tables.append(writer.table("Other benchmarks", list(others), [], []))
    return tables


class _Writer:
    """Writes cells; remembers which notes they call for."""

    def __init__(self, paper: dict[str, Any], rows: Sequence[Row]) -> None:
        self.rows = rows
        self.named = {row.name: row for row in rows if row.named}
        self.labels = _paper_labels(paper)
        self.models = {label.key: label.model for label in self.labels.values()}
        self.methods = {row.removeprefix(f"{label.key}_"): label.method for row, label in self.labels.items()}
        self.notes: dict[str, None] = {}  # in the order of their first use
        self.differences = self._differences()
        kept = holm([difference.p for difference in self.differences.values()])
        self.after_holm = set(compress(self.differences, kept))

    def label(self, row: Row) -> Label:
        """A row of one's own belongs to the model whose name it begins with: ``qwen25_7b_gspo`` to qwen25_7b."""
        if not row.named:
            return Label(row.name, row.name, "")
        if row.name in self.labels:
            return self.labels[row.name]
        keys = [key for key in self.models if row.name.startswith(f"{key}_")]
        key = max(keys, key=len) if keys else row.name.rpartition("_")[0] or row.name
        method = row.name.removeprefix(key).removeprefix("_")
        return Label(key, self.models.get(key, key), self.methods.get(method, method))

    def baseline(self, row: Row) -> Row | None:
        """The GRPO row that a row is compared with: HICRA's and those of one's own, of the same model."""
        label = self.label(row)
        if label.method in NOT_TRAINED_HERE or (row.name in self.labels and label.method != "HICRA"):
            return None
        found = self.named.get(f"{label.key}_grpo")
        return None if found is row else found

    def _differences(self) -> dict[tuple[str, str], Difference]:
        """By row and benchmark, wherever a row and its baseline both have results by problem."""
        found = {}
        for row in self.named.values():
            baseline = self.baseline(row) or Row("", False)
            for benchmark in sorted(row.benchmarks() & baseline.benchmarks()):
                ours, theirs = row.per_problem(benchmark), baseline.per_problem(benchmark)
                if ours and theirs and (difference := paired_difference(ours, theirs)):
                    found[row.name, benchmark] = difference
        return found

    def table(self, title: str, benchmarks: list[str], paper_rows: list[dict[str, Any]], slips: list[str]) -> Table:
        """One table, with the paper's rows (if it is one of the paper's) and ours."""
        self.notes = {}
        lines: list[Line] = []
        here = {row["row"] for row in paper_rows}
        others = [row for row in self.rows if not (row.named and row.name in here)]
        others = [row for row in others if row.benchmarks() & set(benchmarks)]
        for _, of_model in groupby(paper_rows, key=lambda row: row["model"]):
            model_rows = list(of_model)
            for row in model_rows:
                lines += self.paper_lines(row, benchmarks, model_rows)
            key = self.labels[model_rows[0]["row"]].key
            lines += [line for row in others if self.label(row).key == key for line in self.own_lines(row, benchmarks)]
        keys = {self.labels[row["row"]].key for row in paper_rows}
        for other in sorted((row for row in others if self.label(row).key not in keys), key=self._first_of_model):
            lines += self.own_lines(other, benchmarks)
        columns = ("model", "method", "", *(TITLES.get(benchmark, benchmark) for benchmark in benchmarks))
        title += ": Pass@1 in percent; in brackets 95% bootstrap intervals over problems"
        marked = frozenset(place for place, (_, _, whose, *_) in enumerate(lines) if whose.startswith("ours"))
        return Table(title, columns, lines, (*self.notes, *slips), words=3, group=2, marked=marked)

    def _first_of_model(self, row: Row) -> int:
        """So that rows of one model stand together."""
        keys = [self.label(other).key for other in self.rows]
        return keys.index(self.label(row).key)

    def paper_lines(self, row: dict[str, Any], benchmarks: list[str], model_rows: list[dict[str, Any]]) -> list[Line]:
        """The paper's numbers, ours, how ours differ from them, and after HICRA's how it differs from GRPO's."""
        whose = "paper" if row["source"] == "paper" else "authors, in review"
        ours = self.named.get(row["row"], Row(row["row"], True))
        model, method = row["model"], row["method"]
        numbers = ("" if value is None else f"{value:.1f}" for value in row["values"])
        lines: list[Line] = [(model, method, whose, *numbers)]
        lines.append((model, method, "ours", *(self.score(ours, benchmark) for benchmark in benchmarks)))
        if ours.benchmarks() & set(benchmarks):
            pairs = zip(benchmarks, row["values"], strict=True)
            lines.append((model, method, "ours - paper", *(self.to_paper(ours, *pair) for pair in pairs)))
        grpo = next((other for other in model_rows if other["method"] == "GRPO"), None)
        if method == "HICRA" and grpo is not None:
            pairs = zip(row["values"], grpo["values"], strict=True)
            lines.append((model, "HICRA - GRPO", "paper", *(_signed(hicra - baseline) for hicra, baseline in pairs)))
            lines.append(self.difference_line(ours, benchmarks))
        return lines

    def own_lines(self, row: Row, benchmarks: list[str]) -> list[Line]:
        """A row that is not one of this table's."""
        label = self.label(row)
        lines: list[Line] = [(label.model, label.method, "ours", *(self.score(row, name) for name in benchmarks))]
        baseline = self.baseline(row)
        if baseline is not None and row.benchmarks() & baseline.benchmarks() & set(benchmarks):
            lines.append(self.difference_line(row, benchmarks))
        return lines

    def score(self, row: Row, benchmark: str) -> str:
        """Pass@1 with its interval over problems; of several seeds, mean and spread."""
        runs = row.of(benchmark)
        if not runs:
            return ""
        title, label = TITLES.get(benchmark, benchmark), self.label(row)
        text = _points(row, benchmark, "{:.1f}".format)
        if len(runs) > 1:
            self.note("±: standard deviation over seeds of a row (training or sampling), instead of an interval")
        refused = sum(run.benchmarks[benchmark].get("grades", {}).get("refused", 0) for run in runs)
        if refused:
            name = f"{label.model} {label.method}".strip()
            self.note(f"{name}, {title}: {refused} samples are wrong because the engine refused the request")
        if benchmark == "aime24" and label.method not in NOT_TRAINED_HERE:
            text += VALIDATED
            self.note(
                f"{VALIDATED} AIME24 is also what training validates on and chooses its best checkpoint by; it is no "
                "held-out test of such a row"
            )
        return text + self.partial(benchmark, min(run.benchmarks[benchmark]["problems"] for run in runs), runs)

    def partial(self, benchmark: str, problems: int, runs: Sequence[Run]) -> str:
        """The mark of a cell whose benchmark was not asked in full."""
        whole = published_problems(benchmark)
        if whole is None:
            if not any(problems >= (run.settings.get("limit") or problems + 1) for run in runs):
                return ""
            part = f"the first {problems:,} problems"
        elif problems < whole:
            part = f"{problems:,} of {whole:,} problems"
        else:
            return ""
        self.note(f"{PARTIAL} on part of the benchmark only ({TITLES.get(benchmark, benchmark)}: {part})")
        return PARTIAL

    def to_paper(self, row: Row, benchmark: str, paper: float | None) -> str:
        """Ours less the paper's number, which has no interval of its own."""
        if not row.of(benchmark) or paper is None:
            return ""
        return _points(row, benchmark, lambda points: _signed(points - paper))

    def difference_line(self, row: Row, benchmarks: list[str]) -> Line:
        """A row less its model's GRPO row, paired by problem."""
        label = self.label(row)
        cells = (self.difference(row, benchmark) for benchmark in benchmarks)
        return label.model, f"{label.method} - GRPO", "ours", *cells

    def difference(self, row: Row, benchmark: str) -> str:
        """One cell of it, with its interval and what that says; blank where one of the two was never run."""
        baseline = self.baseline(row)
        if baseline is None or not row.of(benchmark) or not baseline.of(benchmark):
            return ""
        label, runs = self.label(row), [*row.of(benchmark), *baseline.of(benchmark)]
        where = f"{label.method} - GRPO of {label.model}, {TITLES.get(benchmark, benchmark)}"
        found = self.differences.get((row.name, benchmark))
        if found is None:
            old = [str(run.folder) for run in runs if "per_problem" not in run.benchmarks[benchmark]]
            why = f"{old[0]} is of a version that kept no results by problem" if old else "no problem in common"
            self.note(f"{where}: blank ({why})")
            return ""
        if different := different_settings(row.of(benchmark), baseline.of(benchmark)):
            self.note(f"{where}: the two were evaluated with another {' and '.join(different)}")
        if any(run.benchmarks[benchmark]["problems"] != found.problems for run in runs):
            self.note(f"{where}: on the {found.problems:,} problems that both were asked")
        mark = EXCLUDES_ZERO if found.significant else ""
        mark = AFTER_HOLM if mark and (row.name, benchmark) in self.after_holm else mark
        self.note(
            "differences to GRPO, ours: paired by problem, averaged over samples and seeds first; the intervals say "
            "what other problems would change, not what another seed of training would"
        )
        self.note(
            f"* the 95% interval excludes 0, taken by itself; ** it does, and the difference is significant at 5% "
            f"after Holm's correction for all {len(self.differences)} differences to GRPO of ours shown here; without "
            "a mark: not significant"
        )
        text = f"{_signed(100 * found.mean)} [{_signed(100 * found.low)}, {_signed(100 * found.high)}]{mark}"
        return text + self.partial(benchmark, found.problems, runs)

    def note(self, text: str) -> None:
        """Call for a note below the table."""
        self.notes[text] = None


def _points(row: Row, benchmark: str, shown: Callable[[float], str]) -> str:
    """A row's Pass@1: with its interval, or of several seeds with their spread."""
    runs, scores = row.of(benchmark), row.scores(benchmark)
    if len(runs) > 1:
        mean, spread = mean_and_spread(scores)
        return f"{shown(mean)} ± {spread:.1f} ({len(runs)} seeds)"
    low, high = runs[0].benchmarks[benchmark]["pass@1_interval"]
    return f"{shown(scores[0])} [{shown(100 * low)}, {shown(100 * high)}]"


def _signed(points: float) -> str:
    return f"{round(points, 1) + 0.0:+.1f}"  # the sum turns -0.0 into 0.0


def _paper_labels(paper: dict[str, Any]) -> dict[str, Label]:
    labels = {}
    for table in paper["tables"]:
        keys = {row["model"]: row["row"].removesuffix("_grpo") for row in table["rows"] if row["method"] == "GRPO"}
        for row in table["rows"]:
            labels[row["row"]] = Label(keys[row["model"]], row["model"], row["method"])
    return labels
