"""The measures that texts alone allow, from saved rollouts, with any gram set; equal to the live ones."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hicra_verl.analysis.runs import Run, load_runs
from hicra_verl.grams import load_grams
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import Ints
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.step import StepMetrics, initial_values, relative_metrics
from hicra_verl.metrics.table import PREFIX
from hicra_verl.verl_formats.dumps import Rollout, read_dump


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
    step = StepMetrics(matcher.grams)
    step.add_texts(rollouts, matcher)
    return step.metrics(), step.gram_counts


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


def recompute(run: Run, grams: GramSet, replace: bool = False) -> dict[int, StepTexts]:
    """Measure a run's dumps and put what its tracker did not log into its metrics.

    Args:
        run: changed in place.
        grams: the gram set.
        replace: also put recomputed values in the place of logged ones: for another gram set than the run's own.
    """
    texts = measure_dumps(run.dumps, grams, processes=os.cpu_count() or 1)
    fill_in(run, texts, replace)
    return texts


def fill_in(run: Run, texts: dict[int, StepTexts], replace: bool = False) -> None:
    """Put what was measured in a run's texts into its metrics; see ``recompute``."""
    initial = initial_values(texts[min(texts)].metrics) if texts else {}
    logged = {name for data in run.metrics.values() for name in data}
    for step, found in texts.items():
        row = run.metrics.setdefault(step, {})
        run.gaps += found.gaps
        for name, value in found.metrics.items():
            if replace or PREFIX + name not in row:
                row[PREFIX + name] = value
        for name, value in relative_metrics(found.metrics, initial).items():
            if replace or PREFIX + name not in logged:  # a run's own relate to its first step, which may not be dumped
                row[PREFIX + name] = value


class Measured(NamedTuple):
    """Runs with their recomputed metrics, what ``recompute`` found in the texts of each, and the gram set of that."""

    runs: list[Run]
    texts: list[dict[int, StepTexts]]
    grams: GramSet

    @property
    def sources(self) -> list[Path]:
        """Every file that was read; no output may replace one."""
        return [file for run in self.runs for file in run.sources]


def measure_runs(words: Sequence[str], grams: str | None = None) -> Measured:
    """Read runs, each ``[LABEL=]PATH``, and recompute what their texts allow.

    Args:
        words: the runs.
        grams: count this gram set, and put its values in the place of logged ones; None counts the paper's, and only
            fills gaps.

    Raises:
        HicraError: if a run or the set cannot be read.
    """
    gram_set = load_grams(grams or "paper")
    runs = load_runs(words)
    return Measured(runs, [recompute(run, gram_set, replace=grams is not None) for run in runs], gram_set)
