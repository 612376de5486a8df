"""`hicra mine`: from a corpus of solutions to a gram set (paper v3, construction of Strategic Grams).

1. Count in how many successful solutions each n-gram stands; the frequent ones go on.
2. Embed them, and cluster the embeddings.
3. Count in how many solutions each cluster stands (Cluster Document Frequency).
4. Keep the clusters of the top 20%; the set is the union of their n-grams.

The profile ``paper`` does this and no more. ``ours``, the default, has filters that the paper does not describe.

Each step keeps what it has done in a work folder, so a killed job goes on, and another clusterer or share starts from
what is there. The same corpus, options and seed give the same file, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from hicra_verl.errors import HicraError
from hicra_verl.grams.gramset import Gram, GramSet
from hicra_verl.mining import counting
from hicra_verl.mining.clustering import Clusterer, check_installed, cluster, embed
from hicra_verl.mining.corpus import Corpus, CorpusError
from hicra_verl.mining.ngrams import ALLOWABLE, MAX_N, Ints, Words
from hicra_verl.records import whole_number

Progress = Callable[[str, int, int], None]

METHOD = "arXiv 2509.03646v3: n-grams, sentence embeddings, clusters, Cluster Document Frequency"
_NO_FILTER: dict[str, Any] = {"min_df": 1, "max_uses": 0, "openings": 0}
"""Values of the options that drop n-grams, with which they drop none: what the paper has."""


class MiningError(HicraError):
    """An option that mining cannot do."""


@dataclass(frozen=True)
class Options:
    """How to mine. What the paper gives is marked; the rest is ours.

    Attributes:
        words: what an n-gram is; the paper's n is 3 to 5.
        min_df: solutions that must hold an n-gram: a fraction of them if below 1, else their number.
        max_uses: the most uses an n-gram may have on average in a solution that holds it; 0 for no limit. The paper
            says "sparingly", but has no step for it.
        openings: the least fraction of an n-gram's uses that begin a line or clause. A phrase that steers opens a
            clause ("let's consider the"); a piece of one ("of the given") does not.
        embedder: see ``clustering.embed``.
        clusterer: see ``clustering.cluster``.
        cluster_size: n-grams a cluster has on average.
        keep: the fraction of clusters kept, by Cluster Document Frequency; the paper's is 0.2.
        seed: of everything random.
        profile: the one of ``PROFILES`` that this began as.
    """

    words: Words
    min_df: float
    max_uses: float
    openings: float
    embedder: str
    clusterer: Clusterer
    cluster_size: float
    keep: float
    seed: int
    profile: str = "ours"

    def __post_init__(self) -> None:
        ranges = {
            "min_df": (0, 1e12),
            "max_uses": (0, 1e12),
            "openings": (0, 1),
            "cluster_size": (1, 1e12),
            "keep": (0, 1),
            "seed": (0, 2**32 - 1),  # what scikit-learn takes
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:  # nor is NaN
                option = "--" + name.replace("_", "-")
                raise MiningError(
                    f"expected a number from {low:g} to {high:g}, got {getattr(self, name)}", field=option
                )
        if self.clusterer not in get_args(Clusterer):
            raise MiningError(f"--clusterer {self.clusterer}: expected one of {', '.join(get_args(Clusterer))}")

    @property
    def filters(self) -> str:
        """What here drops n-grams that the paper would keep, such as ``min_df 0.005, openings 0.3``."""
        values = {name: getattr(self, name) for name in _NO_FILTER}
        return ", ".join(f"{name} {value:g}" for name, value in values.items() if value != _NO_FILTER[name])

    @property
    def changed(self) -> list[str]:
        """The options that are not the profile's. It says nothing of the embedder and the seed."""
        own, free = PROFILES[self.profile], ("embedder", "seed")
        return sorted(
            each.name
            for each in fields(self)
            if each.name not in free and getattr(self, each.name) != getattr(own, each.name)
        )


