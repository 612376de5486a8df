"""N-grams: against a slow and obvious count, and as what the matcher finds again."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_ngrams import slow_ngrams

from hicra_verl.grams.gramset import Gram, GramSet
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.mining.ngrams import Words, find_ngrams


def phrases_of(texts: list[str], words: Words) -> Counter[str]:
    found = find_ngrams(texts, words)
    return Counter(found.phrase(place) for place in range(len(found.key)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We can use it", ["we can use", "can use it", "we can use it"]),
        ("We can, use it now", ["use it now"]),
        ("Let’s  TRY\tit", ["let's try it"]),
        ("we can\nuse it", []),
        ("we can x use it now", ["use it now"]),
        ("I see a way", ["i see a", "see a way", "i see a way"]),
        ("so 3 apples are left", ["apples are left"]),
        ("the 2nd way is good", ["way is good"]),
        ("a $x + y$ is small here", ["is small here"]),
        (r"so \(x\) we get that \frac{a}{b} is it now", ["we get that", "is it now"]),
        ("non-zero terms are here", ["zero terms are", "terms are here", "zero terms are here"]),
        ("'quoted words are here'", ["quoted words are", "words are here", "quoted words are here"]),
        ("das größte Übel ist", ["das größte übel", "größte übel ist", "das größte übel ist"]),
        ("", []),
    ],
)
def test_what_an_ngram_is(text: str, expected: list[str]) -> None:
    found = find_ngrams([text], Words(3, 4))
    assert [found.phrase(place) for place in range(len(found.key))] == expected


def test_what_may_be_allowed() -> None:
    assert phrases_of(["so 3 x are left"], Words(3, 3)) == {}
    assert phrases_of(["so 3 x are left"], Words(5, 5, ("numbers", "variables"))) == {"so 3 x are left": 1}


def test_what_opens_a_clause() -> None:
    found = find_ngrams(["we can see. Now we can see, we can see and $x$ we can see it", "we can see"], Words(3, 3))
    opens = [bool(found.opens[place]) for place in range(len(found.key)) if found.phrase(place) == "we can see"]
    assert opens == [True, False, True, False, True]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text(alphabet="ab i'’ ,.\n3_é-=İﬁ\x1c", max_size=30), max_size=4))
def test_against_the_slow_definition(texts: list[str]) -> None:
    words = Words(1, 3)
    assert phrases_of(texts, words) == Counter(phrase for text in texts for phrase in slow_ngrams(text, words))


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="ab i'’ ,.\n3_é-=$\\({})", max_size=40))
def test_every_ngram_matches_where_it_was_found(text: str) -> None:
    phrases = phrases_of([text], Words(2, 3))
    if phrases:
        grams = GramSet("x", tuple(Gram(phrase, "other", "") for phrase in phrases))
        [found] = TextMatcher(grams).match([text])
        uses = np.bincount(found.matches.gram, minlength=len(grams))
        assert all(count >= wanted for count, wanted in zip(uses, phrases.values(), strict=True))


def test_equal_words_equal_keys_and_nothing_else() -> None:
    rng = random.Random(0)
    texts = [" ".join(rng.choices(["we", "can", "use", "the", "a", "fact", "é"], k=40)) for _ in range(50)]
    found = find_ngrams(texts, Words(1, 5))
    by_key: dict[int, set[str]] = {}
    for place, key in enumerate(found.key.tolist()):
        by_key.setdefault(key, set()).add(found.phrase(place))
    assert all(len(phrases) == 1 for phrases in by_key.values())
    assert len(by_key) == len(set().union(*by_key.values()))
