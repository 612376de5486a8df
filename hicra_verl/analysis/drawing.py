"""A figure with its numbers: what the paper's figures share, and how one is saved."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hicra_verl.analysis.runs import Run
from hicra_verl.files import make_folder, writing
from hicra_verl.palette import OTHER
from hicra_verl.spreadsheets import write_csv

FORMATS = ("png", "pdf", "svg")

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
    "text.parse_math": False,  # labels and responses are not ours: a dollar sign in them is a dollar sign
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
        """Write all formats and the CSV, and close the figure.

        Raises:
            OutputError: if a file cannot be written.
        """
        make_folder(folder)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # an emoji, which the font lacks, is drawn as a box
            for form in FORMATS:
                with writing(folder / f"{self.name}.{form}", binary=True) as stream:
                    self.figure.savefig(stream, format=form)
        plt.close(self.figure)
        write_csv(folder / f"{self.name}.csv", self.rows)


def shown(text: str) -> str:
    """A text of others as a figure can hold it: what cannot be printed is replaced."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def draw_line(
    axis: Axes, drawing: Drawing, run: Run, metric: str | None, label: str, colour: str, **style: Any
) -> bool:
    """Draw one metric of one run and note its numbers; False if it was never logged."""
    steps, values = run.series(metric) if metric is not None else ([], [])
    if not steps:
        return False
    marker = "o" if len(steps) < 4 else None
    axis.plot(steps, values, label=label, color=colour, linewidth=1.6, marker=marker, markersize=3, **style)
    drawing.rows += [
        {"run": run.name, "metric": metric, "step": s, "value": v} for s, v in zip(steps, values, strict=True)
    ]
    return True


def finish(drawing: Drawing, axis: Axes, drawn: bool, reason: str, handles: list[Any] | None = None) -> None:
    """Give a panel its legend; say why, if nothing was drawn."""
    if drawn:
        # Two axes share one legend, below the panel: inside it would hide curves.
        below = {"handles": handles, "loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 2}
        axis.legend(**(below if handles else {}))
        return
    drawing.blank.append((axis.get_title(), reason))
    axis.text(0.5, 0.5, reason, ha="center", va="center", transform=axis.transAxes, color=OTHER, fontsize=8, wrap=True)
    axis.set_xticks([])
    axis.set_yticks([])
