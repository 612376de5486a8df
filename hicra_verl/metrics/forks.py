"""Fork tokens: those where the policy was least certain what to write next."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hicra_verl.metrics.sums import TokenClasses, flat, in_parts, sum_parts
from hicra_verl.metrics.table import Metric
from hicra_verl.parallel import in_threads

if TYPE_CHECKING:
    import torch

    from hicra_verl.grams.matcher import Matches
    from hicra_verl.metrics.step import StepMetrics
    from hicra_verl.rollout import RolloutBatch

Floats = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

_SAMPLE = 1 << 16  # tokens

HIGH_ENTROPY_FRACTION = 0.3
"""The paper's "high entropy" is the top 30% of tokens; it does not say of what. Ours: of the batch's own tokens."""


def high_entropy_mask(
    entropy: torch.Tensor, response_mask: torch.Tensor, fraction: float = HIGH_ENTROPY_FRACTION
) -> torch.Tensor:
    """Mark the tokens with the highest entropy of a batch.

    Args:
        entropy: (B, T) float, the entropy of the distribution each token was drawn from, in any unit.
        response_mask: (B, T) bool, the policy's own tokens; the others are neither counted nor marked.
        fraction: of the policy's own tokens, 0 < fraction < 1.

    Returns:
        (B, T) bool. At least ``fraction`` of the own tokens, rounded down; more only where entropies tie at the
        threshold.

    Raises:
        ValueError: if the shapes differ.
    """
    if entropy.shape != response_mask.shape:
        shapes = f"entropy {tuple(entropy.shape)} and response_mask {tuple(response_mask.shape)}"
        raise ValueError(f"{shapes} must have one shape (B, T)")
    threshold = _threshold(flat(entropy), flat(response_mask), fraction)
    if threshold is None:
        return response_mask.new_zeros(response_mask.shape)
    return response_mask & (entropy >= threshold)


def _threshold(entropy: Floats, own: Bools, fraction: float) -> float | None:
    """The lowest entropy of the ``fraction`` of own tokens that have the highest; None if that is no token.

    A sample says between which two values it must lie, so that only the few entropies between them need be sorted.
    NaN counts as highest.
    """
    size = int(np.count_nonzero(own))
    kept = int(fraction * size)
    if kept == 0:
        return None
    step = len(own) // _SAMPLE | 1  # odd, so that all columns of the batch have their turn
    sample = np.sort(entropy[::step][own[::step]])
    low, high = -math.inf, math.inf
    if step > 1 and len(sample):
        middle, margin = len(sample) * (1 - kept / size), 4 * math.sqrt(len(sample)) / 2
        low = float(sample[max(0, math.floor(middle - margin))])
        high = float(sample[min(len(sample) - 1, math.ceil(middle + margin))])
    parts = in_parts(len(own))
    above = sum(in_threads(lambda part: np.count_nonzero(own[part] & ~(entropy[part] <= high)), parts))
    between = np.concatenate(
        in_threads(lambda part: entropy[part][own[part] & (entropy[part] >= low) & (entropy[part] <= high)], parts)
    )
    if not above < kept <= above + len(between):  # an unlucky sample
        above, between = 0, entropy[own]
    place = len(between) - (kept - above)
    return float(np.partition(between, place)[place])


def _add(step: StepMetrics, batch: RolloutBatch, matches: Matches, classes: TokenClasses) -> None:
    if batch.entropies is not None:
        entropy = flat(batch.entropies)
        threshold = _threshold(entropy, classes.own, step.entropy_fraction)
        if threshold is None:
            return

        def measure(part: slice) -> tuple[float, float]:
            high = entropy[part] >= threshold
            planning = high.take(classes.planning_of(part))
            return float(np.count_nonzero(high & classes.own[part])), float(np.count_nonzero(planning))

        high, high_and_planning = sum_parts(measure, len(entropy))
        step.sums["high"] += high
        step.sums["high_and_planning"] += high_and_planning


def _of(step: StepMetrics, tokens: float) -> float | None:
    return step.sums["high_and_planning"] / tokens if step.sums["high"] and tokens else None


CHART = "Planning and high-entropy tokens"

# fmt: off
METRICS = [
    Metric("hicra/planning_high_entropy_fraction", "planning that is high-entropy", "fraction",
           "planning tokens that are high-entropy / planning tokens; high-entropy: the top 30% of the step's batch",
           "paper; of the batch: ours", lambda step: _of(step, step.planning_tokens), add=_add, chart=CHART,
           old_name="hicra/planning_high_entropy_share"),
    Metric("hicra/high_entropy_planning_fraction", "high-entropy that is planning", "fraction",
           "the same tokens / high-entropy tokens", "paper", lambda step: _of(step, step.sums["high"]), chart=CHART,
           old_name="hicra/high_entropy_planning_share"),
]
# fmt: on
