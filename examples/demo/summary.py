"""The end of a demonstration: a table of start and end, and a picture of what happened between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from rich.console import Console
from rich.table import Table

PANELS = {
    "reward on training problems": "critic/score/mean",
    "response length (tokens)": "response_length/mean",
    "planning fraction": "hicra/planning_fraction",
    "semantic entropy (nats)": "hicra/semantic_entropy_nats",
}


def series(rows: list[dict[str, Any]], metric: str) -> tuple[list[int], list[float]]:
    """Steps and values at which ``metric`` was logged."""
    logged = [(row["step"], row["data"][metric]) for row in rows if metric in row["data"]]
    return [step for step, _ in logged], [value for _, value in logged]


def held_out_metric(rows: list[dict[str, Any]]) -> str:
    """The name under which verl logs the accuracy on the held-out problems."""
    return next(name for row in rows for name in row["data"] if name.startswith("val-core/") and "/acc/" in name)


def show(rows: list[dict[str, Any]], title: str, picture: Path) -> None:
    """Print the table and save the picture."""
    metrics = {"accuracy on held-out problems": held_out_metric(rows), **PANELS}
    table = Table(title=title)
    for column in ("", "start", "end", "change"):
        table.add_column(column, justify="left" if not column else "right")
    for name, metric in metrics.items():
        steps, values = series(rows, metric)
        start, end = values[0], values[-1]
        table.add_row(f"{name} (step {steps[0]} to {steps[-1]})", f"{start:.3f}", f"{end:.3f}", f"{end - start:+.3f}")
    Console().print(table)

    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharex=True, layout="constrained")
    for axis, (name, metric) in zip(axes.flat, PANELS.items(), strict=True):
        axis.plot(*series(rows, metric), color="#2a6f97", linewidth=1.8, label=name)
        axis.set_title(name, fontsize=11)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    steps, values = series(rows, held_out_metric(rows))
    reward = axes.flat[0]
    reward.plot(steps, values, "o--", color="#c1121f", markersize=5, label="held-out accuracy")
    reward.set_title("accuracy", fontsize=11)
    reward.set_ylim(0, 1.02)
    reward.legend(frameon=False, fontsize=9, loc="lower right")
    for axis in axes[1]:
        axis.set_xlabel("training step")
    figure.suptitle(title)
    figure.savefig(picture, dpi=150)
    print(f"picture: {picture}")


def write_report(folder: Path, title: str) -> Path:
    """The run's curves, traces and settings on one page: what `hicra report` writes."""
    from hicra_verl.report.build import write_report as write

    page = folder / "report.html"
    write([f"hicra={folder}"], page, title=title)
    return page
