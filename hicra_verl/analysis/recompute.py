"""The measures that texts alone allow, from saved rollouts, with any gram set; equal to the live ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hicra_verl.analysis.runs import Rollout, read_dump
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import Ints
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.entropy import corrected_entropy_nats, entropy_nats
from hicra_verl.metrics.groups import group_metrics


@dataclass(frozen=True)
class StepTexts:
    """What one step's texts hold.

    Attributes:
        metrics: the step's metrics, without a prefix.
        gram_counts: (G,) how often each gram was counted.
        words: the most frequent words of the responses, with their counts.
        gaps: what could not be read.
    """

    metrics: dict[str, float]
    gram_counts: Ints
    words: list[tuple[str, int]]
    gaps: list[str]


def measure(rollouts: Sequence[Rollout], matcher: TextMatcher) -> tuple[dict[str, float], Ints]:
    """A step's metrics from its texts and scores, and its gram counts.

    Args:
        rollouts: the step's responses.
        matcher: of the gram set.
    """
    from hicra_verl.training.measures import FOLLOWING_WORDS, text_metrics

    size = len(matcher.grams)
    counts: Ints = np.zeros(size, dtype=np.int64)
    counts_correct: Ints = np.zeros(size, dtype=np.int64)
    following: Counter[tuple[int, bytes]] = Counter()
    with_planning: set[int] = set()
    right = np.array([rollout.score > 0 for rollout in rollouts], dtype=bool)
    for found in matcher.match([rollout.response for rollout in rollouts], FOLLOWING_WORDS):
        matches = found.matches
        grams, owners = matches.gram[matches.counted], found.owner[matches.counted]
        counts += np.bincount(grams, minlength=size)
        counts_correct += np.bincount(grams[right[owners]], minlength=size)
        pairs = zip(grams.tolist(), matches.following, strict=True)
        following.update((gram, words) for gram, words in pairs if words is not None)
        with_planning.update(owners.tolist())
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for rollout in rollouts:
        scores[rollout.group][rollout.session] = rollout.score
    metrics = {
        "responses_without_planning_fraction": 1 - len(with_planning) / max(1, len(rollouts)),
        **text_metrics(counts, following),
        "semantic_entropy_correct_nats": entropy_nats(counts_correct),
        "semantic_entropy_correct_corrected_nats": corrected_entropy_nats(counts_correct),
        **group_metrics({name: list(group.values()) for name, group in scores.items()}),
    }
    return metrics, counts


_matcher: TextMatcher | None = None


def _begin(grams: GramSet) -> None:
    global _matcher
    _matcher = TextMatcher(grams)


def _measure_file(path: Path) -> StepTexts:
    assert _matcher is not None
    gaps: list[str] = []
    rollouts = read_dump(path, gaps)
    metrics, counts = measure(rollouts, _matcher)
    words = Counter(word for rollout in rollouts for word in rollout.response.casefold().split())
    return StepTexts(metrics, counts, words.most_common(1000), gaps)


def measure_dumps(dumps: dict[int, Path], grams: GramSet, processes: int = 1) -> dict[int, StepTexts]:
    """Measure each step's dump.

    Args:
        dumps: step to file.
        grams: the gram set to count.
        processes: how many to use; 1 stays in this one.
    """
    if processes == 1 or len(dumps) < 2:
        _begin(grams)
        return {step: _measure_file(path) for step, path in sorted(dumps.items())}
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(grams,)) as pool:
        return dict(zip(sorted(dumps), pool.map(_measure_file, [dumps[step] for step in sorted(dumps)]), strict=True))
