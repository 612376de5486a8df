"""The n-grams of a text as they are defined, one word at a time: slow and obvious."""

from __future__ import annotations

import re

from hicra_verl.grams.text import fold
from hicra_verl.mining.ngrams import Words


def slow_ngrams(text: str, words: Words) -> list[str]:
    """The written definition, word by word, for texts without LaTeX."""
    text = " ".join("".join(map(fold, re.sub(r"[\n\r]", "\0", text))).split())
    found: list[str] = []
    run: list[str] = []
    end = -1
    for word in re.finditer(r"[^\W\d_]+(?:'[^\W\d_]+)*", text):
        beside = text[word.start() - 1 : word.start()] + text[word.end() : word.end() + 1]
        good = (len(word.group()) > 1 or word.group() in "ai") and not re.search(r"\w", beside)
        if not (good and run and text[end : word.start()] == " "):
            run = []
        if good:
            run.append(word.group())
            end = word.end()
            found += [" ".join(run[-n:]) for n in range(words.low, words.high + 1) if n <= len(run)]
    return found
