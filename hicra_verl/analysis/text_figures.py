"""The figures of what responses hold: words and grams, a set with grams dropped, one response in colours."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from hicra_verl.analysis.drawing import PLAIN, Drawing, shown
from hicra_verl.analysis.recompute import StepTexts
from hicra_verl.analysis.runs import Run
from hicra_verl.grams.gramset import GramSet
from hicra_verl.palette import FUNCTION_SHADES, INK, OTHER, PLANNING


def draw_distributions(run: Run, texts: dict[int, StepTexts], grams: GramSet) -> Drawing:
    """What the two entropies are taken over: tokens, and grams, at the first and last step with rollouts.

    The paper's is of tokens. Where neither token ids were kept nor a tokenizer was given, it is of words, and says so.
    """
    first, last = min(texts), max(texts)
    with plt.rc_context(PLAIN):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
        unit = texts[last].unit
        drawing = Drawing(f"distributions_{run.name}", f"{unit.capitalize()} and grams of {run.name}", figure)
        for step, colour in ((first, OTHER), (last, PLANNING)):
            found = texts[step]
            gram_counts = sorted(found.gram_counts[found.gram_counts > 0].tolist(), reverse=True)
            _draw_ranks(left, drawing, unit, [count for _, count in found.words], step, colour)
            _draw_ranks(right, drawing, "grams", gram_counts, step, colour)
        top = np.argsort(-texts[last].gram_counts)[:5]
        names = ", ".join(grams.grams[place].text[:80] for place in top)
        figure.suptitle(shown(f"Most frequent grams at step {last}: {names}"), fontsize=8)
    return drawing


def _draw_ranks(axis: Axes, drawing: Drawing, kind: str, counts: list[int], step: int, colour: str) -> None:
    total = max(1, sum(counts))
    fractions = [count / total for count in counts]
    axis.loglog(range(1, len(fractions) + 1), fractions, color=colour, label=f"step {step}")
    for side in (axis.xaxis, axis.yaxis):  # plain numbers: no mathematics is set, see PLAIN
        side.set_major_formatter(StrMethodFormatter("{x:g}"))
        side.set_minor_formatter(NullFormatter())
    axis.set_title(shown(f"{kind} by rank"))
    axis.set_xlabel("rank")
    axis.set_ylabel("fraction")
    axis.legend()
    drawing.rows += [
        {"kind": kind, "step": step, "rank": rank, "fraction": value} for rank, value in enumerate(fractions, 1)
    ]


def draw_sensitivity(run: Run, whole: dict[int, float], parts: list[dict[int, float]], fraction: float) -> Drawing:
    """Semantic entropy with all grams, and with a random fraction of them dropped and the texts matched again.

    Args:
        run: the run.
        whole: step to semantic entropy with the whole set.
        parts: the same for each random part of it.
        fraction: of the grams, the one dropped.
    """
    with plt.rc_context(PLAIN):
        figure, axis = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
        drawing = Drawing(f"sensitivity_{run.name}", f"Semantic entropy of {run.name} without {fraction:.0%}", figure)
        axis.set_title(f"semantic entropy (nats), {fraction:.0%} of the grams dropped, matched again")
        for place, part in enumerate(parts):
            label = f"{len(parts)} random parts" if place == 0 else None
            axis.plot(list(part), list(part.values()), color=OTHER, alpha=0.6, linewidth=1, label=label)
            drawing.rows += [{"grams": f"part {place}", "step": s, "semantic_entropy_nats": v} for s, v in part.items()]
        axis.plot(list(whole), list(whole.values()), color=PLANNING, linewidth=1.8, label="all grams")
        drawing.rows += [{"grams": "all", "step": s, "semantic_entropy_nats": v} for s, v in whole.items()]
        axis.set_xlabel("training step")
        axis.legend()
    return drawing


COLUMNS, LINE_HEIGHT, MAX_LINES = 138, 0.19, 60
Word = tuple[str, str | None]


def draw_trace(label: str, step: int, pieces: Sequence[Word]) -> Drawing:
    """One trace with its planning phrases highlighted.

    Args:
        label: the run.
        step: the step it is from.
        pieces: (text, function) runs, in order; function None for execution.
    """
    lines = _lines(pieces)
    with plt.rc_context(PLAIN):
        figure = plt.figure(figsize=(9, 0.7 + LINE_HEIGHT * len(lines)))
        drawing = Drawing(f"trace_{label}", f"A trace of {label} at step {step}", figure)
        height = figure.get_figheight()
        top = 1 - 0.25 / height
        figure.text(0.01, top, shown(drawing.title), fontsize=10, weight="bold")
        for place, (name, shade) in enumerate(FUNCTION_SHADES.items()):
            figure.text(0.5 + 0.12 * place, top, name, fontsize=8, color="white", backgroundcolor=shade.strong)
        for number, line in enumerate(lines):
            _draw_words(figure, line, 1 - (0.6 + LINE_HEIGHT * number) / height)
        drawing.rows = [{"text": text, "function": function or "execution"} for text, function in pieces]
    return drawing


def _lines(pieces: Sequence[Word]) -> list[list[Word]]:
    """The words, line by line, as many as a figure shows."""
    lines: list[list[Word]] = [[]]
    used = 0
    for text, function in pieces:
        for part in text.replace("\n", " \n ").split(" "):
            if part == "\n" or used + len(part) + 1 > COLUMNS:
                if len(lines) == MAX_LINES:
                    return lines
                lines.append([])
                used = 0
            if part.strip():
                lines[-1].append((shown(part[:COLUMNS]), function))
                used += len(part) + 1
    return lines


def _draw_words(figure: Figure, line: list[Word], y: float) -> None:
    column = 0
    for word, function in line:
        written = figure.text(0.01 + column / COLUMNS * 0.97, y, word, fontsize=7.5, family="monospace", color=INK)
        if function is not None:
            written.set_color("white")
            written.set_bbox({"facecolor": FUNCTION_SHADES[function].strong, "edgecolor": "none", "pad": 0.8})
        column += len(word) + 1
