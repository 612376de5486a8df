"""Gram sets out of gram sets: merged, thinned, compared."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hicra_verl.grams.gramset import Gram, GramSet, GramSetError
from hicra_verl.grams.text import normalise


def with_grams(grams: GramSet, kept: Sequence[Gram], name: str, description: str, **made: Any) -> GramSet:
    """A part of a set under a name of its own, with what it is a part of.

    Args:
        grams: the whole set.
        kept: the grams of the new one.
        name: its name.
        description: its description.
        made: what was done, for the provenance.
    """
    provenance = {"from": f"{grams.name} ({grams.sha256[:12]})", **made, **dict(grams.provenance)}
    return GramSet(name, tuple(kept), description, tuple(provenance.items()))


def merge(sets: Sequence[GramSet], name: str) -> tuple[GramSet, list[str]]:
    """One set of all grams; of grams that match the same, the first set's counts.

    Returns:
        The set, and a line for each gram whose function differs between sets.
    """
    chosen: dict[str, tuple[Gram, str]] = {}
    conflicts = []
    for grams, label in zip(sets, labels(sets), strict=True):
        for gram in grams:
            first, owner = chosen.setdefault(normalise(gram.text), (gram, label))
            if first.function != gram.function:
                labelled = f"{first.function} in {owner}, {gram.function} in {label}"
                conflicts.append(f"{gram.text!r}: {labelled}; {first.function} kept")
    provenance = {"merged": [f"{grams.name} ({grams.sha256[:12]})" for grams in sets]}
    merged = tuple(gram for gram, _ in chosen.values())
    description = "All grams of " + ", ".join(labels(sets))
    return GramSet(name, merged, description, tuple(provenance.items())), conflicts


def labels(sets: Sequence[GramSet]) -> list[str]:
    """What to call each of several sets: its name; with its hash, where another set has the same name."""
    hashes = {grams.name: {other.sha256 for other in sets if other.name == grams.name} for grams in sets}
    return [grams.name if len(hashes[grams.name]) == 1 else f"{grams.name} ({grams.sha256[:12]})" for grams in sets]


def drop(grams: GramSet, fraction: float, seed: int) -> GramSet:
    """The set without a random fraction of its grams (the paper's sensitivity check drops 30%).

    Raises:
        GramSetError: if the fraction is not at least 0 and less than 1, or would leave no gram.
    """
    if not 0 <= fraction < 1:
        raise GramSetError(f"cannot drop a fraction of {fraction:g}", remedy="expected at least 0 and less than 1")
    count = len(grams) - round(fraction * len(grams))
    if not count:
        raise GramSetError(f"none of the {len(grams)} grams would be left", remedy="drop a smaller fraction")
    kept = [grams.grams[place] for place in sorted(random.Random(seed).sample(range(len(grams)), count))]
    name = f"{grams.name}-without-{fraction:.0%}-{seed}".replace("%", "")
    return with_grams(grams, kept, name, grams.description, how=f"{fraction:.0%} dropped at random, seed {seed}")


def at_least(grams: GramSet, words: int) -> GramSet:
    """The grams of so many words or more; with 1, the set itself.

    Raises:
        GramSetError: if there is none.
    """
    kept = [gram for gram in grams if words_in(gram) >= words]
    if not kept:
        raise GramSetError(f"no gram of {grams.name} has {words} words or more", remedy="ask for fewer words")
    return grams if words == 1 else with_grams(grams, kept, f"{grams.name}-{words}-words", f"{words} words or more")


@dataclass(frozen=True)
class Difference:
    """How two sets differ by text: grams of one only, and grams of both with another function."""

    only_first: list[Gram]
    only_second: list[Gram]
    both: list[Gram]
    other_function: list[tuple[Gram, Gram]]


def difference(first: GramSet, second: GramSet) -> Difference:
    """Compare two sets gram by gram; grams that match the same are the same."""
    left = {normalise(gram.text): gram for gram in first}
    right = {normalise(gram.text): gram for gram in second}
    both = [key for key in left if key in right]
    return Difference(
        [gram for key, gram in left.items() if key not in right],
        [gram for key, gram in right.items() if key not in left],
        [left[key] for key in both],
        [(left[key], right[key]) for key in both if left[key].function != right[key].function],
    )


def words_in(gram: Gram) -> int:
    """How many words a gram has (white space separates them)."""
    return len(gram.text.split())
