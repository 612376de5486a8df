"""`hicra errors`: why failed responses failed, in the words of one or several judges.

The paper's protocol: a judge sees problem, reference and student's solution, names the single most significant reason,
and answers with one boxed letter. A: unrelated, or no understanding. B: low-level execution (rewriting, calculation,
algebra, substitution). C: a flaw in the high-level plan. D: acceptable after all. C counts as "Planning & Strategy", A
and B as "Others"; D is a miss of the grading, not an error of the student's, and is reported apart. The paper does
not print its prompt but says where to find it. This one is ours, written without it; its version is part of every
cached answer.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from hicra_verl.analysis.figures import draw_errors
from hicra_verl.analysis.runs import RunError, load_run, split_label
from hicra_verl.asking import Answers
from hicra_verl.endpoint import Answer, Endpoint, Question
from hicra_verl.files import write_json
from hicra_verl.grading.answers import last_boxed
from hicra_verl.records import Record, check_text, read_records, whole_number
from hicra_verl.verl_formats.dumps import read_dump

PROMPT_VERSION = 1
PROMPT = """You are shown a problem, a reference solution or answer, and a student's solution that was marked wrong.
Compare them and find the single most significant reason why the student's solution is wrong. Choose one letter:

A. The solution is unrelated to the problem or shows no understanding of it.
B. The plan is sound, but its execution is not: a wrong calculation, algebraic step, rewriting or substitution.
C. The high-level plan or strategy is flawed: no correct execution of it would have solved the problem.
D. The solution is acceptable after all: it was marked wrong by mistake.

Explain in at most three sentences, then end with the letter in a box, such as \\boxed{{B}}.

# Problem
{problem}

# Reference
{reference}

# Student's solution
{response}
"""
CATEGORY = {"A": "Others", "B": "Others", "C": "Planning & Strategy"}
GRADING_MISS = "D"
NO_LETTER = "?"  # the judge named none: counted, and asked again the next time
MAX_RESPONSE_CHARACTERS = 60_000  # ours: what a judge with a context of 32K tokens can read


@dataclass(frozen=True)
class Failure:
    """A failed response: the step it is from, and what the judge is shown."""

    step: int
    problem: str
    reference: str
    response: str


def raters(judges: Sequence[str], repeats: int) -> dict[str, tuple[str, int]]:
    """Each judge and repetition, by what it is called.

    Raises:
        RunError: if a judge is named twice.
    """
    for name in judges:
        if judges.count(name) > 1:
            raise RunError(f"--judge {name} is given twice", remedy="--repeats asks a judge again")
    return {f"{name} #{run + 1}": (name, run) for name in judges for run in range(repeats)}


def parse_steps(words: str | None) -> list[int] | None:
    """The steps of a list such as ``10,50``; None for all.

    Raises:
        RunError: if it is none.
    """
    numbers = [whole_number(word) for word in words.split(",")] if words is not None else None
    if numbers is not None and None in numbers:
        raise RunError(f"--steps {words}: expected numbers with commas between them, such as 10,50")
    return numbers  # type: ignore[return-value]


def load_failures(source: str, steps: Sequence[int] | None, per_step: int) -> list[Failure]:
    """The failed responses of a run's dumps, or of a JSONL file of responses (step 0).

    Args:
        source: ``[LABEL=]PATH``; see the command's help.
        steps: only these; None for all.
        per_step: at most this many of each, the same ones every time.

    Raises:
        RunError: if there is none.
        InputError: if a row lacks a field, or its field is not what it should be.
    """
    _, path = split_label(source)
    failures: dict[int, list[Failure]] = defaultdict(list)
    if path.is_file():
        for record in read_records(path):
            problem, response = record.text("problem"), record.text("response")
            if not record.success():
                failures[0].append(Failure(0, problem, _reference(record), response))
    else:
        run = load_run(source)
        for step, dump in sorted(run.dumps.items()):
            failures[step] += [
                Failure(step, rollout.prompt, rollout.expected, rollout.response)
                for rollout in read_dump(dump)
                if rollout.response and rollout.score <= 0
            ]
    chosen = []
    for step, found in sorted(failures.items()):
        if steps is None or step in steps:
            chosen += random.Random(step).sample(found, min(len(found), per_step))
    if not chosen:
        raise RunError(f"{source}: holds no failed response" + (f" of the steps {list(steps)}" if steps else ""))
    return chosen


def _reference(record: Record) -> str:
    value = record.data.get("reference_solution") or record.data.get("ground_truth") or ""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    check_text(text, record, "reference_solution")
    return text


def question(failure: Failure) -> str:
    """The judge's prompt. Of a response too long for it, the beginning and the end are shown."""
    response = failure.response
    if len(response) > MAX_RESPONSE_CHARACTERS:
        half = MAX_RESPONSE_CHARACTERS // 2
        response = f"{response[:half]}\n[… {len(response) - 2 * half:,} characters left out …]\n{response[-half:]}"
    return PROMPT.format(problem=failure.problem, reference=failure.reference, response=response)


