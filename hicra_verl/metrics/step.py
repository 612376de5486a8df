"""What a step measures beside shaping: sums over its batches or texts, and the metrics that the table makes of them.

Metrics that need the policy's probabilities are left out where a trainer does not keep them; a mean over nothing is
left out rather than invented. README.md defines each name.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import Bools, Ints, Matches
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.sums import TokenClasses
from hicra_verl.metrics.table import PREFIX, Metric, all_metrics
from hicra_verl.verl_formats.dumps import Rollout

if TYPE_CHECKING:
    from hicra_verl.rollout import RolloutBatch

Filtering = Literal["none", "seen", "unseen"]
FOLLOWING_WORDS = 3  # ours: the n of the procedural n-grams after a gram


@dataclass
class StepMetrics:
    """Sums over a step.

    Args:
        grams: the gram set in force.
        entropy_fraction: fraction of tokens that count as high-entropy.
        filtering: whether groups without signal are dropped before the advantage is computed, and, if so, whether their
            scores are seen.

    Attributes:
        tokens: the policy's own; 0 where only texts are known.
        planning_tokens: those of them in a gram.
        responses: those with a token of the policy.
        responses_without_planning: those of them without a gram.
        gram_counts: (G,) how often each gram was counted.
        gram_counts_correct: (G,) the same in right responses.
        following: how often which words followed which gram.
        scores: group to session to score; empty where nothing is scored.
        dropped: the same of groups that were sampled, and not trained on.
        sums: what single metrics add.
        made: what several metrics are made of, until more is added.
    """

    grams: GramSet
    entropy_fraction: float = 0.0
    filtering: Filtering = "none"
    tokens: int = 0
    planning_tokens: int = 0
    responses: int = 0
    responses_without_planning: int = 0
    following: Counter[tuple[int, bytes]] = field(default_factory=Counter)
    scores: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    dropped: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    made: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gram_counts: Ints = np.zeros(len(self.grams), dtype=np.int64)
        self.gram_counts_correct: Ints = np.zeros(len(self.grams), dtype=np.int64)

    def add(self, batch: RolloutBatch, matches: Matches, classes: TokenClasses) -> None:
        """Add a batch.

        Args:
            batch: the responses.
            matches: their grams, with ``FOLLOWING_WORDS`` following words.
            classes: their planning and execution tokens.
        """
        planning, own = batch.planning_mask.numpy(), batch.response_mask.numpy()
        self.tokens += int(np.count_nonzero(own))
        self.planning_tokens += int(np.count_nonzero(planning))
        answered: Bools = np.any(own, axis=1)  # verl pads a batch with rows that hold no token of the policy
        self.responses += int(answered.sum())
        self.responses_without_planning += int((answered & ~planning.any(axis=1)).sum())
        self._count(matches, matches.row, None if batch.scores is None else (batch.scores > 0).numpy())
        if batch.groups is not None and batch.scores is not None:
            sessions = batch.sessions or [str(number) for number in range(len(batch.groups))]
            rows = zip(batch.groups, sessions, batch.scores.tolist(), answered.tolist(), strict=True)
            self._score((group, session, score) for group, session, score, counts in rows if counts)
        for metric in all_metrics():
            if metric.add is not None:
                metric.add(self, batch, matches, classes)

    def add_texts(self, rollouts: Sequence[Rollout], matcher: TextMatcher) -> None:
        """Add saved responses, of which texts and scores are known.

        Args:
            rollouts: the responses.
            matcher: of the gram set.
        """
        right: Bools = np.array([rollout.score > 0 for rollout in rollouts], dtype=bool)
        with_planning: set[int] = set()
        for found in matcher.match([rollout.response for rollout in rollouts], FOLLOWING_WORDS):
            self._count(found.matches, found.owner, right)
            with_planning.update(found.owner.tolist())
        self.responses += len(rollouts)
        self.responses_without_planning += len(rollouts) - len(with_planning)
        self._score((one.group, one.session, one.score) for one in rollouts if not math.isnan(one.score))

    def _count(self, matches: Matches, owner: Ints, right: Bools | None) -> None:
        self.made.clear()
        grams, rows = matches.gram[matches.counted], owner[matches.counted]
        self.gram_counts += np.bincount(grams, minlength=len(self.grams))
        pairs = zip(grams.tolist(), matches.following, strict=True)
        self.following.update((gram, words) for gram, words in pairs if words is not None)
        if right is not None:
            self.gram_counts_correct += np.bincount(grams[right[rows]], minlength=len(self.grams))

    def _score(self, rows: Iterable[tuple[str, str, float]]) -> None:
        for group, session, score in rows:
            self.scores[group][session] = score

    def metrics(self, initial: dict[str, float] | None = None) -> dict[str, float]:
        """The step's metrics, without a prefix.

        Args:
            initial: ``initial_values`` of the run's first step; None leaves out what is relative to them.
        """
        found: dict[str, float] = {}
        for metric in all_metrics():
            found.update(self._values(metric))
        return found if initial is None else {**found, **relative_metrics(found, initial)}

    def _values(self, metric: Metric) -> dict[str, float]:
        value = None if metric.value is None else metric.value(self)
        if value is None:
            return {}
        members = value if isinstance(value, Mapping) else {"": value}
        named = {metric.full_name(member): one for member, one in members.items()}
        if metric.old_name is not None:
            named[metric.old_name] = named[metric.name]
        return {name.removeprefix(PREFIX): float(one) for name, one in named.items()}


def initial_values(metrics: dict[str, float]) -> dict[str, float]:
    """What of a run's first step the later ones are compared with."""
    bases = [base for base in map(_base, all_metrics()) if base is not None]
    return {
        name: value for name, value in metrics.items() if any(base.member(PREFIX + name) is not None for base in bases)
    }


def relative_metrics(metrics: dict[str, float], initial: dict[str, float]) -> dict[str, float]:
    """The metrics that are relative to the run's first step, from the others and ``initial_values``."""
    found = {}
    for metric in all_metrics():
        base = _base(metric)
        if base is None or metric.compare is None:
            continue
        for name, first in initial.items():
            member = base.member(PREFIX + name)
            if member is not None and name in metrics:
                found[metric.full_name(member).removeprefix(PREFIX)] = metric.compare(metrics[name], first)
    return found


def _base(metric: Metric) -> Metric | None:
    return next((base for base in all_metrics() if base.name == metric.of), None)
