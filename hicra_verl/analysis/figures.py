"""The paper's figures of a run's metrics: each as PNG, PDF and SVG, with the numbers beside it as CSV."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from hicra_verl.analysis.drawing import PLAIN, Drawing, draw_line, finish, shown
from hicra_verl.analysis.runs import Run, held_out_metric
from hicra_verl.metrics.table import charts, title_of
from hicra_verl.palette import EXECUTION, OTHER, PLANNING, SERIES

COLOURS = {"planning": PLANNING, "execution": EXECUTION}
MEASURES = {
    "Relative perplexity (1 at the first step)": "needs the policy's probabilities: log live metrics",
    "Token entropy (nats)": "needs the policy's probabilities: log live metrics",
    "Diversity of plans (nats)": "neither logged nor recomputed",
}
"""The charts of the figure on dynamics, and why one may be blank."""

COMPARED = (
    "hicra/semantic_entropy_corrected_nats",
    "val-core/",
    "hicra/pass@8",
    "actor/entropy",
    "hicra/perplexity_planning_relative",
    "response_length/mean",
)


def draw_dynamics(run: Run) -> Drawing:
    """The four panels of the paper's figure on training dynamics."""
    with plt.rc_context(PLAIN):
        figure, axes = plt.subplots(2, 2, figsize=(8, 5.5), layout="constrained")
        drawing = Drawing(f"dynamics_{run.name}", f"Training dynamics of {run.name}", figure)
        figure.suptitle(shown(drawing.title), fontsize=11)
        drawn = charts({name for data in run.metrics.values() for name in data})
        for axis, (title, reason) in zip(axes.flat, MEASURES.items(), strict=False):
            axis.set_title(title[0].lower() + title[1:])
            lines = drawn.get(title, [])
            for place, (metric, label) in enumerate(lines):
                draw_line(axis, drawing, run, metric, label, COLOURS.get(label, SERIES[place % len(SERIES)]))
            change = _draw_change(axis, drawing, run) if axis is axes[1, 0] else []
            handles = [*axis.get_legend_handles_labels()[0], *change] if change else None
            finish(drawing, axis, bool(lines or change), reason, handles)
        _draw_length_and_accuracy(axes[1, 1], drawing, run)
        for axis in axes[1]:
            axis.set_xlabel("training step")
    return drawing


CHANGE, SPREAD = "hicra/conditional_entropy_matched_change_nats", "hicra/conditional_entropy_matched_sd"


def _draw_change(axis: Axes, drawing: Drawing, run: Run) -> list[Any]:
    """The paper's conditional entropy, as the change from the start, with the spread of its draws; on its own scale.

    Matched for size: the plain value rises with the number of grams, so that longer responses alone would raise it.

    Returns:
        What the legend shows; empty if it was never logged.
    """
    steps, values = run.series(CHANGE)
    if not steps:
        reason = "no step has enough words after grams, or the run logged them under an older version"
        drawing.blank.append(("words after a gram, change (nats)", reason))
        return []
    other = axis.twinx()
    other.grid(False)
    other.set_ylabel("change (nats)")
    draw_line(other, drawing, run, CHANGE, "words after a gram, change", OTHER, linestyle="--")
    spread = [run.metrics[step].get(SPREAD, 0.0) for step in steps]
    low, high = np.subtract(values, spread), np.add(values, spread)
    other.fill_between(steps, low, high, color=OTHER, alpha=0.15, linewidth=0)
    drawing.rows += [
        {"run": run.name, "metric": SPREAD, "step": s, "value": v} for s, v in zip(steps, spread, strict=True)
    ]
    return list(other.get_legend_handles_labels()[0])


def _draw_length_and_accuracy(axis: Axes, drawing: Drawing, run: Run) -> None:
    axis.set_title("response length and accuracy")
    drawn = [draw_line(axis, drawing, run, "response_length/mean", "length (tokens)", OTHER)]
    axis.set_ylabel("tokens")
    other = axis.twinx()
    other.grid(False)
    held_out = held_out_metric(run)
    drawn += [
        draw_line(other, drawing, run, "critic/score/mean", "training reward", EXECUTION),
        draw_line(other, drawing, run, held_out, "held-out accuracy", PLANNING, linestyle="--"),
    ]
    handles = [handle for one in (axis, other) for handle in one.get_legend_handles_labels()[0]]
    finish(drawing, axis, any(drawn), "neither length nor accuracy was logged", handles)
    if held_out is None:
        drawing.blank.append(("held-out accuracy", "no validation was logged: set trainer.test_freq"))


