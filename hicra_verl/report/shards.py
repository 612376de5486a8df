"""Merges the sections' parts of a run's index of words, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from hicra_verl.report.assemble import RunParts
from hicra_verl.report.pieces import WORD_SHARDS, Store, as_json, postings_blob
from hicra_verl.report.words import HOLDS, merged, read_shard
from hicra_verl.report.workers import Workers


@dataclass(frozen=True)
class Merged:
    """A shard that was written: its words, the bytes it takes, and the piece itself for one page."""

    words: list[str]
    size: int
    pieces: dict[str, bytes]


def merge_shard(number: int, run: int, files: Sequence[Path], store: Store) -> Merged:
    """Write one shard of a run.

    Args:
        number: of the shard; ``HOLDS`` is that of grams.
        run: the run's index.
        files: the sections' parts, in order.
        store: where it goes.
    """
    postings = merged(read_shard(file, number) for file in files)
    name = f"holds/{run}" if number == HOLDS else f"words/{run}/{number}"
    own = Store(store.folder)
    size = own.put(name, postings_blob(postings))
    return Merged([] if number == HOLDS else list(postings), size, own.kept)


def write_words(
    run: int,
    sections: Sequence[Path],
    store: Store,
    workers: Workers,
    part: RunParts,
    progress: Callable[[int, int], None],
) -> None:
    """Write the pieces ``words``, ``vocabulary`` and ``holds`` of a run."""
    files = [path.with_suffix(".words") for path in sections]
    merge = partial(merge_shard, run=run, files=files, store=Store(store.folder))
    words = []
    for found in workers.each(merge, range(WORD_SHARDS + 1), progress):
        words.append(found.words)
        store.kept.update(found.pieces)
        part.size += found.size
    part.size += store.put(f"vocabulary/{run}", as_json(sorted(chain.from_iterable(words))))
