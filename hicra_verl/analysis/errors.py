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
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from hicra_verl.analysis.error_counts import (
    CATEGORIES,
    CATEGORY,
    NO_LETTER,
    cohen_kappa,
    count_step,
    without_nan,
)
from hicra_verl.analysis.failures import OF, Failure, Failures
from hicra_verl.analysis.figures import draw_errors
from hicra_verl.analysis.runs import RunError
from hicra_verl.asking import Answers
from hicra_verl.endpoint import Answer, Endpoint, Question
from hicra_verl.files import write_json, write_text
from hicra_verl.grading.answers import last_boxed
from hicra_verl.records import whole_number

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
JUDGED, COUNTS = "judged.jsonl", "errors.json"
MAX_RESPONSE_CHARACTERS = 60_000  # ours: what a judge with a context of 32K tokens can read


class Verdict(NamedTuple):
    """What a judge says of one failure: the letter, and all of its answer ("" where it was refused)."""

    letter: str
    answer: str


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
) -> list[Verdict]:
    """Have each failure judged once; answers that are kept and name a letter are not asked for again.

    Args:
        failures: what to judge.
        endpoint: the judge.
        run: which repetition this is.
        answers: where its answers are kept; see ``Answers.ask`` for what is raised.
        progress: called with each answer.

    Returns:
        A verdict on each failure: ``NO_LETTER`` where the judge names none, or refuses the question.
    """
    keys = [key_of(failure, endpoint.model, run) for failure in failures]
    arguments = {"temperature": 0.0, "seed": run}
    questions = {
        key: Question([{"role": "user", "content": question(failure)}], arguments)
        for key, failure in zip(keys, failures, strict=True)
    }
    verdicts: dict[str, Verdict] = {}
    for key, answer in answers.ask(endpoint, questions, lambda key, text: letter_of(text) != NO_LETTER):
        verdicts[key] = Verdict(letter_of(answer.text), answer.text)
        progress(answer)
    return [verdicts.get(key, Verdict(NO_LETTER, "")) for key in keys]


@dataclass
class Opinions:
    """What several raters (a judge and its repetition, such as ``judge #1``) say of the same failures.

    Attributes:
        failures: the failures.
        verdicts: of each rater, one a failure.
        by_rater: of each, ``count_step`` of each step.
        kappa: Cohen's kappa of each two.
    """

    failures: Failures
    verdicts: Mapping[str, Sequence[Verdict]]
    by_rater: dict[str, list[dict[str, Any]]] = field(init=False)
    kappa: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        letters = {rater: [verdict.letter for verdict in found] for rater, found in self.verdicts.items()}
        self.by_rater = {rater: self._counts(found) for rater, found in letters.items()}
        pairs = combinations(letters, 2)
        self.kappa = {f"{one} and {two}": cohen_kappa(letters[one], letters[two]) for one, two in pairs}

    def _counts(self, letters: Sequence[str]) -> list[dict[str, Any]]:
        by_step: dict[int, list[str]] = defaultdict(list)
        for failure, letter in zip(self.failures.sample, letters, strict=True):
            by_step[failure.step].append(letter)
        return [count_step(step, total, by_step[step]) for step, total in self.failures.totals.items()]

    @property
    def whose(self) -> str:
        """Whose failures these are, in words."""
        return OF[self.failures.kind]

    def save(self, folder: Path) -> None:
        """Write the counts (``COUNTS``), the first rater's figure, and every verdict (``JUDGED``).

        A line of ``JUDGED`` holds ``rater``, ``of`` (validation, training, file), ``step``, ``row`` (the response's
        place, from 0, in its step's dump), ``letter``, ``category`` (null for a grading miss and for no letter) and
        ``answer`` (the judge's own words).
        """
        draw_errors(next(iter(self.by_rater.values())), self.whose, CATEGORIES).save(folder)
        lines = [
            {
                "rater": rater,
                "of": self.failures.kind,
                "step": failure.step,
                "row": failure.row,
                "letter": verdict.letter,
                "category": CATEGORY.get(verdict.letter),
                "answer": verdict.answer,
            }
            for rater, found in self.verdicts.items()
            for failure, verdict in zip(self.failures.sample, found, strict=True)
        ]
        write_text(folder / JUDGED, "".join(json.dumps(line) + "\n" for line in lines))
        counts = {"prompt_version": PROMPT_VERSION, "of": self.failures.kind, "judges": self.by_rater}
        write_json(folder / COUNTS, without_nan({**counts, "kappa": self.kappa}))
