"""The failed responses of a run that a judge is to look at: of held-out problems, of training batches, or of a file."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hicra_verl.analysis.runs import Run, RunError, load_run, split_label
from hicra_verl.records import Record, check_text, read_records
from hicra_verl.verl_formats.dumps import read_dump

Kind = Literal["validation", "training", "file"]
OF = {"validation": "held-out problems", "training": "training batches", "file": "a file"}


@dataclass(frozen=True)
class Failure:
    """A failed response: what the judge is shown, and where it is from.

    Attributes:
        step: its training step; 0 of a file.
        problem: as the judge sees it.
        reference: a solution, or the answer that was expected.
        response: the student's.
        row: its place, from 0, among the responses of its step's dump, or of the file.
    """

    step: int
    problem: str
    reference: str
    response: str
    row: int = 0


@dataclass(frozen=True)
class Failures:
    """Failed responses to be judged: of each step all, or a random sample.

    Attributes:
        kind: whose they are.
        sample: those that are judged.
        totals: step to how many failed at it, judged or not.
    """

    kind: Kind
    sample: list[Failure]
    totals: dict[int, int]


def load_failures(
    source: str, steps: Sequence[int] | None, per_step: int, of: Kind | None = None, solutions: Path | None = None
) -> Failures:
    """The failed responses of a run's dumps, or of a JSONL file of responses (step 0).

    Args:
        source: ``[LABEL=]PATH``; see the command's help.
        steps: only these; None for all.
        per_step: judge at most this many of each, the same ones every time.
        of: the responses to held-out problems, which are the same at each step (paper, Figure 4), or those of the
            training batches; None takes the held-out ones where a run has them.
        solutions: a file as `hicra data` writes it, whose solutions the judge sees in the place of bare answers.

    Raises:
        RunError: if there is none.
        InputError: if a row lacks a field, or its field is not what it should be.
    """
    _, path = split_label(source)
    if path.is_file():
        kind: Kind = "file"
        if of is not None:
            raise RunError(f"--of {of}: {source} is a file, not a run")
        by_step = {0: _in_file(path)}
    else:
        run = load_run(source)
        kind = of or ("validation" if run.validations else "training")
        by_step = _in_run(run, kind)
    wanted = {step: found for step, found in sorted(by_step.items()) if steps is None or step in steps}
    chosen = [failure for step, found in wanted.items() for failure in _sample(kind, step, found, per_step)]
    if not chosen:
        where = "" if kind == "file" else f" to {OF[kind]}"
        raise RunError(
            f"{source}: holds no failed response{where}" + (f" of the steps {list(steps)}" if steps else ""),
            remedy=None if kind == "file" else "--of training, or --of validation, judges the others",
        )
    if solutions is not None:
        chosen = _with_solutions(chosen, solutions)
    return Failures(kind, chosen, {step: len(found) for step, found in wanted.items()})


def _in_file(path: Path) -> list[Failure]:
    failures = []
    for row, record in enumerate(read_records(path)):
        problem, response = record.text("problem"), record.text("response")
        if not record.success():
            failures.append(Failure(0, problem, _reference(record), response, row))
    return failures


def _in_run(run: Run, kind: Kind) -> dict[int, list[Failure]]:
    return {
        step: [
            Failure(step, rollout.prompt, rollout.expected, rollout.response, row)
            for row, rollout in enumerate(read_dump(dump))
            if rollout.response and rollout.score <= 0
        ]
        for step, dump in (run.validations if kind == "validation" else run.dumps).items()
    }


def _sample(kind: Kind, step: int, failures: list[Failure], most: int) -> list[Failure]:
    """A random sample. Of held-out problems the same ones at each step, as far as they fail, so that curves move with
    the policy and not with the draw."""
    if kind != "validation":
        return random.Random(step).sample(failures, min(len(failures), most))
    seen: Counter[str] = Counter()
    order = []
    for failure in failures:
        seen[failure.problem] += 1
        name = f"{seen[failure.problem]} {failure.problem}"
        order.append((hashlib.sha256(name.encode("utf-8", errors="replace")).digest(), failure))
    return [failure for _, failure in sorted(order, key=lambda pair: pair[0])[:most]]


def _with_solutions(failures: list[Failure], path: Path) -> list[Failure]:
    """With the solution of the problem that each prompt holds, the longest if it holds several.

    Raises:
        RunError: if the file has no solutions, or none of these problems.
    """
    import ahocorasick_rs

    solutions: dict[str, str] = {}
    for record in read_records(path):
        extra = record.data.get("extra_info")
        problem, solution = (extra.get("problem"), extra.get("solution")) if isinstance(extra, dict) else (None, None)
        if isinstance(problem, str) and problem.strip() and isinstance(solution, str) and solution:
            solutions[problem.strip()] = solution
    if not solutions:
        raise RunError(
            "holds no solutions", file=path, remedy="give a file that `hicra data` wrote from a set that has them"
        )
    problems = list(solutions)
    finder = ahocorasick_rs.AhoCorasick(problems, matchkind=ahocorasick_rs.MatchKind.LeftmostLongest)
    found = []
    for failure in failures:
        held = [problems[place] for place, _, _ in finder.find_matches_as_indexes(failure.problem)]
        found.append(replace(failure, reference=solutions[max(held, key=len)]) if held else failure)
    if found == failures:
        raise RunError("holds none of the problems of these responses", file=path, remedy="give the run's own data")
    return found


def _reference(record: Record) -> str:
    value = record.data.get("reference_solution") or record.data.get("ground_truth") or ""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    check_text(text, record, "reference_solution")
    return text
