"""Sentence embeddings of n-grams, and clusters of what means the same.

The paper names neither its embedder nor its clusterer; both are options here, and the defaults are ours.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hicra_verl.errors import HicraError
from hicra_verl.mining.counting import load_arrays, save_arrays, step_folder
from hicra_verl.mining.ngrams import Ints

Floats = npt.NDArray[np.float32]
Clusterer = Literal["kmeans", "agglomerative", "hdbscan"]

LEXICAL = "lexical"
LEXICAL_DIMENSIONS = 256
SHARD = 4096  # n-grams embedded and saved at once
MAX_AGGLOMERATIVE = 20_000  # its distance matrix takes memory by the square


class ClusteringError(HicraError):
    """Embedding or clustering cannot be done; the message says why and names the remedy."""


def check_installed(embedder: str) -> None:
    """Say before a long job what its end would miss.

    Raises:
        ClusteringError: if a package that embedding or clustering needs is not installed.
    """
    needed = {"sklearn": "scikit-learn"}
    if embedder != LEXICAL:
        needed["sentence_transformers"] = "sentence-transformers"
    missing = [name for module, name in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        remedy = f"; --embedder {LEXICAL} needs no model" if missing == ["sentence-transformers"] else ""
        raise ClusteringError(f'mining needs {" and ".join(missing)}: pip install "hicra-verl[mining]"{remedy}')


def embed(
    texts: Sequence[str], embedder: str, work: Path, seed: int, progress: Callable[[int, int], None]
) -> tuple[Floats, dict[str, Any]]:
    """Unit vectors of n-grams, and what made them.

    Args:
        texts: the n-grams.
        embedder: a folder or name for sentence-transformers; or ``lexical``, which needs no model: character n-grams,
            reduced to at most ``LEXICAL_DIMENSIONS`` dimensions.
        work: where finished shards are kept; they are not embedded again.
        seed: of the reduction.
        progress: called with the n-grams done and all n-grams.

    Raises:
        ClusteringError: if the model cannot be loaded.
    """
    if embedder == LEXICAL:
        vectors = _lexical(texts, seed)
        return vectors, {"embedder": LEXICAL, "dimensions": int(vectors.shape[1])}
    model: Any = None
    # A folder's place on this machine says nothing; its name and weights do.
    name = Path(embedder).name if Path(embedder).exists() else embedder
    identity = {"embedder": name, "weights": _weights(embedder)}
    folder = step_folder(work, "embeddings", list(texts), identity)
    shards = []
    for number, begin in enumerate(range(0, len(texts), SHARD)):
        path = folder / f"{number:06d}.npz"
        if not path.exists():
            model = model or _load(embedder)
            vectors = model.encode(
                list(texts[begin : begin + SHARD]),
                batch_size=256,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            save_arrays(path, {"vectors": vectors.astype(np.float32)})
        shards += load_arrays(path, "vectors")
        progress(min(len(texts), begin + SHARD), len(texts))
    vectors = np.concatenate(shards)
    return vectors, {**identity, "dimensions": int(vectors.shape[1])}


def _weights(embedder: str) -> str:
    """SHA-256 of a model folder's weights; a model given by name is known by its name."""
    digest = hashlib.sha256()
    for path in sorted([*Path(embedder).rglob("*.safetensors"), *Path(embedder).rglob("*.bin")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16] if Path(embedder).exists() else ""


def _load(embedder: str) -> Any:
    if Path(embedder).exists():
        # A long job must not hang on a hub that cannot be reached.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(embedder)
    except Exception as error:  # whatever the libraries below it raise about a folder that is not whole
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ClusteringError(
            f"--embedder {embedder}: cannot be loaded ({first})",
            remedy=f"give a sentence-transformers folder or name, or `{LEXICAL}`",
        ) from error


def _lexical(texts: Sequence[str], seed: int) -> Floats:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit_transform(texts)
    dimensions = min(LEXICAL_DIMENSIONS, min(features.shape) - 1)
    with _one_thread():
        reduced = TruncatedSVD(max(1, dimensions), random_state=seed).fit_transform(features)
    return normalize(reduced).astype(np.float32)  # type: ignore[no-any-return]


def cluster(vectors: Floats, clusterer: Clusterer, mean_size: float, seed: int) -> Ints:
    """The cluster of each vector, from 0, numbered by first appearance.

    Args:
        vectors: (N, D) unit vectors.
        clusterer: ``agglomerative`` (average linkage of cosines; needs no seed; up to ``MAX_AGGLOMERATIVE`` n-grams),
            ``kmeans`` (mini-batches; grows linearly), or ``hdbscan`` (finds the number by density; what it calls noise
            becomes a cluster of its own).
        mean_size: n-grams a cluster has on average; hdbscan, which finds that itself, takes it as its least size.
        seed: of k-means.

    Raises:
        ClusteringError: if there are too many n-grams for the clusterer.
    """
    count = max(1, round(len(vectors) / mean_size))
    if len(vectors) < 3 or count == 1:
        return np.zeros(len(vectors), dtype=np.int64)
    with _one_thread():
        if clusterer == "kmeans":
            from sklearn.cluster import MiniBatchKMeans

            model: Any = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=max(4096, count))
        elif clusterer == "agglomerative":
            from sklearn.cluster import AgglomerativeClustering

            if len(vectors) > MAX_AGGLOMERATIVE:
                raise ClusteringError(
                    f"{len(vectors):,} n-grams are too many for agglomerative clustering ({MAX_AGGLOMERATIVE:,}): "
                    "raise --min-df, or take --clusterer kmeans"
                )
            model = AgglomerativeClustering(count, metric="cosine", linkage="average")
        else:
            from sklearn.cluster import HDBSCAN

            model = HDBSCAN(min_cluster_size=max(2, round(mean_size)), copy=True)
        labels = np.asarray(model.fit_predict(vectors), dtype=np.int64)
    alone = np.flatnonzero(labels < 0)
    labels[alone] = labels.max() + 1 + np.arange(len(alone))
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[label]


def _one_thread() -> Any:
    """Sums over threads come in any order; with one the result is the same every time."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
