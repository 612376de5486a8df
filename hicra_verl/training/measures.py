"""What a step measures beside shaping: sums over its batches, and the metrics made of them.

Metrics that need the policy's probabilities are left out where a trainer does not keep them; a mean over nothing is
left out rather than invented. metrics/README.md defines each name.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch

from hicra_verl.grams.gramset import FUNCTIONS, GramSet
from hicra_verl.grams.matcher import Bools, Ints, Matches
from hicra_verl.metrics.entropy import (
    conditional_entropy_nats,
    corrected_entropy_nats,
    entropy_nats,
    normalised_entropy,
)
from hicra_verl.metrics.forks import high_entropy_mask
from hicra_verl.metrics.groups import group_metrics
from hicra_verl.rollout import RolloutBatch

FOLLOWING_WORDS = 3  # ours: the n of the procedural n-grams after a gram
RELATIVE = ("perplexity_planning", "perplexity_execution")  # divided by their value at the run's first step
CHANGE = "conditional_entropy"  # its value at the first step subtracted


@dataclass
class StepMetrics:
    """Sums over a step's batches.

    Args:
        grams: the gram set in force.
        entropy_fraction: fraction of tokens that count as high-entropy.
    """

    grams: GramSet
    entropy_fraction: float
    tokens: int = 0
    planning_tokens: int = 0
    responses: int = 0
    responses_without_planning: int = 0
    by_function: Counter[str] = field(default_factory=Counter)
    following: Counter[tuple[int, bytes]] = field(default_factory=Counter)
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    forks: Counter[str] = field(default_factory=Counter)
    scores: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))

    def __post_init__(self) -> None:
        self.gram_counts: Ints = np.zeros(len(self.grams), dtype=np.int64)
        self.gram_counts_correct: Ints = np.zeros(len(self.grams), dtype=np.int64)
        self._functions = np.array([FUNCTIONS.index(gram.function) for gram in self.grams])

    def add(self, batch: RolloutBatch, matches: Matches) -> None:
        """Add a batch.

        Args:
            batch: the responses.
            matches: their grams, with ``FOLLOWING_WORDS`` following words.
        """
        planning, own = batch.planning_mask, batch.response_mask
        self.tokens += int(own.sum())
        self.planning_tokens += int(planning.sum())
        answered = own.any(dim=1)  # verl pads a batch with rows that hold no token of the policy
        self.responses += int(answered.sum())
        self.responses_without_planning += int((answered & ~planning.any(dim=1)).sum())

        counted_grams, counted_rows = matches.gram[matches.counted], matches.row[matches.counted]
        self.gram_counts += np.bincount(counted_grams, minlength=len(self.grams))
        pairs = zip(counted_grams.tolist(), matches.following, strict=True)
        self.following.update((gram, words) for gram, words in pairs if words is not None)
        for function, count in _tokens_by_function(matches, self._functions).items():
            self.by_function[FUNCTIONS[function]] += count
        if batch.scores is not None:
            right = (batch.scores > 0).numpy()[counted_rows]
            self.gram_counts_correct += np.bincount(counted_grams[right], minlength=len(self.grams))
            self._add_groups(batch, answered)
        execution = own & ~planning
        for name, values, sign in (("nll", batch.log_probs, -1), ("entropy", batch.entropies, 1)):
            if values is not None:
                for kind, mask in (("planning", planning), ("execution", execution)):
                    self.sums[f"{name}_{kind}"] += sign * float(values[mask].sum(dtype=torch.float64))
        if batch.entropies is not None:
            high = high_entropy_mask(batch.entropies, own, self.entropy_fraction)
            self.forks.update(high=int(high.sum()), both=int((high & planning).sum()))

    def _add_groups(self, batch: RolloutBatch, answered: torch.Tensor) -> None:
        if batch.groups is None or batch.scores is None:
            return
        sessions = batch.sessions or [str(number) for number in range(len(batch.groups))]
        rows = zip(batch.groups, sessions, batch.scores.tolist(), answered.tolist(), strict=True)
        for group, session, score, counts in rows:
            if counts:
                self.scores[group][session] = score

    def metrics(self, initial: dict[str, float] | None) -> dict[str, float]:
        """The step's metrics, without a prefix.

        Args:
            initial: ``initial_values`` of the run's first step; None leaves out what is relative to them.
        """
        metrics = {
            "planning_fraction": self.planning_tokens / max(1, self.tokens),
            "responses_without_planning_fraction": self.responses_without_planning / max(1, self.responses),
            **text_metrics(self.gram_counts, self.following),
            **{f"planning_fraction_{name}": self.by_function[name] / max(1, self.tokens) for name in FUNCTIONS},
        }
        if self.scores:
            metrics["semantic_entropy_correct_nats"] = entropy_nats(self.gram_counts_correct)
            metrics["semantic_entropy_correct_corrected_nats"] = corrected_entropy_nats(self.gram_counts_correct)
            metrics.update(group_metrics({name: list(group.values()) for name, group in self.scores.items()}))
        metrics.update(self._token_means())
        if self.forks["high"]:
            metrics["high_entropy_planning_share"] = self.forks["both"] / self.forks["high"]
            if self.planning_tokens:
                metrics["planning_high_entropy_share"] = self.forks["both"] / self.planning_tokens
        if initial is not None:
            metrics.update(relative_metrics(metrics, initial))
        return metrics

    def _token_means(self) -> dict[str, float]:
        means = {}
        counts = {"planning": self.planning_tokens, "execution": self.tokens - self.planning_tokens}
        for kind, count in counts.items():
            if count and f"nll_{kind}" in self.sums:
                means[f"perplexity_{kind}"] = math.exp(self.sums[f"nll_{kind}"] / count)
            if count and f"entropy_{kind}" in self.sums:
                means[f"token_entropy_{kind}_nats"] = self.sums[f"entropy_{kind}"] / count
        return means


def text_metrics(gram_counts: Ints, following: Counter[tuple[int, bytes]]) -> dict[str, float]:
    """The metrics that the responses' texts alone allow; the same live and from saved rollouts.

    Args:
        gram_counts: (G,) how often each gram was counted.
        following: how often which words followed which gram.
    """
    return {
        "semantic_entropy_nats": entropy_nats(gram_counts),
        "semantic_entropy_corrected_nats": corrected_entropy_nats(gram_counts),
        "semantic_entropy_normalised": normalised_entropy(gram_counts),
        "distinct_grams": float((gram_counts > 0).sum()),
        f"{CHANGE}_nats": conditional_entropy_nats(following),
    }


def initial_values(metrics: dict[str, float]) -> dict[str, float]:
    """What of a run's first step the later ones are compared with."""
    return {name: metrics[name] for name in (*RELATIVE, f"{CHANGE}_nats") if name in metrics}


