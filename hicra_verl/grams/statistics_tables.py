"""Statistics as tables, for a terminal or as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from hicra_verl.grams.gramset import FUNCTIONS, GramSet
from hicra_verl.grams.operations import words_in
from hicra_verl.grams.statistics import Statistics, contained, frequent_first


@dataclass(frozen=True)
class TextTable:
    """A table: its title, its columns, and its rows; the last column holds words, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def for_terminal(self) -> Table:
        """The table as rich prints it."""
        table = Table(title=self.title, title_justify="left")
        for column in self.columns:
            table.add_column(column, justify="left" if column == self.columns[-1] else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def as_markdown(self) -> str:
        """The table as Markdown, its title above it."""
        head = f"**{self.title}**\n\n| {' | '.join(self.columns)} |"
        rule = "|" + "|".join([" ---: "] * (len(self.columns) - 1) + [" --- "]) + "|"
        rows = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in self.rows]
        return "\n".join([head, rule, *rows, ""])


def tables(grams: GramSet, found: Statistics, top: int | None = 20) -> list[TextTable]:
    """Every table of a set's statistics.

    Args:
        grams: the set.
        found: its statistics.
        top: rows of the long tables; None for all.
    """
    of = f"{grams.name} on {found.solutions:,} texts"
    uses = max(1, int(found.uses.sum()))
    by_words = TextTable(
        f"{of}: share of the {found.unit} flagged",
        ("grams", f"share of {found.unit}", "which grams"),
        [
            (
                str(sum(words_in(gram) >= least for gram in grams)),
                f"{share:.2%}",
                "all" if least == 1 else f"of {least} words or more",
            )
            for least, share in found.shares.items()
        ],
    )
    by_function = TextTable(
        f"{of}: by function ({found.without / max(1, found.solutions):.1%} of the texts hold no gram)",
        ("grams", "texts that hold one", "uses", "share of uses", "function"),
        [
            _function_row(grams, found, function, uses)
            for function in FUNCTIONS
            if any(gram.function == function for gram in grams)
        ],
    )
    order = frequent_first(found.uses)[:top]
    by_gram = TextTable(
        f"{of}: the most used grams; {int((found.uses == 0).sum())} are never counted",
        ("uses", "share of uses", "texts", "uses a text", "inside longer", "gram"),
        [
            (
                f"{found.uses[place]:,}",
                f"{found.uses[place] / uses:.1%}",
                f"{found.solutions_with[place]:,}",
                f"{(found.uses[place] + found.inside[place]) / found.solutions_with[place]:.2f}",
                f"{found.inside[place]:,}",
                f"{grams.grams[place].text} ({grams.grams[place].function})",
            )
            for place in order
            if found.uses[place]
        ],
    )
    together = TextTable(
        f"{of}: what stands together more often than chance has it",
        ("texts", "times chance", "grams"),
        [
            (f"{count:,}", f"{2**log_ratio:.1f}", f"{grams.grams[a].text} + {grams.grams[b].text}")
            for a, b, count, log_ratio in found.together()[:top]
        ],
    )
    overlaps = sorted(contained(grams), key=lambda pair: (-int(found.inside[pair[0]]), pair))
    inside = TextTable(
        f"{of}: grams inside longer grams, {len(overlaps)} pairs",
        ("uses inside any", "gram, inside"),
        [
            (f"{found.inside[short]:,}", f"{grams.grams[short].text}, inside {grams.grams[long].text}")
            for short, long in overlaps[:top]
        ],
    )
    return [by_words, by_function, by_gram, together, inside]


def _function_row(grams: GramSet, found: Statistics, function: str, uses: int) -> tuple[str, ...]:
    places = [place for place, gram in enumerate(grams) if gram.function == function]
    mine = int(found.uses[places].sum())
    return str(len(places)), f"{found.by_function[function]:,}", f"{mine:,}", f"{mine / uses:.1%}", function
