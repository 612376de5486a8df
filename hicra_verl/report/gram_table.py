"""How the grams of a run change through training, and how often responses with and without each are right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hicra_verl.grams.gramset import GramSet
from hicra_verl.report.sections import TRAIN, Found, Section

Z = 1.959963984540054  # of a 95% interval
SHOWN_CONTEXTS = 12


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson, 1927)."""
    share, square = right / total, Z * Z / total
    middle = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return middle - half, middle + half


def newcombe(present: tuple[int, int], absent: tuple[int, int]) -> tuple[float, float, float] | None:
    """The difference of two shares with its 95% interval (Newcombe, 1998, method 10).

    Args:
        present: how many of how many.
        absent: the same of the others.

    Returns:
        Difference, low, high; None where one of the two is of nothing.
    """
    if not present[1] or not absent[1]:
        return None
    p, q = present[0] / present[1], absent[0] / absent[1]
    (p_low, p_high), (q_low, q_high) = wilson(*present), wilson(*absent)
    low = p - q - math.sqrt((p - p_low) ** 2 + (q_high - q) ** 2)
    return p - q, low, p - q + math.sqrt((p_high - p) ** 2 + (q - q_low) ** 2)


class GramTable:
    """Collects what the training sections of a run say of each gram."""

    def __init__(self, grams: GramSet) -> None:
        self._size = len(grams)
        self.steps: list[int] = []
        self._counts: list[np.ndarray[Any, Any]] = []
        self._responses: list[int] = []
        self._present = np.zeros((self._size, 2), dtype=np.int64)
        self._scored = np.zeros(2, dtype=np.int64)
        self._contexts: dict[int, tuple[list[Any], list[Any]]] = {}

    def add(self, section: Section, found: Found) -> None:
        """Add a section; they come by step."""
        if section.kind != TRAIN:
            return
        self.steps.append(section.step)
        self._counts.append(found.gram_counts)
        self._responses.append(len(found.columns["score"]))
        self._present += found.present
        self._scored += found.scored
        half = SHOWN_CONTEXTS // 2
        for gram, contexts in found.contexts.items():
            early, late = self._contexts.setdefault(gram, ([], []))
            for context in contexts:
                (early if len(early) < half else late).append(context)
            del late[:-half]

    def table(self) -> dict[str, Any]:
        """The piece ``gramstats``: of each gram that was counted, by count."""
        counts = np.array(self._counts, dtype=np.int64).reshape(len(self.steps), self._size)
        total = counts.sum(axis=0)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        third = max(1, len(self.steps) // 3)
        change = np.zeros(self._size)
        if len(self.steps) > 1:
            change = shares[-third:].mean(axis=0) - shares[:third].mean(axis=0)
        rows = [self._row(gram, counts, float(change[gram])) for gram in np.argsort(-total, kind="stable").tolist()]
        return {
            "steps": self.steps,
            "counts": {str(gram): counts[:, gram].tolist() for gram in np.flatnonzero(total).tolist()},
            "responses": self._responses,
            "rows": [row for row in rows if total[row["gram"]]],
        }

    def _row(self, gram: int, counts: np.ndarray[Any, Any], change: float) -> dict[str, Any]:
        present = (int(self._present[gram, 0]), int(self._present[gram, 1]))
        absent = (int(self._scored[0]) - present[0], int(self._scored[1]) - present[1])
        difference, low, high = newcombe(present, absent) or (None, None, None)
        held = np.flatnonzero(counts[:, gram])
        early, late = self._contexts.get(gram, ([], []))
        return {
            "gram": gram,
            "first": self.steps[held[0]] if len(held) else None,
            "last": self.steps[held[-1]] if len(held) else None,
            "change": change,
            "present": list(present),
            "absent": list(absent),
            "difference": difference,
            "low": low,
            "high": high,
            "contexts": [list(context) for context in [*early, *late]],
        }
