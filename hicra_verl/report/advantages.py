"""GRPO's own advantage from a group's scores, where a run kept none."""

from __future__ import annotations

import numpy as np

from hicra_verl.report.pieces import Array

EPSILON = 1e-6  # verl's, core_algos.compute_grpo_outcome_advantage


def grpo_advantages(scores: Array, groups: Array) -> Array:
    """``(score - mean) / (deviation + 1e-6)`` of each group, as verl computes it; a group of one keeps its score.

    Args:
        scores: (N,) NaN where unknown.
        groups: (N,) a number for each group, from 0 on.

    Returns:
        (N,) the advantages, NaN where the score is unknown.
    """
    known = ~np.isnan(scores)
    values, owner = scores[known].astype(np.float64), groups[known].astype(np.int64)
    count = int(groups.max()) + 1 if len(groups) else 0
    sizes = np.bincount(owner, minlength=count)
    mean = np.bincount(owner, weights=values, minlength=count) / np.maximum(sizes, 1)
    spread = np.bincount(owner, weights=(values - mean[owner]) ** 2, minlength=count)
    deviation = np.sqrt(spread / np.maximum(sizes - 1, 1))
    alone = sizes == 1
    mean[alone], deviation[alone] = 0.0, 1.0
    found = np.full(len(scores), np.nan)
    found[known] = (values - mean[owner]) / (deviation[owner] + EPSILON)
    return found
