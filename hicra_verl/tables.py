"""Tables as text, Markdown, LaTeX and HTML, whatever stands in their cells."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hicra_verl.errors import HicraError, nearest

FORMATS = ("text", "markdown", "latex", "html")


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: stands above it.
        columns: their heads.
        rows: one cell a column. Only ``text`` keeps the line breaks in them.
        notes: stand below it.
        words: how many columns, from the left, hold words; the others hold figures.
        last_in_words: whether the last column holds words, too.
        unbroken: in so many columns from the left ``text`` breaks no line.
        group: rows alike in so many columns belong together, and ``text`` says what is alike only once.
        marked: places of the rows that HTML colours.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()
    words: int = 1
    group: int = 0
    marked: frozenset[int] = frozenset()
    last_in_words: bool = False
    unbroken: int = 0

    def _sides(self, left: str, right: str) -> list[str]:
        """For each column, what stands for its side: the left one if it holds words."""
        last = len(self.columns) - 1 if self.last_in_words else -1
        return [left if place < self.words or place == last else right for place in range(len(self.columns))]

    def print(self) -> None:
        """Print it to the terminal; a table whose columns have no names has no head there."""
        import rich.table

        from hicra_verl.terminal import plain_console

        shown = rich.table.Table(title=_clean(self.title), title_justify="left", show_header=any(self.columns))
        for place, side in enumerate(self._sides("left", "right")):
            whole = place < self.unbroken
            shown.add_column(_clean(self.columns[place]), justify=side, overflow="fold", no_wrap=whole)  # type: ignore[arg-type]
        before: tuple[str, ...] | None = None
        for row in self.rows:
            group, start = row[: self.group], row[: self.group] != before
            if start and before:
                shown.add_section()
            before = group
            cells = row if start else ("",) * self.group + row[self.group :]
            shown.add_row(*(_clean(cell, "\n") for cell in cells))
        console = plain_console()
        console.print(shown)
        for note in self.notes:
            console.print(_clean(note))

    def markdown(self) -> str:
        """The table as Markdown; nothing in it is taken for markup."""

        def row(cells: Sequence[str]) -> str:
            return f"| {' | '.join(map(_markdown, cells))} |"

        rule = "|" + "".join(self._sides("---|", "---:|"))
        lines = [f"**{_markdown(self.title)}**", "", row(self.columns), rule, *map(row, self.rows)]
        return "\n".join([*lines, *(f"\n{_markdown(note)}" for note in self.notes)]) + "\n"

    def latex(self) -> str:
        """The table as LaTeX (booktabs); nothing in it is taken for a command."""

        def row(cells: Sequence[str]) -> str:
            text = " & ".join(map(_latex, cells)) + " \\\\"
            return f"{{}}{text}" if text[0] in "[*" else text  # else an argument of the \\ before

        form = "".join(self._sides("l", "r"))
        lines = ["\\begin{table}", f"\\caption{{{_latex(self.title)}}}", f"\\begin{{tabular}}{{{form}}}", "\\toprule"]
        lines += [row(self.columns), "\\midrule", *map(row, self.rows), "\\bottomrule", "\\end{tabular}"]
        return "\n".join([*lines, *(f"\\par {_latex(note)}" for note in self.notes), "\\end{table}"]) + "\n"

    def html(self) -> str:
        """The table as HTML; nothing in it is taken for markup."""

        def row(tag: str, cells: Sequence[str], style: str = "") -> str:
            return f"<tr{style}>" + "".join(f"<{tag}>{_html(cell)}</{tag}>" for cell in cells) + "</tr>"

        style = (
            "<style>table{border-collapse:collapse;font:14px sans-serif}td,th{border:1px solid #ccc;padding:3px 8px}"
            ".ours{background:#eef6ff}caption{text-align:left;padding:6px 0}</style>"
        )
        marks = [' class="ours"' if place in self.marked else "" for place in range(len(self.rows))]
        body = "\n".join(row("td", cells, mark) for cells, mark in zip(self.rows, marks, strict=True))
        notes = "".join(f"<p>{_html(note)}</p>" for note in self.notes)
        caption = f"<caption>{_html(self.title)}</caption>"
        return f"{style}<table>{caption}\n{row('th', self.columns)}\n{body}\n</table>{notes}\n"


def check_format(form: str, to_file: bool) -> None:
    """Refuse a format that is not one of ``FORMATS``, or ``text`` for a file: it is a terminal's.

    Raises:
        HicraError: if it is.
    """
    if form not in FORMATS:
        raise HicraError(f"--format {form}: {nearest(form, list(FORMATS))}")
    if to_file and form == "text":
        raise HicraError("--output needs --format markdown, latex or html")


def render(tables: Sequence[Table], form: str) -> str:
    """The tables as ``markdown``, ``latex`` or ``html``."""
    return "\n".join(getattr(table, form)() for table in tables)


def _clean(text: str, kept: str = "") -> str:
    """Without what steers a terminal or breaks a line, and without halves of characters."""
    return "".join(character if character.isprintable() or character in kept else " " for character in text)


def _html(text: str) -> str:
    return html.escape(_clean(text))


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_<|~]|(?<=\])[(\[])", r"\\\1", _clean(text))


_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%#_${}"}
    | {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    | {"†": "\\dag{}", "‡": "\\ddag{}", "±": "$\\pm$"}
)


def _latex(text: str) -> str:
    return _clean(text).translate(_LATEX)
