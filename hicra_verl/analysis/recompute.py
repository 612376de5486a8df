"""The measures that texts alone allow, from saved rollouts, with any gram set; equal to the live ones."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from hicra_verl.analysis.runs import Run, load_runs
from hicra_verl.grams import load_grams
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import Bools, Ints
from hicra_verl.grams.operations import at_least, drop
from hicra_verl.grams.parts import counts_of_parts
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.grams.token_bytes import load_tokenizer
from hicra_verl.metrics import groups
from hicra_verl.metrics.entropy import entropy_nats
from hicra_verl.metrics.step import Filtering, StepMetrics, initial_values, relative_metrics
from hicra_verl.metrics.table import PREFIX, metric_named
from hicra_verl.training.token_ids import read_token_ids, token_ids_beside
from hicra_verl.verl_formats.dumps import Rollout, read_dump

DROPPED_FRACTION = 0.3  # paper: dropping 30% of the grams at random
FILTERED = "training/filter_groups/"  # verl logs below this what dynamic filtering dropped; its dumps lack that


KEPT_IDS = "kept ids"
"""In the place of a tokenizer's name: the token ids that a run kept beside its dumps."""


@dataclass(frozen=True)
class StepTexts:
    """What one step's texts hold.

    Attributes:
        metrics: the step's metrics, without a prefix.
        gram_counts: (G,) how often each gram was counted.
        words: the most frequent words of the responses, or their tokens, with their counts.
        gaps: what could not be read.
        part_entropies: semantic entropy, in nats, with each part of the gram set.
        unit: what ``words`` are: words, or which tokens.
    """

    metrics: dict[str, float]
    gram_counts: Ints
    words: list[tuple[str, int]]
    gaps: list[str]
    part_entropies: list[float] = field(default_factory=list)
    unit: str = "words"


def measure(
    rollouts: Sequence[Rollout], matcher: TextMatcher, filtering: Filtering = "none"
) -> tuple[dict[str, float], Ints]:
    """A step's metrics from its texts and scores, and its gram counts.

    Args:
        rollouts: the step's responses.
        matcher: of the gram set.
        filtering: see ``StepMetrics``.
    """
    step = StepMetrics(matcher.grams, filtering=filtering)
    step.add_texts(rollouts, matcher)
    return step.metrics(), step.gram_counts


@dataclass(frozen=True)
class Reading:
    """How dumps are read.

    Attributes:
        grams: the gram set to count.
        filtering: see ``StepMetrics``.
        parts: (G,) bool each, which grams are in it; ``StepTexts.part_entropies`` are of them.
        tokens: the tokenizer whose tokens are counted, or ``KEPT_IDS``; None counts words.
    """

    grams: GramSet
    filtering: Filtering = "none"
    parts: Sequence[Bools] = ()
    tokens: str | None = None

    @cached_property
    def matcher(self) -> TextMatcher:
        """The set, compiled."""
        return TextMatcher(self.grams)

    @cached_property
    def tokenizer(self) -> Any:
        """That of ``tokens``."""
        return load_tokenizer(str(self.tokens))[0]

    def measure(self, path: Path) -> StepTexts:
        """What one dump holds."""
        gaps: list[str] = []
        rollouts = read_dump(path, gaps)
        texts = [rollout.response for rollout in rollouts]
        metrics, counts = measure(rollouts, self.matcher, self.filtering)
        parts = counts_of_parts(self.matcher, texts, self.parts) if self.parts else []
        words = Counter(chain.from_iterable(self._words(path, texts)))
        unit = {None: "words", KEPT_IDS: "tokens"}.get(self.tokens, f"tokens of {Path(str(self.tokens)).name}")
        return StepTexts(metrics, counts, words.most_common(1000), gaps, list(map(entropy_nats, parts)), unit)

    def _words(self, path: Path, texts: Sequence[str]) -> Iterator[Iterable[str]]:
        if self.tokens is None:
            yield from (text.casefold().split() for text in texts)
        elif self.tokens == KEPT_IDS:
            for one in read_token_ids(cast(Path, token_ids_beside(path))):
                yield (str(token) for token, own in zip(one.response, one.own, strict=True) if own)
        else:
            for text in texts:
                yield map(str, self.tokenizer(text, add_special_tokens=False)["input_ids"])


