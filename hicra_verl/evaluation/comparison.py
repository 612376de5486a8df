"""What chance alone could do: bootstrap intervals over problems, of a mean and of a paired difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 10_000
CONFIDENCE = 0.95
_CELLS_AT_ONCE = 4_000_000  # of the (draws, problems) array: 32 MB, whatever the benchmark

PerProblem = Mapping[str, tuple[int, int]]
"""A run's results: problem to (samples, correct samples)."""


@dataclass(frozen=True)
class Difference:
    """One method's mean correctness less another's, paired by problem; all between -1 and 1.

    Attributes:
        mean: over problems.
        low, high: 95% percentile interval of the mean, resampling problems.
        p: two-sided bootstrap p-value of no difference.
        problems: how many both were asked.
    """

    mean: float
    low: float
    high: float
    p: float
    problems: int

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def bootstrap_means(values: Sequence[float], seed: int = 0) -> npt.NDArray[np.float64]:
    """Means of ``DRAWS`` resamplings with replacement, (DRAWS,).

    Args:
        values: one a problem.
        seed: of the resampling.
    """
    array = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // len(array))
    sizes = [min(at_once, DRAWS - start) for start in range(0, DRAWS, at_once)]
    return np.concatenate([array[rng.integers(0, len(array), (size, len(array)))].mean(axis=1) for size in sizes])


def _interval(means: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95% percentile interval of a mean, resampling its values (here: problems) with replacement; see above."""
    return _interval(bootstrap_means(values, seed))


def mean_correctness(runs: Sequence[PerProblem]) -> dict[str, float]:
    """Each problem's share of correct samples, averaged over runs (seeds), for the problems that all runs have."""
    shared = set.intersection(*(set(run) for run in runs))
    return {uid: float(np.mean([run[uid][1] / run[uid][0] for run in runs])) for uid in sorted(shared)}


def paired_difference(ours: Sequence[PerProblem], theirs: Sequence[PerProblem], seed: int = 0) -> Difference | None:
    """The difference of two methods' mean correctness on the problems both have; None if there are none.

    The same resampled problems count for both, so that what makes a problem hard cancels out. Seeds are averaged
    first: the interval says what other problems would change, not what another seed of training would.

    Args:
        ours: runs of one method, one a seed.
        theirs: runs of the other.
        seed: of the resampling.
    """
    left, right = mean_correctness(ours), mean_correctness(theirs)
    values = [left[uid] - right[uid] for uid in left if uid in right]
    if not values:
        return None
    # Rounded, so that thirds that cancel out are zero on both sides of it.
    means = np.round(bootstrap_means(values, seed), 12)
    low, high = _interval(means)
    # With one added to both counts, as for any resampling test, p is never 0 (Davison and Hinkley 1997, section 4.2.3).
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Difference(float(np.mean(values)), low, high, min(1.0, 2 * (1 + tail) / (1 + DRAWS)), len(values))


def holm(p_values: Sequence[float], level: float = 1 - CONFIDENCE) -> list[bool]:
    """Which of several comparisons stay significant when the chance of any false one is held to ``level`` (Holm 1979).

    In order of p, the i-th smallest of m (from 0) is compared with ``level / (m - i)``; the first that fails ends it.
    """
    found = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(order):
        if p_values[place] > level / (len(p_values) - rank):
            break
        found[place] = True
    return found
