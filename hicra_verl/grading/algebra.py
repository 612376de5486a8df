"""Mathematical equivalence by math-verify. Runs only inside the pool's worker processes: it may hang or die."""

from __future__ import annotations

import logging
import re
import resource
from typing import Any

from hicra_verl.grading import answers, lists, numerals
from hicra_verl.grading.units import has_variables, split_unit, units_differ

MEMORY_BYTES = 4 * 2**30  # ours: an exponent tower must not take the machine with it

_FUNCTIONS = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt|pi"
_PROGRAMMED = re.compile(rf"(?:\b(?:np|numpy|math)\.)?(?<![\\a-zA-Z])({_FUNCTIONS})(?![a-zA-Z])")
_SCIENTIFIC = re.compile(r"(?<![a-zA-Z\d.])(\d+\.?\d*|\.\d+)[eE]([-+]?\d+)(?![\d.]|\s*[a-zA-Z\\])")


def prepare() -> None:
    """Called once in each worker: bound its memory, load the libraries, silence their remarks on time limits."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)
    compare("x", "y")


def compare(given: str, expected: str) -> str:
    """``equivalent``, ``different``, or ``unparsed`` if no mathematics was found in one of the two.

    Args:
        given: what the box holds.
        expected: the published answer, with or without dollar signs. `hicra data` counts those that cannot be parsed.
    """
    wanted = answers.clean(expected)
    loose = not has_variables(wanted)
    found: list[str] = []

    def equal(one: str, other: str) -> bool:
        found.append(_compare_single(one, other, loose))
        return found[-1] == "equivalent"

    same = lists.same(answers.clean(given), wanted, equal)
    if same is None:
        return _compare_single(answers.clean(given), wanted, loose)
    if not same and found and all(outcome == "unparsed" for outcome in found):
        return "unparsed"
    return "equivalent" if same else "different"


def _compare_single(given: str, expected: str, loose: bool) -> str:
    if answers.normalise(given) == answers.normalise(expected):
        return "equivalent"
    if all(len(text) == 1 and text.isalpha() for text in (given, expected)):
        return "different"  # math-verify takes m for M
    number = numerals.same(given, expected)
    if number is not None:
        return "equivalent" if number else "different"
    nested = lists.same(given, expected, lambda one, other: _compare_single(one, other, loose) == "equivalent")
    if nested is not None:
        return "equivalent" if nested else "different"
    (given, given_unit), (expected, expected_unit) = split_unit(given, loose), split_unit(expected, loose=False)
    if given_unit and expected_unit and units_differ(given_unit, expected_unit):
        return "different"
    return _verify(given, expected)


def _verify(given: str, expected: str) -> str:
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    # Units are taken off before: math-verify would take variables for units (t/m for 1/m). Its own limits use
    # signals, which neither reach C code nor work in threads; the pool has its own.
    spelling = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all")
    latex = LatexExtractionConfig(boxed_match_priority=0, normalization_config=spelling)
    gold = parse(f"${_as_latex(expected)}$", [latex, ExprExtractionConfig()], parsing_timeout=None)
    answer = parse(f"\\boxed{{{_as_latex(given)}}}", [latex], parsing_timeout=None)
    if not gold or not answer:
        return "unparsed"
    right = verify(gold, answer, numerals.PLACES, timeout_seconds=None, allow_set_relation_comp=True)
    return "equivalent" if right and not _too_far(gold[0], answer[0]) else "different"


def _too_far(gold: Any, answer: Any) -> bool:
    """math-verify rounds to six places and chops at 15, so that all very small numbers are one; see numerals.equal."""
    from sympy import Expr

    if not all(isinstance(one, Expr) and one.is_number for one in (gold, answer)):
        return False
    size = abs(gold.evalf(20))
    if not size.is_Float or size >= 0.1 or size == 0:
        return False
    difference = abs((gold - answer).evalf(20))
    return bool(difference.is_Float and difference > float(numerals.tolerance(float(size))))


def _as_latex(answer: str) -> str:
    r"""``1.5e-3``, ``-1./3`` and ``np.arcsin(x)`` as LaTeX has them."""
    answer = _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", answer)
    answer = re.sub(r"(\d)\.(?!\d)", r"\1", answer)
    return _PROGRAMMED.sub(r"\\\1 ", answer)
