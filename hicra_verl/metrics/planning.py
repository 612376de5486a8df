"""How much of a step is planning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hicra_verl.grams.gramset import FUNCTIONS
from hicra_verl.metrics.table import Metric

if TYPE_CHECKING:
    from hicra_verl.grams.matcher import Matches
    from hicra_verl.metrics.step import StepMetrics
    from hicra_verl.metrics.sums import TokenClasses
    from hicra_verl.rollout import RolloutBatch


def _add_tokens_by_function(step: StepMetrics, batch: RolloutBatch, matches: Matches, classes: TokenClasses) -> None:
    """Planning tokens in a gram of each function; a token in grams of two functions counts for both."""
    function = np.array([FUNCTIONS.index(gram.function) for gram in step.grams])[matches.gram]
    planning = matches.planning_mask.ravel()
    holds = np.zeros(len(planning), dtype=np.uint8)  # a bit for each function
    for number in range(len(FUNCTIONS)):
        of_it = np.flatnonzero(function == number)
        row = matches.row[of_it] * matches.planning_mask.shape[1]
        token, end = row + matches.first_token[of_it], row + matches.end_token[of_it]
        while len(token):
            holds[token] |= 1 << number
            longer = np.flatnonzero(token + 1 < end)
            token, end = token[longer] + 1, end[longer]
    held = np.bincount(holds[planning], minlength=1 << len(FUNCTIONS))  # white space in a match is no planning token
    for number, name in enumerate(FUNCTIONS):
        step.sums[f"planning_{name}"] += int(held[np.arange(len(held)) >> number & 1 == 1].sum())


def _by_function(step: StepMetrics) -> dict[str, float]:
    return {name: step.sums[f"planning_{name}"] / step.tokens for name in FUNCTIONS if step.tokens}


# fmt: off
METRICS = [
    Metric("hicra/planning_fraction", "planning fraction", "fraction", "planning tokens / tokens", "paper",
           lambda step: step.planning_tokens / step.tokens if step.tokens else None),
    Metric("hicra/planning_fraction_{FUNCTION}", "planning fraction", "fraction",
           "tokens in a gram of that function (deduction, branching, backtracing, other) / tokens; a token may count "
           "for two", "functions: paper", _by_function, add=_add_tokens_by_function,
           chart="Planning tokens by function"),
    Metric("hicra/responses_without_planning_fraction", "responses without planning", "fraction",
           "responses without a planning token / responses", "ours",
           lambda step: step.responses_without_planning / step.responses if step.responses else None, texts=True),
]
# fmt: on