_reading: Reading | None = None


def _begin(reading: Reading) -> None:
    global _reading
    _reading = reading


def _measure_file(path: Path) -> StepTexts:
    assert _reading is not None
    return _reading.measure(path)


def measure_dumps(dumps: dict[int, Path], reading: Reading, processes: int = 1) -> dict[int, StepTexts]:
    """Measure each step's dump.

    Args:
        dumps: step to file.
        reading: how.
        processes: how many to use; 1 stays in this one.
    """
    if processes == 1 or len(dumps) < 2:
        return {step: reading.measure(path) for step, path in sorted(dumps.items())}
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(reading,)) as pool:
        return dict(zip(sorted(dumps), pool.map(_measure_file, [dumps[step] for step in sorted(dumps)]), strict=True))


def filtering_of(run: Run) -> Filtering:
    """Whether verl dropped groups that its dumps therefore lack; see ``StepMetrics``."""
    logged = (name for data in run.metrics.values() for name in data)
    return "unseen" if any(name.startswith(FILTERED) for name in logged) else "none"


def recompute(
    run: Run, grams: GramSet, replace: bool = False, parts: Sequence[Bools] = (), tokenizer: str | None = None
) -> dict[int, StepTexts]:
    """Measure a run's dumps and put what its tracker did not log into its metrics.

    Args:
        run: changed in place.
        grams: the gram set.
        replace: also put recomputed values in the place of logged ones: for another gram set than the run's own.
        parts: see ``Reading``.
        tokenizer: counts its tokens, where the run kept no token ids.
    """
    kept = bool(run.dumps) and all(token_ids_beside(path) for path in run.dumps.values())
    reading = Reading(grams, filtering_of(run), parts, KEPT_IDS if kept else tokenizer)
    texts = measure_dumps(run.dumps, reading, processes=os.cpu_count() or 1)
    fill_in(run, texts, replace)
    return texts


def fill_in(run: Run, texts: dict[int, StepTexts], replace: bool = False) -> None:
    """Put what was measured in a run's texts into its metrics; see ``recompute``."""
    if replace:  # what was logged is of other grams, save what is of groups alone
        for row in run.metrics.values():
            of_grams = [name for name in row if name.startswith(PREFIX) and metric_named(name) not in groups.METRICS]
            for name in of_grams:
                del row[name]
    initial = initial_values(texts[min(texts)].metrics) if texts else {}
    logged = {name for data in run.metrics.values() for name in data}
    for step, found in texts.items():
        row = run.metrics.setdefault(step, {})
        run.gaps += found.gaps
        for name, value in found.metrics.items():
            row.setdefault(PREFIX + name, value)
        for name, value in relative_metrics(found.metrics, initial).items():
            if PREFIX + name not in logged:  # a run's own relate to its first step, which may not be dumped
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


def measure_runs(
    words: Sequence[str],
    grams: str | None = None,
    min_words: int = 1,
    dropped: Sequence[int] = (),
    tokenizer: str | None = None,
) -> Measured:
    """Read runs, each ``[LABEL=]PATH``, and recompute what their texts allow.

    Args:
        words: the runs.
        grams: count this gram set, and put its values in the place of logged ones; None counts the paper's, and only
            fills gaps.
        min_words: count only its grams of so many words or more, in the place of what was logged.
        dropped: seeds; with each, ``DROPPED_FRACTION`` of the grams are dropped at random, and the texts matched again.
        tokenizer: counts its tokens, where a run kept no token ids; None counts words.

    Raises:
        HicraError: if a run or the set cannot be read.
    """
    gram_set = at_least(load_grams(grams or "paper"), min_words)
    kept = [set(drop(gram_set, DROPPED_FRACTION, seed)) for seed in dropped]
    parts = [np.array([gram in part for gram in gram_set]) for part in kept]
    runs = load_runs(words)
    replace = grams is not None or min_words > 1
    return Measured(runs, [recompute(run, gram_set, replace, parts, tokenizer) for run in runs], gram_set)