def draw_comparison(runs: Sequence[Run]) -> Drawing:
    """Methods side by side: the mean over a label's seeds, with its 95% interval where there are several."""
    methods: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        methods[run.label].append(run)
    with plt.rc_context(PLAIN):
        figure, axes = plt.subplots(2, 3, figsize=(10.5, 5.5), layout="constrained")
        drawing = Drawing("comparison", f"Methods compared: {', '.join(methods)}", figure)
        for axis, metric in zip(axes.flat, COMPARED, strict=True):
            axis.set_title("held-out accuracy" if metric == "val-core/" else title_of(metric))
            drawn = False
            for place, (label, seeds) in enumerate(methods.items()):
                drawn |= _draw_method(axis, drawing, label, seeds, metric, SERIES[place % len(SERIES)])
            finish(drawing, axis, drawn, "logged in none of these runs")
        for axis in axes[1]:
            axis.set_xlabel("training step")
    return drawing


def _draw_method(axis: Axes, drawing: Drawing, label: str, seeds: list[Run], metric: str, colour: str) -> bool:
    by_step: dict[int, list[float]] = defaultdict(list)
    for run in seeds:
        name = held_out_metric(run) if metric == "val-core/" else metric
        for step, value in zip(*run.series(name), strict=True) if name else ():
            by_step[step].append(value)
    if not by_step:
        return False
    steps = sorted(by_step)
    means = [float(np.mean(by_step[step])) for step in steps]
    half = [
        1.96 * float(np.std(by_step[step], ddof=1)) / len(by_step[step]) ** 0.5 if len(by_step[step]) > 1 else 0.0
        for step in steps
    ]
    counts = {len(values) for values in by_step.values()}
    name = label if len(seeds) == 1 else f"{label} ({min(counts)}-{max(counts)} seeds)"
    axis.plot(steps, means, color=colour, label=shown(name), linewidth=1.6)
    axis.fill_between(steps, np.subtract(means, half), np.add(means, half), color=colour, alpha=0.15, linewidth=0)
    drawing.rows += [
        {"method": label, "metric": metric, "step": s, "mean": m, "half_interval_95": h, "seeds": len(by_step[s])}
        for s, m, h in zip(steps, means, half, strict=True)
    ]
    return True


def draw_forks(run: Run) -> Drawing:
    """Planning against high-entropy tokens: the two portions, at the run's start and end."""
    names = {
        "planning tokens\nthat are high-entropy": "hicra/planning_high_entropy_fraction",
        "high-entropy tokens\nthat are planning": "hicra/high_entropy_planning_fraction",
    }
    with plt.rc_context(PLAIN):
        figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
        drawing = Drawing(f"forks_{run.name}", f"Planning and high-entropy tokens of {run.name}", figure)
        axis.set_title(shown(drawing.title))
        drawn = 0
        for place, metric in enumerate(names.values()):
            steps, values = run.series(metric)
            if not steps:
                continue
            for offset, at, colour, when in ((-0.2, 0, OTHER, "first step"), (0.2, -1, PLANNING, "last step")):
                bar = axis.bar(place + offset, values[at], 0.38, color=colour, label=when if place == 0 else None)
                axis.bar_label(bar, fmt="%.2f", fontsize=8)
                drawing.rows.append({"portion": metric, "step": steps[at], "value": values[at]})
            drawn += 1
        axis.set_xticks(range(len(names)), list(names))
        axis.set_ylim(0, 1)
        finish(drawing, axis, drawn > 0, "needs token entropies: verl's V1 trainer logs them live")
    return drawing


def draw_errors(rows: Sequence[dict[str, Any]], of: str, categories: Sequence[str]) -> Drawing:
    """Error types over training: counts of all failures, with 95% intervals where only a sample was judged.

    Args:
        rows: from `hicra errors`, one a step (``analysis.error_counts.count_step``).
        of: whose failures, in words.
        categories: which of the estimates to draw.
    """
    with plt.rc_context(PLAIN):
        figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
        drawing = Drawing("errors", f"Causes of failed responses to {of}", figure)
        axis.set_title(drawing.title)
        steps = [row["step"] for row in rows]
        for category, colour in zip(categories, (PLANNING, EXECUTION), strict=True):
            bounds = [row["estimated"][category] for row in rows]
            count, low, high = zip(*bounds, strict=True)
            axis.plot(steps, count, "o-", color=colour, label=category)
            axis.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
            if len(steps) == 1:  # of which no band is seen
                axis.vlines(steps, low, high, color=colour, alpha=0.4)
            drawing.rows += [
                {"step": step, "category": category, "count": one[0], "low": one[1], "high": one[2]}
                for step, one in zip(steps, bounds, strict=True)
            ]
        axis.plot(steps, [row["failures"] for row in rows], ":", color=OTHER, label="all failures")
        drawing.rows += [{"step": row["step"], "category": "all failures", "count": row["failures"]} for row in rows]
        axis.set_ylim(bottom=0)
        axis.set_xlabel("training step")
        axis.set_ylabel("failed responses")
        axis.legend()
    return drawing
