"""How many responses failed for which reason: counts of all failures, from the sample that was judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

CATEGORY = {"A": "Others", "B": "Others", "C": "Planning & Strategy"}
CATEGORIES = ("Planning & Strategy", "Others")
GRADING_MISS = "D"
NO_LETTER = "?"  # the judge named none: counted, and asked again the next time


class Estimate(NamedTuple):
    """A count, and the bounds of its 95% interval; NaN for the count where nothing was judged."""

    number: float
    low: float
    high: float


def scaled_count(total: int, judged: int, found: int) -> Estimate:
    """How many of all failures have a property that some of a random sample have.

    The sample is drawn without replacement, so the number found is hypergeometric. The interval holds every count that
    a two-sided test at 5% does not reject, with mid-p tails: the exact tails cover more than they say (Lancaster 1961;
    ours, as the paper shows no interval). Where all were judged it is a point.

    Args:
        total: failures.
        judged: of them, in the sample.
        found: of those, with the property.

    Raises:
        ValueError: unless ``0 <= found <= judged <= total``.
    """
    if not 0 <= found <= judged <= total:
        raise ValueError(f"{found} found among {judged} judged of {total}")
    least, most = found, total - judged + found

    def above(count: int) -> bool:
        return _mid_tail(total, count, judged, range(found, min(judged, count) + 1)) > 0.025

    def below(count: int) -> bool:
        first = max(0, judged - (total - count))
        return _mid_tail(total, count, judged, range(found, first - 1, -1)) <= 0.025

    low, high = _first(least, most, above), _first(least, most + 1, below) - 1
    number = total * found / judged if judged else math.nan if total else 0.0
    return Estimate(number, float(low), float(high))


def _mid_tail(total: int, count: int, judged: int, numbers: range) -> float:
    """Probability of drawing these numbers, half of the first one's."""
    whole = _log_choose(total, judged)
    chances = [
        math.exp(_log_choose(count, number) + _log_choose(total - count, judged - number) - whole) for number in numbers
    ]
    return sum(chances) - chances[0] / 2 if chances else 0.0


def _log_choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first number from ``low`` on of which it holds; ``high`` if of none before it. Once true, it stays so."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def count_step(step: int, total: int, letters: Sequence[str]) -> dict[str, Any]:
    """One step's row: what the judge said of the sample, and what that means for all failures.

    Args:
        step: the training step.
        total: its failed responses, judged or not.
        letters: the judge's, of the sample.

    Returns:
        ``failures`` (all), ``sampled``, how often each letter was named, the categories' counts in the sample, the
        share of grading misses among the judged, and ``estimated``: for each category, and for grading misses, the
        count among all failures as [count, low, high]. Answers without a letter are taken to be like the others.
    """
    found = Counter(letters)
    judged = len(letters) - found[NO_LETTER]
    sample = {name: sum(found[letter] for letter in "ABC" if CATEGORY[letter] == name) for name in CATEGORIES}
    return {
        "step": step,
        "failures": total,
        "sampled": len(letters),
        **{letter: found[letter] for letter in ("A", "B", "C", GRADING_MISS, NO_LETTER)},
        **sample,
        "grading_miss_rate": found[GRADING_MISS] / judged if judged else math.nan,
        "estimated": {
            name: list(scaled_count(total, judged, count))
            for name, count in {**sample, "grading misses": found[GRADING_MISS]}.items()
        },
    }


def without_nan(value: Any) -> Any:
    """With null for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if value != value else value


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
