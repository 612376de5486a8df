"""How a problem is read from a row: data sets of text, and those in verl's own format."""

from __future__ import annotations

import re
from collections.abc import Callable

from hicra_verl.data.problems import Problem, Row, UnusableRow, as_answer, as_text
from hicra_verl.data.vision import pictures
from hicra_verl.grading.answers import last_boxed

Reader = Callable[[Row], Problem]


def plain(problem: str, answer: str, identity: str = "", *, whole: bool = False) -> Reader:
    """A reader of the columns of these names; ``whole``: of a data set that writes 27 as ``27.0``."""

    def read(row: Row) -> Problem:
        expected = as_answer(row[answer])
        expected = re.sub(r"^(-?\d+)\.0$", r"\1", expected) if whole else expected
        name, solution = str(row[identity]) if identity else "", as_text(row.get("solution"))
        return Problem(as_text(row[problem]), expected, identity=name, solution=solution)

    return read


def boxed_in_solution(row: Row) -> Problem:
    """The answer is what the solution boxes."""
    solution = as_text(row["solution"])
    answer = last_boxed(solution)
    if answer is None:
        raise UnusableRow("no answer", "its solution holds no \\boxed{…}")
    return Problem(as_text(row["problem"]), answer, solution=solution)


def olympiad(row: Row) -> Problem:
    """OlympiadBench; what several of its problems share stands in a column of its own."""
    context = as_text(row.get("context"))
    question = as_text(row["question"])
    text = f"{context}\n\n{question}" if context else question
    return Problem(text, as_answer(row["final_answer"]), identity=as_text(row.get("id")))


_DAPO_BEFORE = re.compile(r"^Solve the following math problem step by step\..*?\n\n", re.DOTALL)
_DAPO_AFTER = re.compile(r'\n\nRemember to put your answer on its own line after "Answer:"\.\s*$')
# How other sets in verl's format end; a public loader of the authors' set cuts its prompts there.
_ASKED_AFTER = re.compile(r"\s*(?:Let's think|Please reason) step by step[^\n]*\\boxed\{\}[^\n]*$")


def verl(row: Row) -> Problem:
    """verl's own format; the instructions that wrap the problem are taken off, the template has its own."""
    text = as_text(row["prompt"][-1]["content"])
    text = _ASKED_AFTER.sub("", _DAPO_AFTER.sub("", _DAPO_BEFORE.sub("", text)))
    extra = row.get("extra_info") or {}
    answer = as_answer(row["reward_model"]["ground_truth"])
    return Problem(text, answer, images=pictures(row, "images"), identity=as_text(extra.get("index")))
