"""The paper's figures, drawn from runs: each as PNG, PDF and SVG, with the numbers beside it as CSV."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hicra_verl.analysis.recompute import StepTexts
from hicra_verl.analysis.runs import Run
from hicra_verl.grams.gramset import FUNCTIONS, GramSet

PLANNING, EXECUTION, OTHER = "#c1121f", "#2a6f97", "#6c757d"
COLOURS = ("#2a6f97", "#c1121f", "#588157", "#e09f3e", "#7b2cbf", "#6c757d")
FORMATS = ("png", "pdf", "svg")
VALIDATION = "val-core/"

PLAIN: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "savefig.dpi": 160,
    "svg.fonttype": "none",
}


@dataclass
class Drawing:
    """A figure and its numbers.

    Attributes:
        name: the files' name.
        title: one line that says what is seen.
        figure: the figure.
        rows: the numbers drawn, one dict a point.
        blank: the panels that hold nothing, each with the reason.
    """

    name: str
    title: str
    figure: Figure
    rows: list[dict[str, Any]] = field(default_factory=list)
    blank: list[tuple[str, str]] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write all formats and the CSV, and close the figure."""
        folder.mkdir(parents=True, exist_ok=True)
        for form in FORMATS:
            self.figure.savefig(folder / f"{self.name}.{form}")
        plt.close(self.figure)
        with (folder / f"{self.name}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in self.rows for key in row)))
            writer.writeheader()
            writer.writerows(self.rows)


def validation_metric(run: Run) -> str | None:
    """The first accuracy that verl logs on held-out problems, None if it logs none."""
    names = sorted({name for data in run.metrics.values() for name in data if name.startswith(VALIDATION)})
    return next((name for name in names if "/acc/mean@" in name), names[0] if names else None)


def _line(axis: Axes, drawing: Drawing, run: Run, metric: str | None, label: str, colour: str, **style: Any) -> bool:
    """Draw one metric of one run and note its numbers; False if it was never logged."""
    if metric is None:
        return False
    steps, values = run.series(metric)
    if not steps:
        return False
    marker = "o" if len(steps) < 4 else None
    axis.plot(steps, values, label=label, color=colour, linewidth=1.6, marker=marker, markersize=3, **style)
    drawing.rows += [
        {"run": run.name, "metric": metric, "step": s, "value": v} for s, v in zip(steps, values, strict=True)
    ]
    return True


def _blank(axis: Axes, reason: str) -> None:
    axis.text(0.5, 0.5, reason, ha="center", va="center", transform=axis.transAxes, color=OTHER, fontsize=8, wrap=True)
    axis.set_xticks([])
    axis.set_yticks([])


def draw_dynamics(run: Run) -> Drawing:
    """The four panels of the paper's figure on training dynamics."""
    with plt.rc_context(PLAIN):
        figure, axes = plt.subplots(2, 2, figsize=(8, 5.5), layout="constrained")
        drawing = Drawing(f"dynamics_{run.name}", f"Training dynamics of {run.name}", figure)
        figure.suptitle(drawing.title, fontsize=11)
        pairs = (
            (axes[0, 0], "relative perplexity (1 at the first step)", "perplexity_{}_relative"),
            (axes[0, 1], "token entropy (nats)", "token_entropy_{}_nats"),
        )
        for axis, title, name in pairs:
            axis.set_title(title)
            drawn = [
                _line(axis, drawing, run, "hicra/" + name.format(kind), f"{kind} tokens", colour)
                for kind, colour in (("planning", PLANNING), ("execution", EXECUTION))
            ]
            _finish(drawing, axis, any(drawn), "needs the policy's probabilities: log live metrics")
        axis = axes[1, 0]
        axis.set_title("diversity of plans (nats)")
        drawn = [
            _line(axis, drawing, run, "hicra/semantic_entropy_nats", "semantic entropy", PLANNING),
            _line(axis, drawing, run, "hicra/semantic_entropy_corrected_nats", "corrected", PLANNING, linestyle=":"),
            _line(axis, drawing, run, "hicra/conditional_entropy_nats", "words after a gram", EXECUTION),
        ]
        _finish(drawing, axis, any(drawn), "neither logged nor recomputed")
        axis = axes[1, 1]
        axis.set_title("response length and accuracy")
        drawn = [_line(axis, drawing, run, "response_length/mean", "length (tokens)", OTHER)]
        axis.set_ylabel("tokens")
        other = axis.twinx()
        other.grid(False)
        drawn += [
            _line(other, drawing, run, "critic/score/mean", "training reward", EXECUTION),
            _line(other, drawing, run, validation_metric(run), "held-out accuracy", PLANNING, linestyle="--"),
        ]
        handles = [handle for a in (axis, other) for handle in a.get_legend_handles_labels()[0]]
        _finish(drawing, axis, any(drawn), "neither length nor accuracy was logged", handles)
        if validation_metric(run) is None:
            drawing.blank.append(("held-out accuracy", "no validation was logged: set trainer.test_freq"))
        for axis in axes[1]:
            axis.set_xlabel("training step")
    return drawing


def _finish(drawing: Drawing, axis: Axes, drawn: bool, reason: str, handles: list[Any] | None = None) -> None:
    if drawn:
        # Two axes share one legend, below the panel: inside it would hide curves.
        below = {"handles": handles, "loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 3}
        axis.legend(**(below if handles else {}))
    else:
        drawing.blank.append((axis.get_title(), reason))
        _blank(axis, reason)


COMPARED = {
    "semantic entropy (nats)": "hicra/semantic_entropy_nats",
    "held-out accuracy": VALIDATION,
    "Pass@8 on training rollouts": "hicra/pass@8",
    "token entropy (nats)": "actor/entropy",
    "relative perplexity of planning": "hicra/perplexity_planning_relative",
    "response length (tokens)": "response_length/mean",
}


def draw_comparison(runs: Sequence[Run]) -> Drawing:
    """Methods side by side: the mean over a label's seeds, with its 95% interval where there are several."""
    methods: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        methods[run.label].append(run)
    with plt.rc_context(PLAIN):
        figure, axes = plt.subplots(2, 3, figsize=(10.5, 5.5), layout="constrained")
        drawing = Drawing("comparison", f"Methods compared: {', '.join(methods)}", figure)
        for axis, (title, metric) in zip(axes.flat, COMPARED.items(), strict=True):
            axis.set_title(title)
            drawn = False
            for place, (label, seeds) in enumerate(methods.items()):
                drawn |= _method(axis, drawing, label, seeds, metric, COLOURS[place % len(COLOURS)])
            _finish(drawing, axis, drawn, "logged in none of these runs")
        for axis in axes[1]:
            axis.set_xlabel("training step")
    return drawing


def _method(axis: Axes, drawing: Drawing, label: str, seeds: list[Run], metric: str, colour: str) -> bool:
    by_step: dict[int, list[float]] = defaultdict(list)
    for run in seeds:
        name = validation_metric(run) if metric == VALIDATION else metric
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
    axis.plot(steps, means, color=colour, label=name, linewidth=1.6)
    axis.fill_between(steps, np.subtract(means, half), np.add(means, half), color=colour, alpha=0.15, linewidth=0)
    drawing.rows += [
        {"method": label, "metric": metric, "step": s, "mean": m, "half_interval_95": h, "seeds": len(by_step[s])}
        for s, m, h in zip(steps, means, half, strict=True)
    ]
    return True


def draw_forks(run: Run) -> Drawing:
    """Planning against high-entropy tokens: the two portions, at the run's start and end."""
    names = {
        "planning tokens\nthat are high-entropy": "hicra/planning_high_entropy_share",
        "high-entropy tokens\nthat are planning": "hicra/high_entropy_planning_share",
    }
    with plt.rc_context(PLAIN):
        figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
        drawing = Drawing(f"forks_{run.name}", f"Planning and high-entropy tokens of {run.name}", figure)
        axis.set_title(drawing.title)
        shown = 0
        for place, metric in enumerate(names.values()):
            steps, values = run.series(metric)
            if not steps:
                continue
            for offset, at, colour, when in ((-0.2, 0, OTHER, "first step"), (0.2, -1, PLANNING, "last step")):
                bar = axis.bar(place + offset, values[at], 0.38, color=colour, label=when if place == 0 else None)
                axis.bar_label(bar, fmt="%.2f", fontsize=8)
                drawing.rows.append({"portion": metric, "step": steps[at], "value": values[at]})
            shown += 1
        axis.set_xticks(range(len(names)), list(names))
        axis.set_ylim(0, 1)
        _finish(drawing, axis, shown > 0, "needs token entropies: verl's V1 trainer logs them live")
    return drawing


def draw_distributions(run: Run, texts: dict[int, StepTexts], grams: GramSet) -> Drawing:
    """What the two entropies are taken over: words, and grams, at the first and last step with rollouts."""
    steps = sorted(texts)
    with plt.rc_context(PLAIN):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
        drawing = Drawing(f"distributions_{run.name}", f"Words and grams of {run.name}", figure)
        for step, colour in ((steps[0], OTHER), (steps[-1], PLANNING)):
            for axis, counts, kind in (
                (left, [count for _, count in texts[step].words], "words"),
                (right, sorted(texts[step].gram_counts[texts[step].gram_counts > 0].tolist(), reverse=True), "grams"),
            ):
                total = max(1, sum(counts))
                share = [count / total for count in counts]
                axis.loglog(range(1, len(share) + 1), share, color=colour, label=f"step {step}")
                axis.set_title(f"{kind} by rank")
                axis.set_xlabel("rank")
                axis.set_ylabel("share")
                drawing.rows += [
                    {"kind": kind, "step": step, "rank": rank, "share": value} for rank, value in enumerate(share, 1)
                ]
        left.legend()
        right.legend()
        top = np.argsort(-texts[steps[-1]].gram_counts)[:5]
        names = ", ".join(grams.grams[place].text for place in top)
        figure.suptitle(f"Most frequent grams at step {steps[-1]}: {names}", fontsize=8)
    return drawing


def draw_sensitivity(run: Run, whole: dict[int, float], parts: list[dict[int, float]], share: float) -> Drawing:
    """Semantic entropy with all grams, and with a random share of them dropped, several times.

    Args:
        run: the run.
        whole: step to semantic entropy with the whole set.
        parts: the same for each random part of it.
        share: the share dropped.
    """
    with plt.rc_context(PLAIN):
        figure, axis = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
        drawing = Drawing(f"sensitivity_{run.name}", f"Semantic entropy of {run.name} without {share:.0%}", figure)
        axis.set_title(f"semantic entropy (nats), {share:.0%} of the grams dropped at random")
        for place, part in enumerate(parts):
            label = f"{len(parts)} random parts" if place == 0 else None
            axis.plot(list(part), list(part.values()), color=OTHER, alpha=0.6, linewidth=1, label=label)
            drawing.rows += [{"grams": f"part {place}", "step": s, "semantic_entropy_nats": v} for s, v in part.items()]
        axis.plot(list(whole), list(whole.values()), color=PLANNING, linewidth=1.8, label="all grams")
        drawing.rows += [{"grams": "all", "step": s, "semantic_entropy_nats": v} for s, v in whole.items()]
        axis.set_xlabel("training step")
        axis.legend()
    return drawing


FUNCTION_COLOURS = dict(zip(FUNCTIONS, ("#2a6f97", "#588157", "#c1121f", "#e09f3e"), strict=True))


def draw_trace(label: str, step: int, pieces: Sequence[tuple[str, str | None]]) -> Drawing:
    """One trace with its planning phrases highlighted.

    Args:
        label: the run.
        step: the step it is from.
        pieces: (text, function) runs, in order; function None for execution.
    """
    columns, line_height = 138, 0.19
    lines: list[list[tuple[str, str | None]]] = [[]]
    used = 0
    for text, function in pieces:
        for part in text.replace("\n", " \n ").split(" "):
            if part == "\n" or used + len(part) + 1 > columns:
                lines.append([])
                used = 0
            if part.strip():
                lines[-1].append((part, function))
                used += len(part) + 1
    lines = lines[:60]
    with plt.rc_context(PLAIN):
        figure = plt.figure(figsize=(9, 0.7 + line_height * len(lines)))
        drawing = Drawing(f"trace_{label}", f"A trace of {label} at step {step}", figure)
        height = figure.get_figheight()
        figure.text(0.01, 1 - 0.25 / height, drawing.title, fontsize=10, weight="bold")
        for place, (name, colour) in enumerate(FUNCTION_COLOURS.items()):
            figure.text(0.5 + 0.12 * place, 1 - 0.25 / height, name, fontsize=8, color="white", backgroundcolor=colour)
        for number, line in enumerate(lines):
            column = 0
            for word, function in line:
                style: dict[str, Any] = {"color": "#222222"}
                if function is not None:
                    style = {"color": "white", "backgroundcolor": FUNCTION_COLOURS[function]}
                y = 1 - (0.6 + line_height * number) / height
                safe = word.replace("$", r"\$")
                written = figure.text(
                    0.01 + column / columns * 0.97, y, safe, fontsize=7.5, family="monospace", **style
                )
                if function is not None:
                    written.set_bbox({"facecolor": FUNCTION_COLOURS[function], "edgecolor": "none", "pad": 0.8})
                column += len(word) + 1
        drawing.rows = [{"text": text, "function": function or "execution"} for text, function in pieces]
    return drawing


def draw_errors(rows: Sequence[dict[str, Any]]) -> Drawing:
    """Error types over training, as counts.

    Args:
        rows: ``{"step", "category", "count"}``, from `hicra errors`.
    """
    with plt.rc_context(PLAIN):
        figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
        drawing = Drawing("errors", "Causes of failed responses", figure, [dict(row) for row in rows])
        axis.set_title(drawing.title)
        for category, colour in (("Planning & Strategy", PLANNING), ("Others", EXECUTION)):
            points = sorted((row["step"], row["count"]) for row in rows if row["category"] == category)
            if points:
                axis.plot(*zip(*points, strict=True), "o-", color=colour, label=category)
        axis.set_xlabel("training step")
        axis.set_ylabel("failed responses")
        axis.legend()
    return drawing