def relative_metrics(metrics: dict[str, float], initial: dict[str, float]) -> dict[str, float]:
    """The metrics that are relative to the run's first step."""
    relative = {
        f"{name}_relative": metrics[name] / initial[name] for name in RELATIVE if name in metrics and name in initial
    }
    if f"{CHANGE}_nats" in initial and f"{CHANGE}_nats" in metrics:
        relative[f"{CHANGE}_change_nats"] = metrics[f"{CHANGE}_nats"] - initial[f"{CHANGE}_nats"]
    return relative


def _tokens_by_function(matches: Matches, functions: Ints) -> dict[int, int]:
    """How many planning tokens lie in a gram of each function; a token in grams of two functions counts for both."""
    columns = matches.planning_mask.shape[1]
    length = matches.end_token - matches.first_token
    starts = np.cumsum(length) - length
    tokens = np.repeat(matches.row * columns + matches.first_token - starts, length) + np.arange(length.sum())
    function = np.repeat(functions[matches.gram], length)
    marked: Bools = matches.planning_mask.ravel()[tokens]  # white space inside a match is no planning token
    found = np.unique(tokens[marked] * len(FUNCTIONS) + function[marked])
    return dict(enumerate(np.bincount(found % len(FUNCTIONS), minlength=len(FUNCTIONS)).tolist()))
