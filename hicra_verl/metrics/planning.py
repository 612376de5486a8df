"""How much of a step is planning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hicra_verl.grams.gramset import FUNCTIONS
from hicra_verl.metrics.table import Metric

if TYPE_CHECKING:
    from hicra_verl.grams.matcher import Bools, Matches
    from hicra_verl.metrics.step import StepMetrics
    from hicra_verl.rollout import RolloutBatch


def _add_tokens_by_function(step: StepMetrics, batch: RolloutBatch, matches: Matches) -> None:
    """Planning tokens in a gram of each function; a token in grams of two functions counts for both."""
    functions = np.array([FUNCTIONS.index(gram.function) for gram in step.grams])
    columns = matches.planning_mask.shape[1]
    length = matches.end_token - matches.first_token
    starts = np.cumsum(length) - length
    tokens = np.repeat(matches.row * columns + matches.first_token - starts, length) + np.arange(length.sum())
    function = np.repeat(functions[matches.gram], length)
    marked: Bools = matches.planning_mask.ravel()[tokens]  # white space inside a match is no planning token
    found = np.unique(tokens[marked] * len(FUNCTIONS) + function[marked])
    for name, count in zip(FUNCTIONS, np.bincount(found % len(FUNCTIONS), minlength=len(FUNCTIONS)), strict=True):
        step.sums[f"planning_{name}"] += int(count)


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
