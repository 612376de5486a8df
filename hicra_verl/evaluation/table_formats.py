"""Tables as text, Markdown, LaTeX and HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

from hicra_verl.evaluation.table import PaperTable

FORMATS = ("text", "markdown", "latex", "html")


def render(tables: Sequence[PaperTable], form: str) -> str:
    """The tables as ``markdown``, ``latex`` or ``html``; ``text`` is ``print_text``'s."""
    writers = {"markdown": _markdown, "latex": _latex, "html": _html}
    return "\n".join(writers[form](table) for table in tables)


def print_text(tables: Sequence[PaperTable]) -> None:
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
    def safe(text: str) -> str:
        return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")

    def row(*cells: str) -> str:
        return f"| {' | '.join(map(safe, cells))} |"

    head = ("model", "method", "", *table.columns)
    rows = [row(*head), "|" + "---|" * len(head)]
    rows += [row(line.model, line.method, line.whose, *line.cells) for line in table.lines]
    notes = "".join(f"\n{safe(note)}\n" for note in table.notes)
    return f"**{safe(table.title)}**\n\n" + "\n".join(rows) + "\n" + notes


_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%#_${}"}
    | {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    | {"†": "\\dag{}", "‡": "\\ddag{}", "±": "$\\pm$"}
)


def _latex(table: PaperTable) -> str:
    def safe(text: str) -> str:
        return text.translate(_LATEX)

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
