"""Statistics as tables, for a terminal or as Markdown."""

from __future__ import annotations

from hicra_verl.grams.gramset import FUNCTIONS, GramSet
from hicra_verl.grams.operations import words_in
from hicra_verl.grams.statistics import Statistics, frequent_first
from hicra_verl.tables import Table


def tables(grams: GramSet, found: Statistics, top: int | None = 20) -> list[Table]:
    """Every table of a set's statistics.

    Args:
        grams: the set.
        found: its statistics.
        top: rows of the long tables; None for all.
    """
    of = f"{grams.name} on {found.solutions:,} texts"
    made = (_by_words, _by_function, _by_gram, _together, _inside)
    return [
        Table(f"{of}: {title}", columns, rows[: top if make in made[2:] else None], words=0, last_in_words=True)
        for make in made
        for title, columns, rows in [make(grams, found)]
    ]


Made = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""A table's title, columns and rows."""


def _by_words(grams: GramSet, found: Statistics) -> Made:
    columns = ("grams", f"share of {found.unit}", "which grams")
    rows = [
        (
            str(sum(words_in(gram) >= least for gram in grams)),
            f"{share:.2%}",
            "all" if least == 1 else f"of {least} words or more",
        )
        for least, share in found.shares.items()
    ]
    return f"share of the {found.unit} flagged", columns, list(rows)


def _by_function(grams: GramSet, found: Statistics) -> Made:
    rows: list[tuple[str, ...]] = []
    for function in FUNCTIONS:
        places = [place for place, gram in enumerate(grams) if gram.function == function]
        mine = int(found.uses[places].sum())
        if places:
            part = f"{mine / max(1, int(found.uses.sum())):.1%}"
            rows.append((str(len(places)), f"{found.by_function[function]:,}", f"{mine:,}", part, function))
    title = f"by function ({found.without / max(1, found.solutions):.1%} of the texts hold no gram)"
    return title, ("grams", "texts that hold one", "uses", "share of uses", "function"), rows


def _by_gram(grams: GramSet, found: Statistics) -> Made:
    uses = max(1, int(found.uses.sum()))
    rows: list[tuple[str, ...]] = [
        (
            f"{found.uses[place]:,}",
            f"{found.uses[place] / uses:.1%}",
            f"{found.solutions_with[place]:,}",
            f"{(found.uses[place] + found.inside[place]) / found.solutions_with[place]:.2f}",
            f"{found.inside[place]:,}",
            f"{grams.grams[place].text} ({grams.grams[place].function})",
        )
        for place in frequent_first(found.uses)
        if found.uses[place]
    ]
    title = f"the most used grams; {int((found.uses == 0).sum())} are never counted"
    return title, ("uses", "share of uses", "texts", "uses a text", "inside longer", "gram"), rows


def _together(grams: GramSet, found: Statistics) -> Made:
    rows: list[tuple[str, ...]] = [
        (f"{count:,}", f"{2**log_ratio:.1f}", f"{grams.grams[a].text} + {grams.grams[b].text}")
        for a, b, count, log_ratio in found.together()
    ]
    return "what stands together more often than chance has it", ("texts", "times chance", "grams"), rows


def _inside(grams: GramSet, found: Statistics) -> Made:
    rows: list[tuple[str, ...]] = [
        (f"{found.inside[short]:,}", f"{grams.grams[short].text}, inside {grams.grams[long].text}")
        for short, long in sorted(found.contained, key=lambda pair: (-int(found.inside[pair[0]]), pair))
    ]
    return f"grams inside longer grams, {len(rows)} pairs", ("uses inside any", "gram, inside"), rows
