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
_NAMED = re.compile(r"_\s*\{?\s*\\(?:(?:text|mathrm)\s*\{\s*([a-zA-Z]+)\s*\}|(max|min|odot|oplus|ast|star|perp))\s*\}?")
# Letters that the parser takes for e, i and Euler's constant, whatever their subscript.
_CONSTANTS = {
    r"(?<![a-zA-Z\\])E(?![a-zA-Z])": r"\\mathcal{E}",
    r"(?<![a-zA-Z\\])e(?=\s*_)": r"\\mathcal{e}",
    r"(?<![a-zA-Z\\])I(?![a-zA-Z])": r"\\mathcal{I}",
    r"\\gamma(?![a-zA-Z])": r"\\mathcal{g}",
    r"\\Gamma(?![a-zA-Z]|\s*\()": r"\\mathcal{G}",
}
_FACTOR = re.compile(r"(?<![\w^.])(\d+\.?\d*)\s*(?=\()")  # 2(1/3) is no mixed number


def prepare() -> None:
    """Called once in each worker: bound its memory, load the libraries, silence their remarks on time limits."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)
    _verify("2x", "x+x")


def compare(given: str, expected: str) -> str:
    """``equivalent``, ``different``, or ``unparsed`` if no mathematics was found in one of the two.

    Args:
        given: what the box holds.
        expected: the published answer, with or without dollar signs.
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
    from math_verify import verify

    gold, answer = _parse(_as_latex(expected)), _parse(_as_latex(given))
    if gold is None or answer is None:
        return "unparsed"
    right = verify(gold, answer, numerals.PLACES, timeout_seconds=None, allow_set_relation_comp=True)
    return "equivalent" if right and not _too_far(gold, answer) else "different"


def _parse(latex: str) -> Any:
    """The expression, by math-verify's own parser; None if it cannot be read.

    Called directly, since the answer is found already and three of the defaults make wrong answers right: units are
    taken off the end though they may be variables, so that t/m is 1/m; letters lose their case; and of what cannot be
    read, the last number is taken.
    """
    from latex2sympy2_extended import NormalizationConfig, latex2sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig
    from sympy import Derivative, I, Symbol
    from sympy.core.relational import Relational

    spelling = NormalizationConfig(basic_latex=True, malformed_operators=True, nits=True, boxed="none")
    meaning = ConversionConfig(lowercase_symbols=False)
    for text in (latex, latex.rpartition("=")[2]) if latex.count("=") > 1 else (latex,):
        try:
            found = latex2sympy(text, is_real=True, normalization_config=spelling, conversion_config=meaning)
        except Exception:  # the parser raises whatever it meets
            continue
        # The parser takes i for a variable, and sympy dx/dt of a letter x for 0.
        meant = {rate: Symbol(str(rate)) for rate in found.atoms(Derivative) if rate.expr.is_Symbol}
        meant |= {letter: I for letter in found.free_symbols if letter.name == "i"}
        if isinstance(found, Relational):  # evaluated, x = 1 + i would be false for a real x
            return found.func(*(side.xreplace(meant) for side in found.args), evaluate=False)
        return found.xreplace(meant) if meant else found
    return None


def _too_far(gold: Any, answer: Any) -> bool:
    """math-verify rounds to six places and chops at 15, so that all very small numbers are one; see numerals.equal."""
    from sympy import Expr

    if not all(isinstance(one, Expr) and one.is_number for one in (gold, answer)):
        return False
    size, difference = abs(gold.evalf(20)), abs((gold - answer).evalf(20))
    if not size.is_comparable or not difference.is_comparable or size >= 0.1:
        return False
    return bool(difference > (float(numerals.tolerance(float(size))) or 1e-50))  # of an exact 0, evalf leaves crumbs


def _as_latex(answer: str) -> str:
    r"""The answer as the parser reads it rightly: ``1.5e-3``, ``-1./3``, ``np.arcsin(x)``, ``E_{1}``, ``m_{\max}``."""
    answer = _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", answer).replace("%", r"\%")
    answer = re.sub(r"(?<=\d)\{,\}(?=\d{3})", "", answer)
    answer = re.sub(r"(\d)\.(?!\d)", r"\1", answer)
    answer = _PROGRAMMED.sub(r"\\\1 ", answer)
    answer = re.sub(r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", answer)
    answer = _NAMED.sub(lambda match: f"_{{{match[1] or match[2]}}}", answer)
    for letter, symbol in _CONSTANTS.items():
        answer = re.sub(letter, symbol, answer)
    return _FACTOR.sub(r"\1 \\cdot ", answer)
