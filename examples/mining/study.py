"""How the options move a mined set, and how stable it is: the tables of examples/mining/README.md.

python examples/mining/study.py runs/mining --embedder FOLDER
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import track

from hicra_verl.grams import GramSet, load_grams
from hicra_verl.grams.operations import difference
from hicra_verl.grams.statistics import agreement
from hicra_verl.mining.corpus import Corpus, open_corpus
from hicra_verl.mining.mine import Options, as_gram_set, mine, of_profile
from hicra_verl.mining.ngrams import Words
from hicra_verl.tables import Table
from hicra_verl.version import __version__

HALVES = 10


def compare(name: str, grams: GramSet, default: GramSet, texts: list[str]) -> tuple[str, ...]:
    """A row: size, coverage, agreement with the default set and with the paper's."""
    paper = load_grams("paper")
    with_default, with_paper = agreement(grams, default, texts), agreement(grams, paper, texts)
    shared = len(difference(grams, default).both)
    return (
        str(len(grams)),
        f"{with_default.first:.2%}",
        f"{shared / (len(grams) + len(default) - shared):.0%}",
        f"{with_default.jaccard:.0%}",
        str(len(difference(grams, paper).both)),
        f"{with_paper.jaccard:.0%}",
        name,
    )


def changes(options: Options) -> Iterable[tuple[str, Options]]:
    """Each option moved by itself."""
    yield "the defaults", options
    for low, high in ((2, 5), (3, 3), (4, 6)):
        yield f"n from {low} to {high}", replace(options, words=Words(low, high))
    yield "lexical embedder", replace(options, embedder="lexical")
    for clusterer in ("kmeans", "hdbscan"):
        yield clusterer, replace(options, clusterer=clusterer)  # type: ignore[arg-type]
    for size in (2, 8):
        yield f"{size} n-grams a cluster", replace(options, cluster_size=size)
    for keep in (0.1, 0.3):
        yield f"the top {keep:.0%} of clusters", replace(options, keep=keep)
    for openings in (0.0, 0.15, 0.5):
        yield f"openings {openings:g}", replace(options, openings=openings)
    yield "max uses 1.2", replace(options, max_uses=1.2)
    for share in (0.002, 0.01):
        yield f"in {share:.1%} of the solutions", replace(options, min_df=share)
    yield "kmeans, another seed", replace(options, clusterer="kmeans", seed=1)


def halves(corpus: Corpus, folder: Path, seed: int) -> tuple[Corpus, Corpus]:
    """The successful solutions, cut in two at random."""
    texts = list(corpus.texts())
    random.Random(seed).shuffle(texts)
    made = []
    for number, part in enumerate((texts[: len(texts) // 2], texts[len(texts) // 2 :])):
        path = folder / f"half-{seed}-{number}.jsonl"
        path.write_text("".join(json.dumps({"response": text}) + "\n" for text in part), encoding="utf-8")
        made.append(open_corpus([path], success="none"))
    return made[0], made[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of JSONL files")
    parser.add_argument("--embedder", required=True, help="sentence-transformers folder")
    words: Any = parser.parse_args()
    corpus, work = open_corpus([words.corpus]), words.corpus / "study"
    work.mkdir(exist_ok=True)
    options = of_profile("ours", embedder=words.embedder)
    texts = list(corpus.texts())

    def mined(from_corpus: Corpus, how: Options) -> GramSet:
        return as_gram_set(mine(from_corpus, how, work), from_corpus, how, "mined", __version__)

    default = mined(corpus, options)
    rows = [compare(name, mined(corpus, how), default, texts) for name, how in track(list(changes(options)))]
    columns = (
        "grams",
        "flags",
        "same grams",
        "flags the same",
        "in the paper's list",
        "flags as the paper's",
        "change",
    )
    moved = Table(
        f"each option by itself, {len(texts):,} successful solutions", columns, rows, words=0, last_in_words=True
    )

    shares = []
    for seed in track(range(HALVES)):
        left, right = (mined(half, options) for half in halves(corpus, work, seed))
        shared = len(difference(left, right).both)
        shares.append((shared / (len(left) + len(right) - shared), agreement(left, right, texts).jaccard))
    names = ("of the grams in either", "of the characters that either flags")
    stable = Table(
        f"sets mined from random halves of the corpus, {HALVES} times",
        ("lowest", "mean", "highest", "what two halves share"),
        [
            (f"{min(found):.0%}", f"{sum(found) / len(found):.0%}", f"{max(found):.0%}", name)
            for name, found in zip(names, zip(*shares, strict=True), strict=True)
        ],
        words=0,
        last_in_words=True,
    )
    for table in (moved, stable):
        table.print()
        print(table.markdown())


if __name__ == "__main__":
    main()
