"""How certain the policy was, over planning and over execution tokens apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hicra_verl.metrics.table import Metric

if TYPE_CHECKING:
    import torch

    from hicra_verl.metrics.step import StepMetrics
    from hicra_verl.metrics.sums import TokenClasses


def _add(step: StepMetrics, classes: TokenClasses, name: str, values: torch.Tensor | None, sign: int) -> None:
    if values is not None:
        for kind, total in classes.sums(values).items():
            step.sums[f"{name}_{kind}"] += sign * total


def _means(step: StepMetrics, name: str) -> dict[str, float]:
    counts = {"planning": step.planning_tokens, "execution": step.tokens - step.planning_tokens}
    return {
        kind: step.sums[f"{name}_{kind}"] / count
        for kind, count in counts.items()
        if count and f"{name}_{kind}" in step.sums
    }


# fmt: off
METRICS = [
    Metric("hicra/perplexity_{CLASS}", "perplexity", "ratio",
           "exp of the mean negative log-likelihood over planning or execution tokens, under the policy about to be "
           "updated, at the sampling temperature (as verl computes `old_log_probs`)", "paper",
           lambda step: {kind: math.exp(mean) for kind, mean in _means(step, "nll").items()},
           add=lambda step, batch, matches, classes: _add(step, classes, "nll", batch.log_probs, -1)),
    Metric("hicra/perplexity_{CLASS}_relative", "relative perplexity", "ratio",
           "the same divided by its value at the run's first step", "paper",
           of="hicra/perplexity_{CLASS}", compare=lambda now, first: now / first,
           chart="Relative perplexity (1 at the first step)"),
    Metric("hicra/token_entropy_{CLASS}_nats", "token entropy", "nats",
           "mean entropy of the next-token distribution over planning or execution tokens", "paper",
           lambda step: _means(step, "entropy"), chart="Token entropy (nats)",
           add=lambda step, batch, matches, classes: _add(step, classes, "entropy", batch.entropies, 1)),
]
# fmt: on
