"""How many solutions hold each n-gram, and each cluster: one part of the corpus at a time, every finished part kept.

A part's counts go to a file of their own, so a killed job goes on with the parts that are missing, and parts can be
counted by several processes or machines. Counts add up, so the order does not matter.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from hicra_verl.errors import HicraError
from hicra_verl.files import make_folder, writing
from hicra_verl.mining.corpus import Corpus, CorpusError, Part
from hicra_verl.mining.ngrams import Ints, Keys, Ngrams, Words, find_ngrams
from hicra_verl.version import __version__

Arrays = dict[str, Any]
CountPart = Callable[[list[str]], Arrays]
Progress = Callable[[int, int], None]


class WorkError(HicraError):
    """A work folder that cannot be gone on with; the message names the file and the remedy."""


def step_folder(work: Path, step: str, *settings: Any) -> Path:
    """Where a step keeps its results: a folder named after everything that they depend on."""
    content = json.dumps([__version__, *settings], sort_keys=True, default=str)
    return make_folder(work / f"{step}-{hashlib.sha256(content.encode()).hexdigest()[:16]}")


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays in one move: after a kill the file is whole or absent."""
    with writing(path, binary=True) as stream:
        np.savez(stream, **arrays)


def load_arrays(path: Path, *names: str) -> list[Any]:
    """What ``save_arrays`` wrote, by name.

    Raises:
        WorkError: if the file is not whole.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (ValueError, KeyError, EOFError, OSError, BadZipFile, zlib.error, TypeError, AttributeError) as error:
        remedy = "remove it, and the same command makes it again"
        raise WorkError("a finished step that is not whole", file=path, remedy=remedy) from error


def _do(corpus: Corpus, part: Part, count: CountPart, path: Path) -> None:
    save_arrays(path, count(list(corpus.read(part))))


def over_parts(
    corpus: Corpus,
    count: CountPart,
    folder: Path,
    processes: int,
    ray: bool,
    progress: Progress = lambda done, of: None,
) -> list[Path]:
    """Apply a function to the solutions of each part and keep what it gives.

    Args:
        corpus: the solutions.
        count: the function; it must be picklable.
        folder: where results go; a part whose result is there is not done again.
        processes: how many work at once on this machine.
        ray: have Ray Data do it instead; the folder must then be one that every node sees.
        progress: called with the parts done and all parts.

    Returns:
        One file a part, in the corpus's order.
    """
    parts = corpus.parts()
    paths = [folder / f"{number:06d}.npz" for number in range(len(parts))]
    missing = [(part, path) for part, path in zip(parts, paths, strict=True) if not path.exists()]
    done = len(parts) - len(missing)
    progress(done, len(parts))
    for _ in _in_ray(corpus, count, missing) if ray else _here(corpus, count, missing, processes):
        done += 1
        progress(done, len(parts))
    return paths


def _here(corpus: Corpus, count: CountPart, missing: list[tuple[Part, Path]], processes: int) -> Iterable[None]:
    processes = min(processes, len(missing))  # more would have nothing to do
    if processes < 2:
        for part, path in missing:
            _do(corpus, part, count, path)
            yield
        return
    with ProcessPoolExecutor(processes) as pool:
        running = [pool.submit(_do, corpus, part, count, path) for part, path in missing]
        try:
            for future in as_completed(running):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # a broken part is told at once, not after all others
            raise


def _in_ray(corpus: Corpus, count: CountPart, missing: list[tuple[Part, Path]]) -> Iterable[None]:
    import ray.data

    def work(row: dict[str, Any]) -> dict[str, Any]:
        part, path = missing[row["item"]]
        try:
            _do(corpus, part, count, path)
        except HicraError as error:  # Ray would retell it as an error of its own
            return {"error": str(error)}
        return {"error": ""}

    dataset = ray.data.from_items(list(range(len(missing))), override_num_blocks=max(1, len(missing))).map(work)
    for row in dataset.iter_rows():
        if row["error"]:
            raise CorpusError(row["error"])
        yield


# --- step 1: document frequency of every n-gram -----------------------------------------------------------------------


def count_documents(texts: list[str], words: Words) -> Arrays:
    """``key`` (ascending), ``df`` (how many of the texts hold each n-gram), ``solutions``, and ``bytes`` looked at."""
    found = find_ngrams(texts, words)
    key, df = _documents(found.key, found.text)
    return {"key": key, "df": df, "solutions": np.array(len(texts)), "bytes": np.array(len(found.data))}


def _documents(key: Keys, text: Ints) -> tuple[Keys, Ints]:
    """The distinct keys, and in how many texts each occurs."""
    order = np.argsort(key, kind="stable")  # of one key, the texts stay in ascending order for each n
    key, text = key[order], text[order]
    new_key = np.append(True, key[1:] != key[:-1])[: len(key)]
    new_text = new_key | np.append(True, text[1:] != text[:-1])[: len(key)]
    starts = np.flatnonzero(new_key)
    return key[starts], np.add.reduceat(new_text.astype(np.int64), starts) if len(starts) else starts


def merge_documents(paths: Iterable[Path]) -> tuple[Keys, Ints, int, int]:
    """The whole corpus's keys (ascending), document frequencies, number of solutions, and bytes looked at.

    Parts are merged in pairs of like size, so the work grows with the table and the logarithm of the parts' number.
    """
    stack: list[tuple[int, Keys, Ints]] = []
    solutions = size = 0
    for path in paths:
        key, df, count, bytes_read = load_arrays(path, "key", "df", "solutions", "bytes")
        solutions, size = solutions + int(count), size + int(bytes_read)
        stack.append((1, key, df))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            _merge_last_two(stack)
    while len(stack) > 1:
        _merge_last_two(stack)
    _, key, df = stack[0]
    return key, df, solutions, size


def _merge_last_two(stack: list[tuple[int, Keys, Ints]]) -> None:
    (size, left, left_df), (other, right, right_df) = stack.pop(), stack.pop()
    key = np.concatenate([left, right])
    order = np.argsort(key, kind="stable")  # linear: two ascending runs
    key, df = key[order], np.concatenate([left_df, right_df])[order]
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    stack.append((size + other, key[starts], np.add.reduceat(df, starts) if len(starts) else df))


# --- step 2: the frequent ones' texts and uses ------------------------------------------------------------------------


def describe(texts: list[str], words: Words, frequent: Keys) -> Arrays:
    """For each of the frequent n-grams, in order: ``uses``, ``openings`` (uses that begin a line or clause), and in
    ``text`` how it reads ("" if it is not here)."""
    found = find_ngrams(texts, words)
    place, occurrence = _places(found, frequent)
    uses = np.bincount(place, minlength=len(frequent))
    present, first = np.unique(place, return_index=True)
    text = np.full(len(frequent), "", dtype=object)
    for index, at in zip(present.tolist(), occurrence[first].tolist(), strict=True):
        text[index] = found.phrase(at)
    openings = np.bincount(place[found.opens[occurrence]], minlength=len(frequent))
    return {"uses": uses, "openings": openings, "text": text.astype(np.str_)}


def merge_descriptions(paths: Iterable[Path]) -> tuple[list[str], Ints, Ints]:
    """The frequent n-grams' texts, how often each occurs, and how often it begins a line or clause."""
    first, *others = paths
    text, uses, openings = load_arrays(first, "text", "uses", "openings")
    texts = text.tolist()
    for path in others:
        text, more_uses, more_openings = load_arrays(path, "text", "uses", "openings")
        uses, openings = uses + more_uses, openings + more_openings
        texts = [known or new for known, new in zip(texts, text.tolist(), strict=True)]
    return texts, uses, openings


