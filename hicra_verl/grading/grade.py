"""One answer's grade, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hicra_verl.grading import answers, numerals
from hicra_verl.grading.pool import GradingPool, shared_pool

REASONS = ("equal", "equivalent", "different", "no_answer", "unparsed", "timed_out", "failed")


@dataclass(frozen=True)
class Grade:
    """What grading found.

    Attributes:
        correct: True if the answer is the expected one.
        reason: one of ``REASONS``: equal as text, equivalent as a number or by algebra, different, nothing boxed, no
            mathematics in the box (or far too much of it), the time limit, or an error. Only the first two are
            correct; the last three are counted apart, because they say something about the grader as well.
        answer: what the box held; None if there was none.
    """

    correct: bool
    reason: str
    answer: str | None


def grade(
    response: str,
    expected: str | list[str],
    kind: answers.Kind = "math",
    options: list[str] | None = None,
    pool: GradingPool | None = None,
) -> Grade:
    r"""Grade a response by its last ``\boxed{…}`` (paper, evaluation: strict matching on the box).

    Args:
        response: the response's text.
        expected: the published answer; of several, any one will do.
        kind: how answers of this problem compare; see ``answers.Kind``.
        options: a multiple-choice problem's options, where known.
        pool: where algebra runs; None for this process's own.
    """
    return start(response, expected, kind, options, pool)()


def start(
    response: str,
    expected: str | list[str],
    kind: answers.Kind = "math",
    options: list[str] | None = None,
    pool: GradingPool | None = None,
) -> Callable[[], Grade]:
    """The same without waiting: begins the algebra, if any is needed, and returns a function that gives the grade."""
    answer = answers.last_boxed(response)
    if not answer:
        return _settled(False, "no_answer", answer)
    if len(answer) > answers.MAX_ANSWER_CHARACTERS or answers.nesting(answer) > answers.MAX_NESTING or "\0" in answer:
        return _settled(False, "unparsed", answer)
    golds = [expected] if isinstance(expected, str) else expected
    for gold in golds:
        if kind == "choice":
            equal = answers.choice_equal(answer, gold, options)
        else:
            equal = answers.normalise(answer) == answers.normalise(gold)
            equal = equal or (kind == "number" and answers.number_equal(answer, gold) is True)
        if equal:
            return _settled(True, "equal", answer)
    if kind == "choice":
        return _settled(False, "different", answer)
    bare = answers.clean(answer)
    as_numbers = [numerals.same(bare, answers.clean(gold)) for gold in golds]
    if True in as_numbers:
        return _settled(True, "equivalent", answer)
    undecided = [gold for gold, same in zip(golds, as_numbers, strict=True) if same is None]
    if not undecided:
        # Two numbers written out: the commonest answers need no algebra.
        return _settled(False, "different", answer)

    pool = pool or shared_pool()
    futures = [pool.submit(answer, gold) for gold in undecided]

    def finish() -> Grade:
        found = [pool.outcome(future) for future in futures]
        if "equivalent" in found:
            return Grade(True, "equivalent", answer)
        return Grade(False, max(found, key=REASONS.index), answer)

    return finish


def _settled(correct: bool, reason: str, answer: str | None) -> Callable[[], Grade]:
    result = Grade(correct, reason, answer)
    return lambda: result
