"""The human check of a gram set, reproducible: a blind sample, several raters, precision with intervals, agreement.

Second-hand, from the paper's review: its authors had three annotators judge 86% of the strategic grams, against 12% of
random n-grams, to guide the process or propose a plan, with "substantial" agreement; sample size and kappa: not given.
"""

from __future__ import annotations

import csv
import json
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hicra_verl.errors import HicraError
from hicra_verl.grams.gramset import Gram, GramSet
from hicra_verl.grams.text import normalise
from hicra_verl.mining.contexts import Context, find_contexts
from hicra_verl.mining.corpus import Corpus
from hicra_verl.mining.ngrams import Words, find_ngrams
from hicra_verl.mining.rating import NO, QUESTION, YES

RANDOM_ARM = "random n-grams"
CONTEXTS = 3
MAX_DRAWS = 1_000  # places tried for each random n-gram wanted
ITEMS_FILE, KEY_FILE = "items.json", "key.json"
Z = 1.959963984540054  # 95%
AUTHORS_PRECISION = {"strategic grams": 0.86, "random n-grams": 0.12}  # in review; not in the paper


class PrecisionError(HicraError):
    """A sample or rating that cannot be used; the message names the file, the line and the remedy."""


@dataclass(frozen=True)
class Item:
    """What a rater sees: a number that says nothing, a phrase, and some of its uses."""

    number: int
    phrase: str
    contexts: list[Context]


def draw_sample(
    sets: Mapping[str, tuple[GramSet, int]], random_count: int, corpus: Corpus, seed: int
) -> tuple[list[Item], dict[str, list[str]]]:
    """A blind sample: phrases of each set and random n-grams of the same lengths, mixed.

    Only grams that occur in the corpus are drawn: a phrase is judged as it is used. A random n-gram is one at a random
    place of a random solution, with as many words as a gram drawn from the sets; phrases of the sets do not count.

    Args:
        sets: arm name to the set, and how many of its grams to draw.
        random_count: random n-grams to draw.
        corpus: where phrases are found.
        seed: of every draw.

    Returns:
        The items in random order, and the key: for each item the arms it was drawn for.

    Raises:
        PrecisionError: if a set has too few grams that occur, or the corpus too few other n-grams.
    """
    rng = random.Random(seed)
    arms: dict[str, set[str]] = defaultdict(set)
    for arm, (grams, count) in sets.items():
        found = find_contexts(grams, corpus.texts(), 1)
        occurring = [gram for gram, uses in zip(grams, found, strict=True) if uses]
        if len(occurring) < count:
            raise PrecisionError(
                f"{arm}: {len(occurring)} of its {len(grams)} grams occur in the corpus, fewer than {count}"
            )
        for gram in rng.sample(occurring, count):
            arms[normalise(gram.text)].add(arm)
    of_sets = {normalise(gram.text) for grams, _ in sets.values() for gram in grams}
    lengths = [len(text.split()) for text in sorted(arms)]
    texts = list(corpus.texts())
    drawn = 0
    for _ in range(MAX_DRAWS * random_count):
        if drawn == random_count:
            break
        length = rng.choice(lengths)
        here = find_ngrams([texts[rng.randrange(len(texts))]], Words(length, length))
        if len(here.key):
            phrase = here.phrase(rng.randrange(len(here.key)))
            if phrase not in of_sets and phrase not in arms:
                arms[phrase].add(RANDOM_ARM)
                drawn += 1
    if drawn < random_count:
        raise PrecisionError(f"the corpus is too small for {random_count} random n-grams; lower --random")
    phrases = sorted(arms)
    rng.shuffle(phrases)
    as_set = GramSet("sample", tuple(Gram(phrase, "other", "") for phrase in phrases))
    contexts = find_contexts(as_set, texts, CONTEXTS, seed)
    items = [Item(number, phrase, contexts[number - 1]) for number, phrase in enumerate(phrases, 1)]
    return items, {str(number): sorted(arms[phrase]) for number, phrase in enumerate(phrases, 1)}