_OURS = Options(Words(), 0.005, 1.5, 0.3, "all-MiniLM-L6-v2", "agglomerative", 3, 0.2, 0)
PROFILES = {
    "ours": _OURS,
    # Clusterer and size are ours in both, for the paper names neither: of all n-grams there are too many for the other.
    "paper": replace(_OURS, **_NO_FILTER, clusterer="kmeans", cluster_size=30, profile="paper"),
}


def of_profile(profile: str, **given: Any) -> Options:
    """The options of a profile, with what is given, but None, instead of its own.

    Raises:
        MiningError: if there is no such profile, or an option cannot be.
    """
    if profile not in PROFILES:
        raise MiningError(f"--profile {profile}: expected one of {', '.join(PROFILES)}")
    return replace(PROFILES[profile], **{name: value for name, value in given.items() if value is not None})


def parse_words(n: str, allow: Sequence[str]) -> Words:
    """What an n-gram is, in the command's words.

    Args:
        n: ``3-5``, or one number.
        allow: of ``ALLOWABLE``.

    Raises:
        MiningError: if it is not that.
    """
    first, _, second = n.partition("-")
    low, high = whole_number(first), whole_number(second or first)
    if low is None or high is None or not 1 <= low <= high <= MAX_N:
        raise MiningError(f"--n {n}: expected two numbers of words such as 3-5, of 1 to {MAX_N}")
    for word in allow:
        if word not in ALLOWABLE:
            raise MiningError(f"--allow {word}: expected one of {', '.join(ALLOWABLE)}")
    return Words(low, high, tuple(sorted(set(allow))))


@dataclass(frozen=True)
class Cluster:
    """One cluster: its Document Frequency, whether it was kept, and its n-grams with theirs, most frequent first."""

    df: int
    kept: bool
    members: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Mined:
    """What mining found: the corpus's files, counts for the report, and the clusters, the most frequent first."""

    files: list[dict[str, Any]]
    solutions: int
    megabytes: float
    ngrams: int
    frequent: int
    candidates: int
    clusters: tuple[Cluster, ...]
    embedding: dict[str, Any]

    @property
    def kept(self) -> list[Cluster]:
        """The clusters whose n-grams make the set."""
        return [found for found in self.clusters if found.kept]


def mine(
    corpus: Corpus,
    options: Options,
    work: Path,
    processes: int | None = None,
    ray: bool = False,
    progress: Progress = lambda step, done, of: None,
) -> Mined:
    """Mine a corpus.

    Args:
        corpus: the solutions.
        options: how.
        work: the work folder.
        processes: how many count at once; None for one a core.
        ray: count with Ray Data.
        progress: called with a step's name, what of it is done, and its whole.

    Raises:
        CorpusError: if the corpus cannot be read, or nothing in it is frequent enough.
        ClusteringError: if the embedder or clusterer cannot work.
    """
    check_installed(options.embedder)
    files, words = corpus.fingerprint(), options.words
    of_corpus = [files, corpus.field, corpus.success, asdict(words)]

    def over_parts(step: str, count: counting.CountPart, *settings: Any) -> list[Path]:
        folder = counting.step_folder(work, step, of_corpus, *settings)
        note = partial(progress, {"documents": "counting", "uses": "describing", "clusters": "cluster DF"}[step])
        return counting.over_parts(corpus, count, folder, processes or os.cpu_count() or 1, ray, note)

    paths = over_parts("documents", partial(counting.count_documents, words=words))
    key, df, solutions, size = counting.merge_documents(paths)
    least, chosen = _frequent(df, solutions, options, corpus.success)
    ngrams, key, df = len(key), key[chosen], df[chosen]
    texts, uses, openings = counting.merge_descriptions(
        over_parts("uses", partial(counting.describe, words=words, frequent=key), least)
    )
    order = _candidates(texts, df, uses, openings, options)
    listed = [texts[place] for place in order]
    vectors, embedding = embed(listed, options.embedder, work, options.seed, partial(progress, "embedding"))
    progress("clustering", 0, 1)
    labels = cluster(vectors, options.clusterer, options.cluster_size, options.seed)
    progress("clustering", 1, 1)

    keys = key[order]
    ascending = np.argsort(keys)
    count = partial(counting.count_clusters, words=words, keys=keys[ascending], cluster=labels[ascending])
    cluster_df = counting.merge_clusters(over_parts("clusters", count, listed, labels.tolist()))
    clusters = _ranked(listed, df[order], labels, cluster_df, options.keep)
    return Mined(files, solutions, size / 1e6, ngrams, len(key), len(order), clusters, embedding)


