"""Which row of a dump a response kept token by token is. A trace names its group, but no row."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import Any

COMPARED = 4_000  # characters

_UNSEEN = re.compile(r"[^!-~]+")  # spaces, and characters of which a token may hold a part


class Traced:
    """The traces of a step, and the rows that may be theirs.

    Args:
        traces: as ``read_traces`` gives them.
    """

    def __init__(self, traces: list[dict[str, Any]]) -> None:
        self.traces = traces
        self._groups = {trace["group"] for trace in traces}
        self._rows: defaultdict[str, list[tuple[int, float, str]]] = defaultdict(list)

    def add(self, row: int, group: str, score: float, text: str) -> None:
        """Offer a row."""
        for name in (group, "None"):
            if name in self._groups:
                self._rows[name].append((row, score, _UNSEEN.sub("", text[:COMPARED])))

    def rows(self) -> list[int]:
        """The row of each trace: of its group, with its score and the longest text that its tokens begin with; or -1.

        verl's dumps lack special tokens, which a trace has at its end.
        """
        taken: set[int] = set()
        found = []
        for trace in self.traces:
            spelt = _UNSEEN.sub("", "".join(trace["tokens"])[: 2 * COMPARED])
            best = max(
                (
                    (len(text), -row)
                    for row, score, text in self._rows[trace["group"]]
                    if row not in taken and spelt.startswith(text) and _equal(score, trace["score"])
                ),
                default=None,
            )
            found.append(-1 if best is None else -best[1])
            taken.add(found[-1])
        return found


def _equal(score: float, traced: float | None) -> bool:
    return traced is None or math.isclose(score, traced, rel_tol=1e-4, abs_tol=1e-6)
