"""`hicra dynamics`: runs in, figures and a table of every measure out."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hicra_verl.analysis import figures
from hicra_verl.analysis.recompute import StepTexts, measure_dumps
from hicra_verl.analysis.runs import Run, read_dump
from hicra_verl.grams.functions import token_functions
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.text_matcher import TextMatcher, text_bytes
from hicra_verl.metrics.entropy import entropy_nats

DROPPED_SHARE = 0.3  # paper: dropping 30% of the grams at random
DROPPED_TIMES = 5  # ours


def recompute(run: Run, grams: GramSet, replace: bool = False) -> dict[int, StepTexts]:
    """Measure a run's dumps and put what its tracker did not log into its metrics.

    Args:
        run: changed in place.
        grams: the gram set.
        replace: also put recomputed values in the place of logged ones: for another gram set than the run's own.
    """
    texts = measure_dumps(run.dumps, grams, processes=os.cpu_count() or 1)
    for step, found in texts.items():
        logged = run.metrics.setdefault(step, {})
        run.gaps += found.gaps
        for name, value in found.metrics.items():
            if replace or f"hicra/{name}" not in logged:
                logged[f"hicra/{name}"] = value
    first = min(texts, default=None)
    if first is not None and (
        replace or not any("hicra/conditional_entropy_change_nats" in m for m in run.metrics.values())
    ):
        start = texts[first].metrics["conditional_entropy_nats"]
        for step, found in texts.items():
            change = found.metrics["conditional_entropy_nats"] - start
            run.metrics[step]["hicra/conditional_entropy_change_nats"] = change
    return texts


def drop_randomly(texts: dict[int, StepTexts], size: int) -> list[dict[int, float]]:
    """Semantic entropy by step with a random 30% of the grams' counts left out, several times with fixed seeds.

    Counts stay those of the whole set's leftmost-longest matching: a dropped gram's place is not taken by another.
    """
    parts = []
    for seed in range(DROPPED_TIMES):
        kept = np.ones(size, dtype=bool)
        kept[random.Random(seed).sample(range(size), round(DROPPED_SHARE * size))] = False
        parts.append({step: entropy_nats(found.gram_counts[kept]) for step, found in texts.items()})
    return parts


def coloured_pieces(text: str, matcher: TextMatcher) -> list[tuple[str, str | None]]:
    """A text cut into runs of one function (None: execution), for showing."""
    data = text_bytes(text)
    if not data:
        return []
    [(matches, *_)] = matcher.match([text])
    function = token_functions(matches, matcher.grams, spaces=True)
    pieces = []
    start = 0
    for place in range(1, len(data) + 1):
        if place == len(data) or function[place] != function[start]:
            pieces.append((data[start:place].decode("utf-8", errors="replace"), function[start]))
            start = place
    return pieces


def draw_all(runs: Sequence[Run], texts: Sequence[dict[int, StepTexts]], grams: GramSet) -> list[figures.Drawing]:
    """Every figure that these runs allow."""
    drawings = []
    for run, found in zip(runs, texts, strict=True):
        drawings.append(figures.draw_dynamics(run))
        drawings.append(figures.draw_forks(run))
        if found:
            whole = {step: entropy_nats(step_texts.gram_counts) for step, step_texts in found.items()}
            drawings.append(figures.draw_distributions(run, found, grams))
            drawings.append(figures.draw_sensitivity(run, whole, drop_randomly(found, len(grams)), DROPPED_SHARE))
            last = max(found)
            rollouts = [rollout for rollout in read_dump(run.dumps[last]) if rollout.response]
            if rollouts:
                best = max(rollouts, key=lambda rollout: (rollout.score, len(rollout.response)))
                drawings.append(figures.draw_trace(run.name, last, coloured_pieces(best.response, TextMatcher(grams))))
    if len(runs) > 1:
        drawings.append(figures.draw_comparison(runs))
    return drawings


def save_metrics(runs: Sequence[Run], path: Path) -> None:
    """Every number of every run as one CSV: run, step, metric, value."""
    import csv

    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["run", "step", "metric", "value"])
        for run in runs:
            for step in sorted(run.metrics):
                writer.writerows([run.name, step, name, value] for name, value in sorted(run.metrics[step].items()))
