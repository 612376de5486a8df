"""What mining found, as one page to browse: opens offline, needs nothing else."""

from __future__ import annotations

import html
import json
from pathlib import Path

from hicra_verl.files import write_text
from hicra_verl.grams.gramset import GramSet, save_grams
from hicra_verl.mining.corpus import Corpus
from hicra_verl.mining.mine import Mined, Options, as_gram_set
from hicra_verl.pages import fill, script_data
from hicra_verl.version import __version__

SHOWN_DROPPED = 300  # of the clusters that were not kept, the most frequent


def render(mined: Mined, title: str, provenance: dict[str, object]) -> str:
    """The page.

    Args:
        mined: what was found.
        title: its heading.
        provenance: the gram set's, shown as it is.
    """
    kept = mined.kept
    shown = [*kept, *[found for found in mined.clusters if not found.kept][:SHOWN_DROPPED]]
    summary = (
        f"{mined.solutions:,} solutions · {mined.ngrams:,} n-grams · {mined.frequent:,} frequent · "
        f"{mined.candidates:,} candidates · {len(mined.clusters):,} clusters · {len(kept):,} kept, with "
        f"{sum(len(found.members) for found in kept):,} n-grams"
    )
    clusters = [{"df": found.df, "kept": found.kept, "members": found.members} for found in shown]
    parts = {
        "TITLE": html.escape(title),
        "SUMMARY": html.escape(summary),
        "PROVENANCE": html.escape(json.dumps(provenance, indent=1, ensure_ascii=False)),
        "SOLUTIONS": str(mined.solutions),
        "DATA": script_data(clusters),
    }
    return fill("hicra_verl.mining", "page.html", parts)


def page_beside(output: Path) -> Path:
    """Where the page about a set goes."""
    return output.with_suffix(".html") if output.name else output


def save(mined: Mined, corpus: Corpus, options: Options, name: str, output: Path) -> GramSet:
    """Write the gram set, and beside it the page."""
    grams = as_gram_set(mined, corpus, options, name, __version__)
    save_grams(grams, output)
    write_text(page_beside(output), render(mined, f"Strategic grams: {grams.name}", dict(grams.provenance)))
    return grams
