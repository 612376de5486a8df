"""A blind sample of gram sets: what is drawn, what raters see, and the key that they do not see."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hicra_verl.errors import HicraError
from hicra_verl.files import make_folder, write_json, write_text
from hicra_verl.grams.gramset import Gram, GramSet, load_grams
from hicra_verl.grams.text import normalise
from hicra_verl.mining.contexts import Context, find_contexts
from hicra_verl.mining.corpus import Corpus
from hicra_verl.mining.judging import Phrase
from hicra_verl.mining.ngrams import Words, find_ngrams
from hicra_verl.mining.rating import QUESTION
from hicra_verl.records import read_json, whole_number

RANDOM_ARM = "random n-grams"
CONTEXTS = 3
MAX_DRAWS = 5_000  # ours: places tried in a row without a new n-gram
ITEMS_FILE, KEY_FILE = "items.json", "key.json"


class PrecisionError(HicraError):
    """A sample or set of ratings that cannot be used; the message names the file, the line and the remedy."""


@dataclass(frozen=True)
class Item:
    """What a rater sees: a number that says nothing, a phrase, and some of its uses."""

    number: int
    phrase: str
    contexts: list[Context]


def parse_sets(words: Sequence[str]) -> dict[str, tuple[GramSet, int]]:
    """The sets of words such as ``paper=100``, by name, and how many grams of each to draw.

    Raises:
        PrecisionError: if a word is none, or two sets would be one arm.
    """
    sets: dict[str, tuple[GramSet, int]] = {}
    for word in words:
        name, _, count = word.rpartition("=")
        number = whole_number(count)
        if not name or not number:
            raise PrecisionError(f"--set {word}: expected SET=COUNT, such as paper=100")
        grams = load_grams(name)
        if grams.name in sets or grams.name == RANDOM_ARM:
            other = "the arm of random n-grams" if grams.name == RANDOM_ARM else "another set"
            remedy = 'give it another "name" in its file'
            raise PrecisionError(f"--set {word}: {other} is called {grams.name!r}, too", remedy=remedy)
        sets[grams.name] = (grams, number)
    return sets


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
    drawn = in_vain = 0
    while drawn < random_count and in_vain < MAX_DRAWS:
        in_vain += 1
        length = rng.choice(lengths)
        here = find_ngrams([texts[rng.randrange(len(texts))]], Words(length, length))
        if len(here.key):
            phrase = here.phrase(rng.randrange(len(here.key)))
            if phrase not in of_sets and phrase not in arms:
                arms[phrase].add(RANDOM_ARM)
                drawn, in_vain = drawn + 1, 0
    if drawn < random_count:
        problem = f"the corpus is too small for {random_count} random n-grams: {drawn} were found"
        raise PrecisionError(problem, remedy="lower --random")
    phrases = sorted(arms)
    rng.shuffle(phrases)
    as_set = GramSet("sample", tuple(Gram(phrase, "other", "") for phrase in phrases))
    contexts = find_contexts(as_set, texts, CONTEXTS, seed)
    items = [Item(number, phrase, contexts[number - 1]) for number, phrase in enumerate(phrases, 1)]
    return items, {str(number): sorted(arms[phrase]) for number, phrase in enumerate(phrases, 1)}


def save_sample(
    folder: Path, sets: Mapping[str, tuple[GramSet, int]], random_count: int, corpus: Corpus, seed: int
) -> list[Item]:
    """Draw a sample (see ``draw_sample``); write ``items.json``, which raters see, and ``key.json``, which they do not.

    Raises:
        PrecisionError: if there is a sample already.
    """
    if (folder / KEY_FILE).exists() or (folder / ITEMS_FILE).exists():
        problem = "holds a sample already; raters may be at work on it"
        raise PrecisionError(problem, file=folder, remedy="give another folder")
    make_folder(folder)
    items, arms = draw_sample(sets, random_count, corpus, seed)
    made_from = {
        "sets": {name: {"sha256": grams.sha256[:12], "drawn": count} for name, (grams, count) in sets.items()},
        "random": random_count,
        "corpus": corpus.fingerprint(),
        "seed": seed,
    }
    lines = ",\n".join(json.dumps(vars(item), ensure_ascii=False) for item in items)
    # The key first: whoever sees items can be sure that there is a key to them.
    write_json(folder / KEY_FILE, {"made_from": made_from, "arms": arms}, indent=0)
    write_text(folder / ITEMS_FILE, f'{{"question": {json.dumps(QUESTION)},\n"items": [\n{lines}\n]}}\n')
    return items


SPOILT = "take the file as `hicra precision sample` wrote it, or draw the sample again with the same seed"


def _spoilt(path: Path, what: str) -> PrecisionError:
    return PrecisionError("is not what it was", file=path, field=what, remedy=SPOILT)


def load_items(folder: Path) -> list[Item]:
    """The items of a sample.

    Raises:
        PrecisionError: if there is none, or its file is spoilt.
    """
    path = folder / ITEMS_FILE
    if not path.exists():
        raise PrecisionError("no such sample; `hicra precision sample` draws one", file=path)
    try:
        items = [
            Item(item["number"], item["phrase"], [Context(*map(str, c)) for c in item["contexts"]])
            for item in read_json(path, SPOILT)["items"]
        ]
    except (KeyError, TypeError) as error:
        raise _spoilt(path, "items") from error
    numbers = [item.number for item in items if type(item.number) is int and isinstance(item.phrase, str)]
    if not items or sorted(set(numbers)) != sorted(item.number for item in items):
        raise _spoilt(path, "items")
    return items


def load_key(folder: Path, items: Sequence[Item]) -> dict[int, list[str]]:
    """The arms that each item was drawn for, by its number.

    Raises:
        PrecisionError: if the key is spoilt, or another sample's.
    """
    path = folder / KEY_FILE
    arms = read_json(path, SPOILT).get("arms")
    if not isinstance(arms, dict) or set(arms) != {str(item.number) for item in items}:
        raise _spoilt(path, "arms")
    for listed in arms.values():
        if not (isinstance(listed, list) and listed and all(isinstance(arm, str) for arm in listed)):
            raise _spoilt(path, "arms")
    return {int(number): listed for number, listed in arms.items()}


def phrases_of(items: Sequence[Item]) -> list[Phrase]:
    """The items as they are judged: their names say nothing."""
    return [Phrase(str(item.number), item.phrase, "", item.contexts) for item in items]