def save_sample(folder: Path, items: Sequence[Item], key: dict[str, list[str]], made_from: dict[str, Any]) -> None:
    """Write ``items.json``, which raters see, and ``key.json``, which they do not."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [
        {"number": item.number, "phrase": item.phrase, "contexts": [list(c) for c in item.contexts]} for item in items
    ]
    lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in listed)
    whole = f'{{"question": {json.dumps(QUESTION)},\n"items": [\n{lines}\n]}}\n'
    (folder / ITEMS_FILE).write_text(whole, encoding="utf-8")
    (folder / KEY_FILE).write_text(json.dumps({"made_from": made_from, "arms": key}, indent=0) + "\n", encoding="utf-8")


def load_items(folder: Path) -> list[Item]:
    """The items of a sample.

    Raises:
        PrecisionError: if there is none.
    """
    path = folder / ITEMS_FILE
    if not path.exists():
        raise PrecisionError(f"{path}: no such sample; `hicra precision sample` draws one")
    items = json.loads(path.read_text(encoding="utf-8"))["items"]
    return [Item(item["number"], item["phrase"], [Context(*c) for c in item["contexts"]]) for item in items]


def load_ratings(path: Path, items: Sequence[Item]) -> dict[int, bool]:
    """One rater's answers: a TSV with the columns ``number`` and ``rating`` (yes or no).

    Raises:
        PrecisionError: if a row is no rating, or an item has none.
    """
    known = {item.number for item in items}
    ratings: dict[int, bool] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        if not {"number", "rating"} <= set(rows.fieldnames or []):
            raise PrecisionError(f"{path}: expected the columns number and rating, separated by tabs")
        for line, row in enumerate(rows, 2):
            number, rating = str(row["number"]), str(row["rating"]).strip().lower()
            if not number.isdigit() or int(number) not in known:
                raise PrecisionError(f"{path}, line {line}: {number!r} is no item of this sample")
            if rating not in (YES, NO):
                raise PrecisionError(f"{path}, line {line}, field 'rating': expected yes or no, got {rating!r}")
            ratings[int(number)] = rating == YES
    missing = sorted(known - set(ratings))
    if missing:
        shown = ", ".join(map(str, missing[:5]))
        raise PrecisionError(f"{path}: {len(missing)} items are not rated yet (the first: {shown}); finish it first")
    return ratings


@dataclass(frozen=True)
class Arm:
    """One arm's result.

    Attributes:
        items: phrases rated.
        precision: share that most raters called strategic.
        interval: its 95% Wilson interval.
        by_rater: share each rater called strategic.
        kappa: Fleiss' kappa of the arm.
    """

    items: int
    precision: float
    interval: tuple[float, float]
    by_rater: dict[str, float]
    kappa: float


@dataclass(frozen=True)
class Result:
    """All arms, Fleiss' kappa over all items, and what raters disagree on (number, phrase, who said yes)."""

    arms: dict[str, Arm]
    kappa: float
    disagreements: list[tuple[int, str, list[str]]]


def score(folder: Path, rating_files: Sequence[Path]) -> Result:
    """Count the ratings of a sample.

    Args:
        folder: the sample's.
        rating_files: one a rater, see ``load_ratings``; a file's name is the rater's.

    Raises:
        PrecisionError: if a file cannot be used, or there are fewer than two.
    """
    if len(rating_files) < 2:
        raise PrecisionError("agreement needs at least two raters' files; the paper had three")
    items = load_items(folder)
    arms = json.loads((folder / KEY_FILE).read_text(encoding="utf-8"))["arms"]
    raters = {path.stem: load_ratings(path, items) for path in rating_files}
    votes = {item.number: [ratings[item.number] for ratings in raters.values()] for item in items}
    names = sorted({arm for listed in arms.values() for arm in listed})
    results = {}
    for name in names:
        numbers = [item.number for item in items if name in arms[str(item.number)]]
        accepted = sum(2 * sum(votes[number]) > len(raters) for number in numbers)
        by_rater = {
            rater: sum(ratings[number] for number in numbers) / len(numbers) for rater, ratings in raters.items()
        }
        results[name] = Arm(
            len(numbers),
            accepted / len(numbers),
            wilson_interval(accepted, len(numbers)),
            by_rater,
            fleiss_kappa([votes[number] for number in numbers]),
        )
    differing = [
        (item.number, item.phrase, [rater for rater, yes in zip(raters, votes[item.number], strict=True) if yes])
        for item in items
        if len(set(votes[item.number])) > 1
    ]
    return Result(results, fleiss_kappa(list(votes.values())), differing)


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """95% interval of a share (Wilson, 1927); it stays within 0 and 1, also at the ends."""
    share = successes / total
    middle = share + Z**2 / (2 * total)
    half = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    scale = 1 + Z**2 / total
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def fleiss_kappa(votes: Sequence[Sequence[bool]]) -> float:
    """Agreement of several raters beyond chance (Fleiss, 1971): 1 is perfect, 0 is chance; NaN if all say the same.

    Args:
        votes: for each item every rater's answer; as many for each.
    """
    raters = len(votes[0])
    yes = [sum(answers) for answers in votes]
    agreeing = [(count**2 + (raters - count) ** 2 - raters) / (raters * (raters - 1)) for count in yes]
    share = sum(yes) / (raters * len(votes))
    chance = share**2 + (1 - share) ** 2
    return float("nan") if chance == 1 else (sum(agreeing) / len(agreeing) - chance) / (1 - chance)
