"""Find strategic grams in texts: what the matcher of tokens finds where each byte is a token.

What is counted is what any tokenizer whose tokens spell the same bytes would count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import GramMatcher, Ints, Matches, _leftmost_longest
from hicra_verl.grams.pieces import BREAK
from hicra_verl.grams.text_layout import Layout, lay_out

BATCH_BYTES = 1 << 20  # texts matched at once
TEXTS_AT_ONCE = 2_000  # of a corpus held in memory
_BREAK = bytes([BREAK])  # stands behind each text; no gram matches across it
_BYTES: list[bytes | None] = [bytes([value]) for value in range(256)]


class TextMatches(NamedTuple):
    """What was found in some of the texts, laid end to end.

    Attributes:
        matches: one row; its positions are bytes.
        owner: (M,) index of the text that holds each match.
        starts: (N,) the byte each of these texts begins at.
        texts: the indices of these texts.
    """

    matches: Matches
    owner: Ints
    starts: Ints
    texts: range


class TextMatcher:
    """A gram set compiled for texts."""

    def __init__(self, grams: GramSet) -> None:
        self.grams = grams
        self._matcher = GramMatcher(grams, _BYTES)

    def match(self, texts: Sequence[str], following_words: int = 0) -> Iterator[TextMatches]:
        """Yield what is found, about ``BATCH_BYTES`` of texts at a time.

        Args:
            texts: in them, U+FFFD stands for bytes that spell no character, and matching breaks there.
            following_words: see ``GramMatcher.match``.
        """
        for part in _parts(texts):
            data = [text_bytes(texts[number]) for number in part]
            starts = np.cumsum([0, *(len(text) + 1 for text in data)])[:-1]
            matches = self._match(data, following_words)
            owner = np.searchsorted(starts, matches.first_token, side="right") - 1 + part.start
            yield TextMatches(matches, owner, starts, part)

    def _match(self, data: list[bytes], following_words: int) -> Matches:
        """The matches of texts as one row of bytes, with a break behind each text."""
        layout = lay_out(b"".join(text + _BREAK for text in data))
        if layout is not None:
            return self._matches(layout, following_words)
        ids = [np.frombuffer(text + _BREAK, dtype=np.uint8).astype(np.int64) for text in data]
        return self._matcher.match(np.concatenate(ids)[None, :], following_words=following_words)

    def _matches(self, layout: Layout, following_words: int) -> Matches:
        gram, begin, finish = self._matcher._find(layout.text)
        first, end = layout.spans(begin, finish)
        counted, none = _leftmost_longest(begin, finish), np.zeros_like(gram)
        words = layout.following(finish[counted], following_words) if following_words else []
        return Matches(layout.covered(first, end)[None, :], gram, none, first, end, none, counted, words)

    def gram_counts(self, texts: Sequence[str]) -> Ints:
        """(G,) how often each gram is counted in all of the texts."""
        counts: Ints = np.zeros(len(self.grams), dtype=np.int64)
        for found in self.match(texts):
            counts += found.matches.gram_counts(len(self.grams))
        return counts


def text_bytes(text: str) -> bytes:
    """The text as the tokens spelt it: where they spelt no character, decoding left U+FFFD; matching breaks there."""
    data = text.encode("utf-8", errors="replace")
    return data.replace("\ufffd".encode(), b"\xff") if "\ufffd" in text else data


def visible_bytes(texts: Iterable[str]) -> int:
    """Bytes of texts without their white space: what a share of flagged characters is of."""
    return sum(len(text_bytes("".join(text.split()))) for text in texts)


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """A corpus's texts, some at a time."""
    iterator = iter(texts)
    while batch := list(islice(iterator, TEXTS_AT_ONCE)):
        yield batch


def _parts(texts: Sequence[str]) -> Iterator[range]:
    begin = held = 0
    for number, text in enumerate(texts):
        held += len(text)
        if held >= BATCH_BYTES:
            yield range(begin, number + 1)
            begin, held = number + 1, 0
    if begin < len(texts):
        yield range(begin, len(texts))


class TokenisedCorpus:
    """Texts and the byte each of their tokens begins at, to measure many gram sets on.

    Matching runs on single bytes, whose table compiles at once; a token is flagged if one of its bytes is, which is the
    same as matching on the tokens.

    Args:
        responses: the texts' token ids.
        table: the tokenizer's bytes of each token; None for special tokens, which a text does not hold.
    """

    def __init__(self, responses: Sequence[Sequence[int]], table: Sequence[bytes | None]) -> None:
        self.tokens = sum(map(len, responses))
        self._texts: list[Ints] = []
        self._starts: list[Ints] = []
        for ids in responses:
            pieces = [table[token] or b"" for token in ids]
            lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
            if lengths.sum():
                self._texts.append(np.frombuffer(b"".join(pieces), dtype=np.uint8).astype(np.int64)[None, :])
                self._starts.append((np.cumsum(lengths) - lengths)[lengths > 0])

    def flagged_tokens(self, grams: GramSet) -> int:
        """How many of the tokens a set flags."""
        matcher = GramMatcher(grams, _BYTES)
        flagged = 0
        for text, starts in zip(self._texts, self._starts, strict=True):
            mask = matcher.match(text).planning_mask[0]
            flagged += int((np.add.reduceat(mask.astype(np.int64), starts) > 0).sum())
        return flagged

    def flagged_share(self, grams: GramSet) -> float:
        """Share of the tokens that a set flags."""
        return self.flagged_tokens(grams) / max(1, self.tokens)