def _frequent(df: Ints, solutions: int, options: Options, success: str) -> tuple[int, Any]:
    """The least document frequency wanted, and which n-grams have it."""
    if solutions == 0:
        raise CorpusError(f"no solution succeeded, by the field {success!r}; --success names another, or `none`")
    least = max(2, round(options.min_df * solutions)) if options.min_df < 1 else round(options.min_df)
    chosen = df >= least
    if chosen.sum() < 2:
        raise CorpusError(f"no two n-grams stand in at least {least} of the {solutions:,} solutions; lower --min-df")
    return least, chosen


def _candidates(texts: list[str], df: Ints, uses: Ints, openings: Ints, options: Options) -> list[int]:
    """Which of the frequent n-grams are used sparingly and open a clause: their places, in the order of their texts."""
    good = openings >= options.openings * uses
    if options.max_uses:
        good &= uses <= options.max_uses * df
    # By text, so that nothing after this depends on the order of the keys.
    order = [place for place in sorted(range(len(texts)), key=texts.__getitem__) if good[place]]
    if len(order) < 2:
        raise CorpusError(
            f"of {len(texts):,} frequent n-grams, fewer than two are used at most {options.max_uses} times a solution "
            f"and open a clause in {options.openings:.0%} of their uses; raise --max-uses or lower --openings"
        )
    return order


def _ranked(texts: list[str], df: Ints, labels: Ints, cluster_df: Ints, keep: float) -> tuple[Cluster, ...]:
    members: dict[int, list[tuple[str, int]]] = {}
    for text, count, label in zip(texts, df.tolist(), labels.tolist(), strict=True):
        members.setdefault(label, []).append((text, count))
    ranked = sorted(members, key=lambda label: (-int(cluster_df[label]), label))
    kept = max(1, round(keep * len(ranked)))
    for found in members.values():
        found.sort(key=lambda member: (-member[1], member[0]))
    return tuple(
        Cluster(int(cluster_df[label]), place < kept, tuple(members[label])) for place, label in enumerate(ranked)
    )


def as_gram_set(mined: Mined, corpus: Corpus, options: Options, name: str, version: str) -> GramSet:
    """The gram set: clusters in order of their Document Frequency, with how it was made.

    A mined n-gram has no function until somebody judges it (`hicra annotate`, `hicra review`): it is "other".
    """
    grams = tuple(
        Gram(text, "other", f"cluster {number}, DF {found.df}; own DF {df}")
        for number, found in enumerate(mined.kept, 1)
        for text, df in found.members
    )
    own = {"changed": options.changed, **mined.embedding}
    settings = {**asdict(options), **own, "field": corpus.field, "success": corpus.success}
    provenance = {
        "made_by": f"hicra mine, hicra_verl {version}",
        "method": f"{METHOD}; filters of ours: {options.filters or 'none'}",
        "options": settings,
        "corpus": mined.files,
        "found": {
            "solutions": mined.solutions,
            "ngrams": mined.ngrams,
            "frequent": mined.frequent,
            "candidates": mined.candidates,
            "clusters": len(mined.clusters),
            "kept_clusters": len(mined.kept),
        },
    }
    how = f"{mined.solutions} successful solutions, profile {options.profile}"
    description = f"{len(grams)} n-grams mined from {how}; judged by nobody yet"
    return GramSet(name, grams, description, tuple(provenance.items()))
