"""Candidate grams: made ready to be judged, and what was accepted of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hicra_verl.grams.gramset import GramSet, save_grams
from hicra_verl.mining.contexts import Context, find_contexts
from hicra_verl.mining.corpus import ANY_SOLUTION, open_corpus
from hicra_verl.mining.judging import JudgingError, Phrase


def load_phrases(grams: GramSet, corpus: Sequence[Path] | None, field: str | None, uses: int) -> list[Phrase]:
    """A set's grams with some of their uses in a corpus, which are none without one."""
    contexts: list[list[Context]] = [[] for _ in grams]
    if corpus:
        contexts = find_contexts(grams, open_corpus(corpus, field, ANY_SOLUTION).texts(), uses)
    return [Phrase(gram.text, gram.text, gram.source, found) for gram, found in zip(grams, contexts, strict=True)]


def save_accepted(made: GramSet, output: Path) -> None:
    """Write a set of accepted grams.

    Raises:
        JudgingError: if it is empty: no training can use it.
    """
    if not len(made):
        raise JudgingError("nothing is accepted, so the set is not written; the judgements are kept", file=output)
    save_grams(made, output)
