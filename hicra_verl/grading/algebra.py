"""Mathematical equivalence by math-verify. Runs only inside the pool's worker processes: it may hang or die."""

from __future__ import annotations

import logging
import resource

MEMORY_BYTES = 4 * 2**30  # ours: an exponent tower must not take the machine with it


def prepare() -> None:
    """Called once in each worker: bound its memory, load the libraries, silence their remarks on time limits."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)
    compare("1", "1")


def compare(given: str, expected: str) -> str:
    """``equivalent``, ``different``, or ``unparsed`` if no mathematics was found in one of the two.

    Args:
        given: what the box holds.
        expected: the published answer, with or without dollar signs. `hicra data` counts those that cannot be parsed.
    """
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    # math-verify's own limits use signals, which neither reach C code nor work in threads; the pool has its own.
    latex = LatexExtractionConfig(boxed_match_priority=0)
    gold = parse(_as_math(expected), [latex, ExprExtractionConfig()], parsing_timeout=None)
    answer = parse(f"\\boxed{{{given}}}", [latex], parsing_timeout=None)
    if not gold or not answer:
        return "unparsed"
    return "equivalent" if verify(gold, answer, timeout_seconds=None) else "different"


def _as_math(answer: str) -> str:
    return answer if "$" in answer else f"${answer}$"
