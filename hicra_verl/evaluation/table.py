"""The paper's tables with our results in their place: paper and ours in lines of their own, never mixed."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from hicra_verl.data.sources import SOURCES
from hicra_verl.evaluation.benchmarks import TITLES, EvaluationError
from hicra_verl.evaluation.run import SETTINGS_FILE

SUMMARY_FILE = "summary.json"
FORMATS = ("text", "markdown", "latex", "html")


@dataclass(frozen=True)
class Line:
    """One line of a table: the model and method it belongs to, whose numbers it holds, and a cell a benchmark."""

    model: str
    method: str
    whose: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table ready to be written: its title, its columns, its lines and its footnotes."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def paper_numbers() -> dict[str, Any]:
    """The paper's tables, as the package carries them."""
    text = resources.files("hicra_verl.evaluation").joinpath("paper.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def load_results(folders: list[Path]) -> dict[str, dict[str, Any]]:
    """Summaries by row name (or, outside the paper's rows, by model): ``{benchmark: figures}``.

    Raises:
        EvaluationError: if a folder holds no finished evaluation, or two hold the same row and benchmark.
    """
    results: dict[str, dict[str, Any]] = {}
    for folder in folders:
        try:
            settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
            summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EvaluationError(
                f"{folder}: holds no finished evaluation ({error}); `hicra eval` writes one"
            ) from error
        row = results.setdefault(settings["row"] or Path(settings["model"]).name, {})
        for benchmark, figures in summary["benchmarks"].items():
            if benchmark in row:
                raise EvaluationError(
                    f"{folder}: {benchmark} of this row is in another folder too; give one of the two"
                )
            row[benchmark] = figures
    return results


def build(results: dict[str, dict[str, Any]]) -> list[PaperTable]:
    """The paper's tables; results of rows that it does not have follow in the table of their benchmarks."""
    paper = paper_numbers()
    known = {row["row"] for table in paper["tables"] for row in table["rows"]}
    tables = []
    for table in paper["tables"]:
        benchmarks = table["benchmarks"]
        lines: list[Line] = []
        notes: list[str] = []
        for row in table["rows"]:
            ours = results.get(row["row"], {})
            whose = "paper" if row["source"] == "paper" else "authors, in review"
            numbers = tuple("" if value is None else f"{value:.1f}" for value in row["values"])
            lines.append(Line(row["model"], row["method"], whose, numbers))
            lines.append(Line(row["model"], row["method"], "ours", tuple(_cell(ours, b, notes) for b in benchmarks)))
            if any(benchmark in ours for benchmark in benchmarks):
                differences = [_difference(ours, b, v) for b, v in zip(benchmarks, row["values"], strict=True)]
                lines.append(Line(row["model"], row["method"], "ours - paper", tuple(differences)))
        for name, ours in results.items():
            if name not in known and any(benchmark in ours for benchmark in benchmarks):
                lines.append(Line(name, "", "ours", tuple(_cell(ours, b, notes) for b in benchmarks)))
        rows_here = {row["row"] for row in table["rows"]}
        slips = [slip["note"] for slip in paper["slips"] if slip["row"] in rows_here]
        columns = tuple(TITLES[benchmark] for benchmark in benchmarks)
        title = f"Table {table['table']}: Pass@1 in percent; in brackets 95% bootstrap intervals over problems"
        # dict.fromkeys: each note once, in order.
        tables.append(PaperTable(title, columns, tuple(lines), tuple(dict.fromkeys([*notes, *slips]))))
    return tables


def _cell(ours: dict[str, Any], benchmark: str, notes: list[str]) -> str:
    if benchmark not in ours:
        return ""
    figures = ours[benchmark]
    low, high = figures["pass@1_interval"]
    text = f"{100 * figures['pass@1']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    whole = SOURCES[benchmark].rows
    if whole is not None and figures["problems"] < whole:
        notes.append(
            f"* on part of the benchmark only ({TITLES[benchmark]}: {figures['problems']} of {whole:,} problems)"
        )
        text += "*"
    return text


def _difference(ours: dict[str, Any], benchmark: str, paper: float | None) -> str:
    if benchmark not in ours or paper is None:
        return ""
    figures = ours[benchmark]
    low, high = figures["pass@1_interval"]
    return f"{100 * figures['pass@1'] - paper:+.1f} [{100 * low - paper:+.1f}, {100 * high - paper:+.1f}]"


# --- writing ----------------------------------------------------------------------------------------------------------


def render(tables: list[PaperTable], form: str) -> str:
    """The tables as ``markdown``, ``latex`` or ``html``; ``text`` is ``print_text``'s."""
    writers = {"markdown": _markdown, "latex": _latex, "html": _html}
    return "\n".join(writers[form](table) for table in tables)


def print_text(tables: list[PaperTable]) -> None:
    """Print the tables to the terminal."""
    from rich.table import Table

    from hicra_verl.terminal import plain_console

    console = plain_console()
    for table in tables:
        shown = Table(title=table.title, title_justify="left")
        for column in ("model", "method", "", *table.columns):
            shown.add_column(column, overflow="fold")
        previous = ""
        for line in table.lines:
            start = f"{line.model}{line.method}" != previous
            if start and previous:
                shown.add_section()
            previous = f"{line.model}{line.method}"
            shown.add_row(line.model if start else "", line.method if start else "", line.whose, *line.cells)
        console.print(shown)
        for note in table.notes:
            console.print(note)


def _markdown(table: PaperTable) -> str:
    head = ["model", "method", "", *table.columns]
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    rows += [f"| {' | '.join([line.model, line.method, line.whose, *line.cells])} |" for line in table.lines]
    notes = "".join(f"\n{note.replace('*', chr(92) + '*')}\n" for note in table.notes)
    return f"**{table.title}**\n\n" + "\n".join(rows) + "\n" + notes


def _latex(table: PaperTable) -> str:
    def safe(text: str) -> str:
        for character in "&%#_":
            text = text.replace(character, f"\\{character}")
        return text

    lines = [
        "\\begin{table}",
        f"\\caption{{{safe(table.title)}}}",
        f"\\begin{{tabular}}{{lll{'r' * len(table.columns)}}}",
        "\\toprule",
        " & ".join(["model", "method", "", *map(safe, table.columns)]) + " \\\\",
        "\\midrule",
        *(" & ".join(map(safe, (line.model, line.method, line.whose, *line.cells))) + " \\\\" for line in table.lines),
        "\\bottomrule",
        "\\end{tabular}",
        *(f"\\par {safe(note)}" for note in table.notes),
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _html(table: PaperTable) -> str:
    def row(tag: str, cells: tuple[str, ...], style: str = "") -> str:
        return f"<tr{style}>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    style = "<style>table{border-collapse:collapse;font:14px sans-serif}td,th{border:1px solid #ccc;padding:3px 8px}"
    style += ".ours{background:#eef6ff}caption{text-align:left;padding:6px 0}</style>"
    body = "\n".join(
        row(
            "td",
            (line.model, line.method, line.whose, *line.cells),
            ' class="ours"' if line.whose.startswith("ours") else "",
        )
        for line in table.lines
    )
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    head = row("th", ("model", "method", "", *table.columns))
    return f"{style}<table><caption>{html.escape(table.title)}</caption>\n{head}\n{body}\n</table>{notes}\n"