def _places(found: Ngrams, keys: Keys) -> tuple[Ints, Ints]:
    """For each occurrence of one of the keys: which key, and which n-gram of ``found`` it is."""
    place = np.minimum(np.searchsorted(keys, found.key), max(0, len(keys) - 1))
    occurrence = np.flatnonzero(keys[place] == found.key) if len(keys) else np.zeros(0, dtype=np.int64)
    return place[occurrence], occurrence


# --- step 3: Cluster Document Frequency -------------------------------------------------------------------------------


def count_clusters(texts: list[str], words: Words, keys: Keys, cluster: Ints) -> Arrays:
    """``df``: how many of the texts hold at least one n-gram of each cluster (the paper's Cluster DF).

    Args:
        texts: solutions.
        words: what an n-gram is.
        keys: (K,) the clustered n-grams, ascending.
        cluster: (K,) the cluster of each, from 0.
    """
    found = find_ngrams(texts, words)
    place, occurrence = _places(found, keys)
    size = int(cluster.max()) + 1
    pairs = np.unique(found.text[occurrence] * size + cluster[place])
    return {"df": np.bincount(pairs % size, minlength=size)}


def merge_clusters(paths: Iterable[Path]) -> Ints:
    """The whole corpus's Cluster Document Frequency."""
    return np.sum([load_arrays(path, "df")[0] for path in paths], axis=0)  # type: ignore[no-any-return]
