"""The matcher of texts finds what the matcher of tokens finds where each byte is a token."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hicra_verl.grams import load_grams
from hicra_verl.grams.gramset import Gram, GramSet
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.grams.text_layout import lay_out
from hicra_verl.grams.text_matcher import TextMatcher, text_bytes

PAPER = load_grams("paper")
ODD = GramSet(
    "odd",
    tuple(Gram(text, "other", "") for text in ("ça va", "ⱥ", "so", "é", "l'été", "a b", "ß", "(so)", "क्या", "k", "“x")),
)
BYTES: list[bytes | None] = [bytes([value]) for value in range(256)]
PIECES = [
    "so", "So", " ", "  ", "\t\n", "\u00a0", "\u2003", "wait", "’", "let’s try a different", "let's", "é", "É", "ÇA VA",
    "ça\u00a0 va", "Ⱥ", "ⱥ", "ß", "ẞ", "K", "k", "\ufffd", "🎲", "क्या", "“X", "(so)", "L’ÉTÉ", "a", "b", ".", ",", "7",
    "\x1c", "İ", "we can see that", "but", "\u0301",
]  # fmt: skip


def slowly(grams: GramSet, texts: list[str], following: int) -> list[object]:
    """One text at a time through the matcher of tokens."""
    matcher, found = GramMatcher(grams, BYTES), []
    for text in texts:
        ids = np.frombuffer(text_bytes(text) + b"\xff", dtype=np.uint8).astype(np.int64)[None, :]
        matches = matcher.match(ids, following_words=following)
        spans = zip(matches.gram.tolist(), matches.first_token.tolist(), matches.end_token.tolist(), strict=True)
        found.append(
            (sorted(zip(spans, matches.counted.tolist(), strict=True)), matches.planning_mask[0].tolist(),
             sorted(matches.following, key=str))
        )  # fmt: skip
    return found


def fast(grams: GramSet, texts: list[str], following: int) -> list[object]:
    found: list[object] = []
    for part in TextMatcher(grams).match(texts, following):
        matches, place = part.matches, 0
        for number, start in zip(part.texts, part.starts.tolist(), strict=True):
            mine = np.flatnonzero(part.owner == number)
            spans = [
                (int(matches.gram[m]), int(matches.first_token[m]) - start, int(matches.end_token[m]) - start)
                for m in mine
            ]
            counted = matches.counted[mine].tolist()
            length = len(text_bytes(texts[number])) + 1
            words = matches.following[place : place + sum(counted)] if following else []
            place += sum(counted)
            mask = matches.planning_mask[0, start : start + length].tolist()
            found.append((sorted(zip(spans, counted, strict=True)), mask, sorted(words, key=str)))
    return found


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), min_size=1, max_size=4))
def test_odd_texts(texts: list[str]) -> None:
    for grams in (PAPER, ODD):
        assert fast(grams, texts, 2) == slowly(grams, texts, 2)


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=40))
def test_any_text(text: str) -> None:
    assert fast(ODD, [text, text], 1) == slowly(ODD, [text, text], 1)


def test_real_texts(math_responses: list[str]) -> None:
    texts = random.Random(0).sample(math_responses, 40)
    assert fast(PAPER, texts, 3) == slowly(PAPER, texts, 3)


def test_a_character_that_becomes_longer_has_no_room() -> None:
    assert len("Ⱥ".encode()) < len("ⱥ".encode())
    assert lay_out("Ⱥ".encode() + b"\xff") is None


@pytest.mark.parametrize("texts", [[""], ["", "so", ""], ["so " * 400_000, "but"]])
def test_sizes(texts: list[str]) -> None:
    assert fast(PAPER, texts, 0) == slowly(PAPER, texts, 0)
