"""Puts the sections of runs together: blocks of rows, prompts that all runs share, and pieces of text at the seams."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

import numpy as np

from hicra_verl.grams.gramset import GramSet
from hicra_verl.report.gram_table import GramTable
from hicra_verl.report.pieces import PROMPTS_PER_BLOCK, ROWS_PER_BLOCK, Array, Store, as_json, columns_blob
from hicra_verl.report.sections import DTYPES, TRAIN, Found, Section


class Prompts:
    """Numbers prompts: the same text has the same number in every run. Texts are written as they come."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._numbers: dict[bytes, int] = {}
        self._block: list[str] = []
        self.size = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, text: str) -> int:
        """A prompt's number."""
        key = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._numbers)
            self._block.append(text)
            if len(self._block) == PROMPTS_PER_BLOCK:
                self.flush()
        return found

    def flush(self) -> None:
        """Write what has not been written yet."""
        if self._block:
            block = (len(self._numbers) - 1) // PROMPTS_PER_BLOCK
            self.size += self._store.put(f"prompts/{block}", as_json(self._block))
            self._block = []


class RunParts:
    """Takes a run's sections in order and writes what is complete.

    Args:
        run: the run's index.
        store: where pieces go.
        prompts: of all runs.
        grams: the set that was matched.
    """

    def __init__(self, run: int, store: Store, prompts: Prompts, grams: GramSet) -> None:
        self.run, self._store, self._prompts = run, store, prompts
        self.rows = self.characters = self.size = 0
        self.sections: list[dict[str, Any]] = []
        self.table = GramTable(grams)
        self.traced: list[int] = []
        self.known: dict[str, bool] = {"tokens": True, "clipped": False, "turns": False, "score": False}
        self._columns: dict[str, list[Array]] = defaultdict(list)
        self._held = self._block = 0
        self._edges: dict[int, list[bytes]] = defaultdict(list)

    def add(self, section: Section, found: Found) -> None:
        """Add the next section."""
        count = len(found.columns["score"])
        self.sections.append({"kind": section.kind, "step": section.step, "first": section.first, "count": count})
        self.rows += count
        self.characters += found.characters
        self.size += found.size
        self._store.kept.update(found.pieces)
        for piece, entries in found.edges.items():
            self._edges[piece] += entries
        numbers = np.array([self._prompts.number(text) for text in found.prompts], dtype=np.int64)
        prompt = numbers[found.columns["prompt"]] if count else numbers
        self._take({**found.columns, "prompt": prompt.astype(DTYPES["prompt"])}, count)
        self.table.add(section, found)
        self.put_traces(section.step, found.traces)
        columns = found.columns
        if section.kind == TRAIN:  # held-out responses have no token ids; those of traced rows alone are few
            self.known["tokens"] &= bool((columns["tokens"] >= 0).all())
        self.known["clipped"] |= bool((columns["clipped"] >= 0).any())
        self.known["turns"] |= bool((columns["turns"] > 1).any())
        self.known["score"] |= bool((~np.isnan(columns["score"])).any())

    def _take(self, columns: dict[str, Array], count: int) -> None:
        for name, values in columns.items():
            self._columns[name].append(values)
        self._held += count
        while self._held >= ROWS_PER_BLOCK:
            self._write_block(ROWS_PER_BLOCK)

    def _write_block(self, count: int) -> None:
        whole = {name: np.concatenate(parts) for name, parts in self._columns.items()}
        blob = columns_blob({name: values[:count] for name, values in whole.items()})
        self.size += self._store.put(f"rows/{self.run}/{self._block}", blob)
        self._columns = defaultdict(list, {name: [values[count:]] for name, values in whole.items()})
        self._held -= count
        self._block += 1

    def put_traces(self, step: int, traces: list[dict[str, Any]]) -> None:
        """Write the responses of a step that were kept token by token."""
        if traces:
            self.traced.append(step)
            self.size += self._store.put(f"tokens/{self.run}/{step}", as_json(traces))

    def finish(self) -> None:
        """Write the rest."""
        if self._held:
            self._write_block(self._held)
        for piece, entries in self._edges.items():
            self.size += self._store.put(f"text/{self.run}/{piece}", b"[" + b",".join(entries) + b"]")
        self.size += self._store.put(f"gramstats/{self.run}", as_json(self.table.table()))
