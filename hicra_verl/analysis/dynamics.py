"""`hicra dynamics`: runs in, figures and a table of every measure out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hicra_verl.analysis.drawing import Drawing
from hicra_verl.analysis.figures import draw_comparison, draw_dynamics, draw_forks
from hicra_verl.analysis.recompute import Measured, StepTexts, measure_runs
from hicra_verl.analysis.runs import Run
from hicra_verl.analysis.text_figures import draw_distributions, draw_sensitivity, draw_trace
from hicra_verl.files import check_output, check_outputs, make_folder
from hicra_verl.grams.functions import coloured_pieces
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.entropy import entropy_nats
from hicra_verl.spreadsheets import write_csv
from hicra_verl.verl_formats.dumps import read_dump

DROPPED_FRACTION = 0.3  # paper: dropping 30% of the grams at random
DROPPED_TIMES = 5  # ours
NUMBERS = "metrics.csv"


def draw_runs(words: Sequence[str], output: Path, grams: str | None = None) -> tuple[Measured, list[Drawing]]:
    """Draw every figure that these runs allow into a folder, with every number beside them (``NUMBERS``).

    Args:
        words: the runs, each ``[LABEL=]PATH``.
        output: the folder.
        grams: count this gram set instead of the paper's, and in the place of what was logged.

    Raises:
        HicraError: if a run cannot be read, or a file cannot be written.
    """
    check_output(make_folder(output) / NUMBERS)
    measured = measure_runs(words, grams)
    check_outputs(output / NUMBERS, inputs=measured.sources)
    drawings = draw_all(measured.runs, measured.texts, measured.grams)
    for drawing in drawings:
        drawing.save(output)
    numbers = (
        {"run": run.name, "step": step, "metric": name, "value": value}
        for run in measured.runs
        for step in sorted(run.metrics)
        for name, value in sorted(run.metrics[step].items())
    )
    write_csv(output / NUMBERS, numbers)
    return measured, drawings


def drop_randomly(texts: dict[int, StepTexts], size: int) -> list[dict[int, float]]:
    """Semantic entropy by step with a random 30% of the grams' counts left out, several times with fixed seeds.

    Counts stay those of the whole set's leftmost-longest matching: a dropped gram's place is not taken by another.
    """
    parts = []
    for seed in range(DROPPED_TIMES):
        kept = np.ones(size, dtype=bool)
        kept[random.Random(seed).sample(range(size), round(DROPPED_FRACTION * size))] = False
        parts.append({step: entropy_nats(found.gram_counts[kept]) for step, found in texts.items()})
    return parts


def draw_all(runs: Sequence[Run], texts: Sequence[dict[int, StepTexts]], grams: GramSet) -> list[Drawing]:
    """Every figure that these runs allow."""
    drawings = []
    for run, found in zip(runs, texts, strict=True):
        drawings += [draw_dynamics(run), draw_forks(run)]
        if found:
            whole = {step: entropy_nats(step_texts.gram_counts) for step, step_texts in found.items()}
            drawings.append(draw_distributions(run, found, grams))
            drawings.append(draw_sensitivity(run, whole, drop_randomly(found, len(grams)), DROPPED_FRACTION))
            last = max(found)
            rollouts = [rollout for rollout in read_dump(run.dumps[last]) if rollout.response]
            if rollouts:
                scored = [rollout for rollout in rollouts if rollout.score == rollout.score] or rollouts
                best = max(scored, key=lambda rollout: (rollout.score, len(rollout.response)))
                drawings.append(draw_trace(run.name, last, coloured_pieces(best.response, TextMatcher(grams))))
    if len(runs) > 1:
        drawings.append(draw_comparison(runs))
    return drawings
