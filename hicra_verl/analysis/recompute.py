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
from hicra_verl.grams.matcher import GramMatcher, Ints
from hicra_verl.metrics.entropy import corrected_entropy_nats, entropy_nats
from hicra_verl.metrics.groups import group_metrics

BATCH_BYTES = 1 << 20  # texts matched at once
_SEPARATOR = 256  # stands between two texts; no gram matches across it


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


def text_matcher(grams: GramSet) -> GramMatcher:
    """A matcher for texts: each byte is a token, and one more token separates texts."""
    return GramMatcher(grams, [*(bytes([value]) for value in range(256)), None])


def measure(rollouts: Sequence[Rollout], matcher: GramMatcher) -> tuple[dict[str, float], Ints]:
    """A step's metrics from its texts and scores, and its gram counts.

    Args:
        rollouts: the step's responses. verl pads batches with empty ones, which do not count.
        matcher: from ``text_matcher``.
    """
    from hicra_verl.training.measures import FOLLOWING_WORDS, text_metrics

    size = len(matcher.grams)
    counts: Ints = np.zeros(size, dtype=np.int64)
    counts_correct: Ints = np.zeros(size, dtype=np.int64)
    following: Counter[tuple[int, bytes]] = Counter()
    with_planning: set[int] = set()
    answered = [rollout for rollout in rollouts if rollout.response]
    for batch in _batches(answered):
        texts = [_bytes_of(answered[number].response) for number in batch]
        starts = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]
        ids = np.full(int(starts[-1]) + len(texts[-1]) + 1, _SEPARATOR, dtype=np.int64)
        for start, text in zip(starts.tolist(), texts, strict=True):
            ids[start : start + len(text)] = np.frombuffer(text, dtype=np.uint8)
        matches = matcher.match(ids[None, :], following_words=FOLLOWING_WORDS)
        grams = matches.gram[matches.counted]
        owners = np.searchsorted(starts, matches.first_token[matches.counted], side="right") - 1
        counts += np.bincount(grams, minlength=size)
        right = np.array([answered[number].score > 0 for number in batch])[owners] if len(owners) else owners > 0
        counts_correct += np.bincount(grams[right], minlength=size)
        pairs = zip(grams.tolist(), matches.following, strict=True)
        following.update((gram, words) for gram, words in pairs if words is not None)
        with_planning.update(batch[owner] for owner in np.unique(owners).tolist())
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for rollout in answered:
        scores[rollout.group][rollout.session] = rollout.score
    metrics = {
        "responses_without_planning_fraction": 1 - len(with_planning) / max(1, len(answered)),
        **text_metrics(counts, following),
        "semantic_entropy_correct_nats": entropy_nats(counts_correct),
        "semantic_entropy_correct_corrected_nats": corrected_entropy_nats(counts_correct),
        **group_metrics({name: list(group.values()) for name, group in scores.items()}),
    }
    return metrics, counts


def _bytes_of(text: str) -> bytes:
    """The text as the tokens spelt it: where they spelt no character, decoding left U+FFFD; matching breaks there."""
    return text.encode("utf-8", errors="replace").replace("\ufffd".encode(), b"\xff")


def _batches(rollouts: Sequence[Rollout]) -> list[list[int]]:
    batches: list[list[int]] = []
    held = BATCH_BYTES
    for number, rollout in enumerate(rollouts):
        if held >= BATCH_BYTES:
            batches.append([])
            held = 0
        batches[-1].append(number)
        held += len(rollout.response)
    return batches


_matcher: GramMatcher | None = None


def _begin(grams: GramSet) -> None:
    global _matcher
    _matcher = text_matcher(grams)


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
