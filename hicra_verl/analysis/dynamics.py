"""`hicra dynamics`: runs in, figures and a table of every measure out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hicra_verl.analysis.drawing import Drawing
from hicra_verl.analysis.figures import draw_comparison, draw_dynamics, draw_forks
from hicra_verl.analysis.recompute import DROPPED_FRACTION, Measured, measure_runs
from hicra_verl.analysis.text_figures import draw_distributions, draw_sensitivity, draw_trace
from hicra_verl.files import check_output, check_outputs, make_folder
from hicra_verl.grams.functions import coloured_pieces
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.entropy import entropy_nats
from hicra_verl.spreadsheets import write_csv
from hicra_verl.verl_formats.dumps import read_dump

DROPPED_SEEDS = range(5)  # ours
NUMBERS = "metrics.csv"


def draw_runs(
    words: Sequence[str],
    output: Path,
    grams: str | None = None,
    min_words: int | None = None,
    tokenizer: str | None = None,
) -> tuple[Measured, list[Drawing]]:
    """Draw every figure that these runs allow into a folder, with every number beside them (``NUMBERS``).

    Args:
        words: the runs, each ``[LABEL=]PATH``.
        output: the folder.
        grams: count this gram set instead of the paper's, and in the place of what was logged.
        min_words: draw each run a second time, with the set's grams of so many words or more alone.
        tokenizer: folder or hub name of the one whose tokens are counted, where a run kept no token ids.

    Raises:
        HicraError: if a run or the tokenizer cannot be read, or a file cannot be written.
    """
    check_output(make_folder(output) / NUMBERS)
    measured = measure_runs(words, grams, dropped=DROPPED_SEEDS, tokenizer=tokenizer)
    check_outputs(output / NUMBERS, inputs=measured.sources)
    if min_words is None:
        drawings = draw_all(measured)
    else:
        longer = measure_runs(words, grams, min_words, dropped=DROPPED_SEEDS, tokenizer=tokenizer)
        for run in longer.runs:
            run.label += f"_{min_words}_words"
        drawings = draw_all(measured, longer)
        measured.runs.extend(longer.runs)
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


def draw_all(*measured: Measured) -> list[Drawing]:
    """Every figure that these runs allow, one set of grams after the other, and all of them compared."""
    drawings = []
    for runs, texts, grams in measured:
        for run, found in zip(runs, texts, strict=True):
            drawings += [draw_dynamics(run), draw_forks(run)]
            if not found:
                continue
            whole = {step: entropy_nats(step_texts.gram_counts) for step, step_texts in found.items()}
            parts = zip(*(step_texts.part_entropies for step_texts in found.values()), strict=True)
            by_step = [dict(zip(found, entropies, strict=True)) for entropies in parts]
            drawings.append(draw_distributions(run, found, grams))
            drawings.append(draw_sensitivity(run, whole, by_step, DROPPED_FRACTION))
            last = max(found)
            rollouts = [rollout for rollout in read_dump(run.dumps[last]) if rollout.response]
            if rollouts:
                scored = [rollout for rollout in rollouts if rollout.score == rollout.score] or rollouts
                best = max(scored, key=lambda rollout: (rollout.score, len(rollout.response)))
                drawings.append(draw_trace(run.name, last, coloured_pieces(best.response, TextMatcher(grams))))
    runs = [run for one in measured for run in one.runs]
    if len(runs) > 1:
        drawings.append(draw_comparison(runs))
    return drawings