def key_of(failure: Failure, judge: str, run: int) -> str:
    """Names an answer: same prompt version, judge, repetition and texts, same key."""
    content = json.dumps([PROMPT_VERSION, judge, run, failure.problem, failure.reference, failure.response])
    return hashlib.sha256(content.encode("utf-8", errors="replace")).hexdigest()[:32]


def letter_of(text: str) -> str:
    """The letter in the last box, ``?`` if there is none of A to D."""
    boxed = re.sub(r"\\text\s*\{(.*?)\}", r"\1", last_boxed(text) or "").strip(" .()")
    return boxed if boxed in ("A", "B", "C", "D") else NO_LETTER


def judge(
    failures: Sequence[Failure],
    endpoint: Endpoint,
    run: int,
    answers: Answers,
    progress: Callable[[Answer], None] = lambda answer: None,
) -> list[str]:
    """Have each failure judged once; answers that are kept and name a letter are not asked for again.

    Args:
        failures: what to judge.
        endpoint: the judge.
        run: which repetition this is.
        answers: where its answers are kept; see ``Answers.ask`` for what is raised.
        progress: called with each answer.

    Returns:
        A letter for each failure: ``NO_LETTER`` where the judge names none, or refuses the question.
    """
    keys = [key_of(failure, endpoint.model, run) for failure in failures]
    arguments = {"temperature": 0.0, "seed": run}
    questions = {
        key: Question([{"role": "user", "content": question(failure)}], arguments)
        for key, failure in zip(keys, failures, strict=True)
    }
    letters: dict[str, str] = {}
    for key, answer in answers.ask(endpoint, questions, lambda key, text: letter_of(text) != NO_LETTER):
        letters[key] = letter_of(answer.text)
        progress(answer)
    return [letters.get(key, NO_LETTER) for key in keys]


@dataclass(frozen=True)
class Opinions:
    """What several raters (a judge and its repetition, such as ``judge #1``) say of the same failures.

    Attributes:
        by_rater: ``counts_by_step`` of each.
        kappa: Cohen's kappa of each two.
    """

    by_rater: dict[str, list[dict[str, Any]]]
    kappa: dict[str, float]

    @classmethod
    def of(cls, failures: Sequence[Failure], letters: Mapping[str, Sequence[str]]) -> Opinions:
        """Count the letters of each rater."""
        by_rater = {rater: counts_by_step(failures, found) for rater, found in letters.items()}
        pairs = combinations(letters, 2)
        return cls(by_rater, {f"{one} and {two}": cohen_kappa(letters[one], letters[two]) for one, two in pairs})

    def save(self, folder: Path) -> None:
        """Write errors.json, and the first rater's figure."""
        draw_errors(
            [
                {"step": row["step"], "category": category, "count": row[category]}
                for row in next(iter(self.by_rater.values()))
                for category in dict.fromkeys(CATEGORY.values())
            ]
        ).save(folder)
        judges = {rater: [_without_nan(row) for row in rows] for rater, rows in self.by_rater.items()}
        result = {"prompt_version": PROMPT_VERSION, "judges": judges, "kappa": _without_nan(self.kappa)}
        write_json(folder / "errors.json", result)


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """With null for NaN, which JSON does not have."""
    return {key: None if value != value else value for key, value in values.items()}


def counts_by_step(failures: Sequence[Failure], letters: Sequence[str]) -> list[dict[str, Any]]:
    """One row a step: how many failures of each letter, of each category, and the share of grading misses."""
    by_step: dict[int, Counter[str]] = defaultdict(Counter)
    for failure, letter in zip(failures, letters, strict=True):
        by_step[failure.step][letter] += 1
    rows = []
    for step, found in sorted(by_step.items()):
        categories: Counter[str] = Counter()
        for letter, category in CATEGORY.items():
            categories[category] += found[letter]
        judged = sum(found.values()) - found[NO_LETTER]
        rows.append(
            {
                "step": step,
                "failures": sum(found.values()),
                **{letter: found[letter] for letter in ("A", "B", "C", "D", NO_LETTER)},
                **categories,
                "grading_miss_rate": found[GRADING_MISS] / judged if judged else float("nan"),
            }
        )
    return rows


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Agreement of two raters beyond chance: 1 is perfect, 0 is chance (Cohen, 1960). NaN if chance alone is perfect.

    Args:
        first: one rater's letters.
        second: the other's, about the same failures.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} ratings are not of the same failures")
    total = len(first)
    if total == 0:
        return float("nan")
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / total
    left, right = Counter(first), Counter(second)
    chance = sum(left[letter] * right[letter] for letter in left) / total**2
    return float("nan") if chance == 1 else (observed - chance) / (1 - chance)
