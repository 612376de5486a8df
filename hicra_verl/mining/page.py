"""The pages of mining: what was found, to browse, and what is to be judged. Each is one file that opens offline."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hicra_verl.mining.mine import Mined

SHOWN_DROPPED = 300  # of the clusters that were not kept, the most frequent


def fill(name: str, texts: Mapping[str, str], data: Mapping[str, Any]) -> str:
    """A page of this package with its places (``@@NAME@@``) filled in, in one pass: what is filled in has none.

    Args:
        name: the page's file.
        texts: what is shown as it is, markup and all.
        data: what the page's script reads. No tag in it may end the script, or begin one.
    """
    parts = {key: html.escape(text) for key, text in texts.items()}
    parts |= {key: json.dumps(value, ensure_ascii=False).replace("<", "\\u003c") for key, value in data.items()}
    page = resources.files("hicra_verl.mining").joinpath(name).read_text(encoding="utf-8")
    return re.sub("@@([A-Z]+)@@", lambda place: parts[place[1]], page)


def render(mined: Mined, title: str, provenance: dict[str, object]) -> str:
    """The page of what was found.

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
    made = json.dumps(provenance, indent=1, ensure_ascii=False)
    clusters = [{"df": found.df, "kept": found.kept, "members": found.members} for found in shown]
    return fill(
        "page.html",
        {"TITLE": title, "SUMMARY": summary, "PROVENANCE": made},
        {"DATA": clusters, "SOLUTIONS": mined.solutions},
    )
