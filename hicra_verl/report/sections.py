"""A dump in the order of its run, and what reading it gives (``reader.py``)."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import Ints
from hicra_verl.metrics.step import Filtering
from hicra_verl.report.pieces import Array

TRAIN, VALIDATION = "train", "validation"

DTYPES = {
    "prompt": "<u4", "group": "<u4", "score": "<f4", "characters": "<u4", "tokens": "<i4", "planning": "<f4",
    "grams": "<u2", "functions": "|u1", "clipped": "|i1", "turns": "|u1", "advantage": "<f4", "trace": "<i4",
}  # fmt: skip
"""The columns of a row, with their types; what each holds: ``manifest`` in the docs of the report."""


@dataclass(frozen=True)
class Section:
    """A dump and its place in the run's order.

    Attributes:
        run: the run's index.
        kind: ``TRAIN`` or ``VALIDATION``.
        step: of training.
        path: the dump.
        first: the number of its first row.
        count: how many rows it has.
        traces: responses of the same step kept token by token.
        ids: the token ids of its responses.
        limit: the longest response in tokens that the run allowed; None where nobody said.
        filtering: see ``StepMetrics``.
    """

    run: int
    kind: str
    step: int
    path: Path
    first: int
    count: int
    traces: Path | None = None
    ids: Path | None = None
    limit: int | None = None
    filtering: Filtering = "none"

    def key(self, grams: GramSet) -> str:
        """Names what reading it gives: the same files at the same place, the same key."""
        files = [
            (str(path), path.stat().st_size, path.stat().st_mtime_ns)
            for path in (self.path, self.traces, self.ids)
            if path
        ]
        content = json.dumps(
            [files, self.run, self.kind, self.step, self.first, self.count, self.limit, self.filtering, grams.sha256]
        )
        return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:32]


@dataclass
class Found:
    """What a section holds, without its postings and the texts that are written already.

    Attributes:
        columns: (N,) each; ``prompt`` counts this section's own prompts.
        prompts: their texts.
        edges: responses of the first and the last text piece, which other sections may share: piece to their JSON.
        metrics: the measures that texts allow, as ``StepMetrics`` names them.
        gram_counts: (G,) how often each gram was counted.
        present: (G, 2) responses with a score that hold a gram: right ones, all.
        scored: right ones, all.
        contexts: gram to (row, text before, text after).
        traces: what was kept token by token, with the row of each, or -1.
        characters: of all responses.
        gaps: what could not be read.
        pieces: texts as pieces, for one page.
        size: bytes of the texts' pieces.
    """

    columns: dict[str, Array] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)
    edges: dict[int, list[bytes]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    gram_counts: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    present: Ints = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    scored: tuple[int, int] = (0, 0)
    contexts: dict[int, list[tuple[int, str, str]]] = field(default_factory=lambda: defaultdict(list))
    traces: list[dict[str, Any]] = field(default_factory=list)
    characters: int = 0
    gaps: list[str] = field(default_factory=list)
    pieces: dict[str, bytes] = field(default_factory=dict)
    size: int = 0


def load_section(path: Path) -> Found:
    """What ``read_section`` kept."""
    with path.open("rb") as stream:
        found: Found = pickle.load(stream)
    return found
