"""The human check of a gram set, reproducible: a blind sample, several raters, precision with intervals, agreement.

Second-hand, from the paper's review: its authors had three annotators judge 86% of the strategic grams, against 12% of
random n-grams, to guide the process or propose a plan, with "substantial" agreement; sample size and kappa: not given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hicra_verl.files import identity
from hicra_verl.mining.judging import JudgingError
from hicra_verl.mining.rating import NO, YES
from hicra_verl.mining.sample import Item, PrecisionError, load_items, load_key, phrases_of
from hicra_verl.mining.sheets import read_sheet

Z = 1.959963984540054  # 95%
AUTHORS_PRECISION = {"strategic grams": 0.86, "random n-grams": 0.12}  # in review; not in the paper


def load_ratings(path: Path, items: Sequence[Item]) -> dict[int, bool]:
    """One rater's answers: a TSV with the columns ``number`` and ``rating`` (yes or no).

    Raises:
        JudgingError: if a row is no rating, or an item has none; see ``read_sheet`` for more.
    """
    rated = read_sheet(path, phrases_of(items), (YES, NO), "rating")
    missing = [item.number for item in items if str(item.number) not in rated]
    if missing:
        shown = ", ".join(map(str, missing[:5]))
        raise JudgingError(f"{len(missing)} items are not rated yet (the first: {shown}); finish it first", file=path)
    return {int(number): rating == YES for number, rating in rated.items()}


@dataclass(frozen=True)
class Arm:
    """One arm's result.

    Attributes:
        items: phrases rated.
        precision: share that most raters called strategic.
        interval: its 95% Wilson interval.
        by_rater: share each rater called strategic.
        kappa: Fleiss' kappa of the arm.
    """

    items: int
    precision: float
    interval: tuple[float, float]
    by_rater: dict[str, float]
    kappa: float


@dataclass(frozen=True)
class Result:
    """All arms, Fleiss' kappa over all items, and what raters disagree on (number, phrase, who said yes)."""

    arms: dict[str, Arm]
    kappa: float
    disagreements: list[tuple[int, str, list[str]]]


def score(folder: Path, rating_files: Sequence[Path]) -> Result:
    """Count the ratings of a sample.

    Args:
        folder: the sample's.
        rating_files: one a rater, see ``load_ratings``; a file's name is the rater's.

    Raises:
        PrecisionError: if a file cannot be used, or there are fewer than two.
    """
    if len(rating_files) < 2:
        raise PrecisionError("agreement needs at least two raters' files; the paper had three")
    items = load_items(folder)
    arms = load_key(folder, items)
    raters: dict[str, dict[int, bool]] = {}
    read: dict[tuple[int, int], Path] = {}
    for path in rating_files:
        if path.stem in raters:
            raise PrecisionError(f"two raters are called {path.stem}", file=path, remedy="rename one of the two files")
        ratings = load_ratings(path, items)
        before = read.setdefault(identity(path), path)
        if before != path:
            raise PrecisionError(f"is {before} once more: one rater", file=path, remedy="give it once")
        raters[path.stem] = ratings
    votes = {item.number: [ratings[item.number] for ratings in raters.values()] for item in items}
    names = sorted({arm for listed in arms.values() for arm in listed})
    results = {}
    for name in names:
        numbers = [item.number for item in items if name in arms[item.number]]
        accepted = sum(2 * sum(votes[number]) > len(raters) for number in numbers)
        by_rater = {
            rater: sum(ratings[number] for number in numbers) / len(numbers) for rater, ratings in raters.items()
        }
        results[name] = Arm(
            len(numbers),
            accepted / len(numbers),
            wilson_interval(accepted, len(numbers)),
            by_rater,
            fleiss_kappa([votes[number] for number in numbers]),
        )
    differing = [
        (item.number, item.phrase, [rater for rater, yes in zip(raters, votes[item.number], strict=True) if yes])
        for item in items
        if len(set(votes[item.number])) > 1
    ]
    return Result(results, fleiss_kappa(list(votes.values())), differing)


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """95% interval of a share (Wilson, 1927); it stays within 0 and 1, also at the ends."""
    share = successes / total
    middle = share + Z**2 / (2 * total)
    half = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    scale = 1 + Z**2 / total
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def fleiss_kappa(votes: Sequence[Sequence[bool]]) -> float:
    """Agreement of several raters beyond chance (Fleiss, 1971): 1 is perfect, 0 is chance; NaN if all say the same.

    Args:
        votes: for each item every rater's answer; as many for each.
    """
    raters = len(votes[0])
    yes = [sum(answers) for answers in votes]
    agreeing = [(count**2 + (raters - count) ** 2 - raters) / (raters * (raters - 1)) for count in yes]
    share = sum(yes) / (raters * len(votes))
    chance = share**2 + (1 - share) ** 2
    return float("nan") if chance == 1 else (sum(agreeing) / len(agreeing) - chance) / (1 - chance)
