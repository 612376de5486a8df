"""Where phrases stand: real contexts to judge them by."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.text_matcher import TextMatcher, batches, text_bytes

WIDTH = 110  # bytes shown before and after


class Context(NamedTuple):
    """One use: what stands before, the phrase as written, what stands after."""

    before: str
    phrase: str
    after: str


def find_contexts(grams: GramSet, texts: Iterable[str], each: int, seed: int = 0) -> list[list[Context]]:
    """Some uses of each gram, drawn at random, at most one a text.

    Args:
        grams: what to look for.
        texts: the corpus; read once, some at a time.
        each: uses wanted of each gram.
        seed: of the draw.

    Returns:
        For each gram of the set its contexts, fewer than ``each`` where it is rarer.
    """
    rng = random.Random(seed)
    matcher = TextMatcher(grams)
    contexts: list[list[Context]] = [[] for _ in grams]
    seen = [0] * len(grams)
    for batch in batches(texts):
        for found in matcher.match(batch):
            places = zip(
                found.matches.gram.tolist(),
                found.owner.tolist(),
                found.matches.first_token.tolist(),
                found.matches.end_token.tolist(),
                strict=True,
            )
            done: set[tuple[int, int]] = set()
            for gram, owner, first, end in places:
                if (gram, owner) in done:
                    continue
                done.add((gram, owner))
                seen[gram] += 1
                kept = contexts[gram]
                place = len(kept) if len(kept) < each else rng.randrange(seen[gram])  # reservoir sampling
                if place < each:
                    start = int(found.starts[owner - found.texts.start])
                    context = _cut(text_bytes(batch[owner]), first - start, end - start)
                    kept[place : place + 1] = [context]
    return contexts


def _cut(text: bytes, first: int, end: int) -> Context:
    before, after = text[max(0, first - WIDTH) : first], text[end : end + WIDTH]
    whole = [part.decode("utf-8", errors="ignore") for part in (before, text[first:end], after)]
    return Context(
        ("… " if first > WIDTH else "") + whole[0], whole[1], whole[2] + (" …" if end + WIDTH < len(text) else "")
    )
