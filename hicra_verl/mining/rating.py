"""Yes or no about one phrase: the question that people and models are asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hicra_verl.asking import Answers
from hicra_verl.endpoint import Answer, Endpoint, Question
from hicra_verl.files import check_output
from hicra_verl.mining.judging import Choice, Judgements, JudgingError, Phrase
from hicra_verl.mining.local_page import Sitting
from hicra_verl.mining.sheets import read_sheet

QUESTION = (
    "Does this phrase, as it is used here, steer the reasoning: does it guide the process or propose a plan (deduce "
    "from what is known, choose or change an approach, set a goal, check or go back), rather than carry out a step or "
    "name content?"
)
YES, NO = "yes", "no"

# A "no" that goes on ("no doubt", "no computation") is no answer; a "yes" that does ("yes and no", "yes would be
# wrong") may be none.
_YES = r"yes(?!\s*(?:/|and\b|or\b)\s*no\b)(?!\s+(?:is|isn|was|would|can|cannot|may|might|seems)\b)"
_WORD = rf"({_YES}|no(?=[^\w\s]|\s*\n|\s*$|\s+[^\w\s]))\b"
_STATED = re.compile(rf"\b(?:answer|rating|verdict)\W*(?:is\b\W*)?{_WORD}")
_OPENING = re.compile(rf"\W*{_WORD}")
_CLOSING = re.compile(r"(?:^|[^\w\s]|\b(?:so|then|hence|hm|therefore)\b)\W*(yes|no)[^\w)\]]*$")
_ANYWHERE = re.compile(rf"\b({_YES}|no(?=[^\w\s]|\s*$|\s+(?:it|this|that)\b))\b")
_NEGATION = re.compile(r"\b(?:not|cannot|never|hardly|neither|nor)\b|n['’]t\b|\bno doubt\b")
_CLAUSE = re.compile(r"[^.,;:!?\n]*$")
_NEAR = 200  # characters of a line or clause that are looked at: a search in a longer one would take long


def prompt_for(phrase: Phrase) -> str:
    """What a model is asked about one item: what people see."""
    uses = "\n\n".join(f"{before}[[{text}]]{after}" for before, text, after in phrase.contexts)
    return f"Phrase: {phrase.text}\n\nIts uses, where it stands in [[ ]]:\n\n{uses}\n\n{QUESTION} Answer yes or no."


def read_rating(text: str) -> str | None:
    """What an answer says, None if that is not clear.

    Reasoning in ``<think>`` does not count. In this order: what is stated as the answer ("Answer: no"; the last such
    statement), how it opens ("Yes, it …"), how its last line closes ("…: no."), the only one of the words that occurs.
    A word that is denied ("I would not say yes") counts in none of these.
    """
    text = text.casefold().rpartition("</think>")[2].partition("<think>")[0].strip()
    *_, stated = (None, *_STATED.finditer(text))
    last = text.rpartition("\n")[2]
    last = last if len(last) <= _NEAR else f"x{last[-_NEAR:]}"
    found = stated or _OPENING.match(text) or _CLOSING.search(last)
    if found:
        before = _CLAUSE.search(found.string[: found.start(1)][-_NEAR:])
        return None if before and _NEGATION.search(before[0]) else found[1]
    word = _ANYWHERE.search(text)
    if word is None or len(set(re.findall(r"\b(?:yes|no)\b", text))) > 1 or _NEGATION.search(text[: word.start()]):
        return None
    return word[1]


def open_ratings(folder: Path, rater: str, phrases: Sequence[Phrase]) -> tuple[Judgements, Path]:
    """A rater's ratings, with what was filled in by hand, and the sheet that it was filled into.

    Args:
        folder: the sample's.
        rater: a name; FOLDER/RATER.jsonl and FOLDER/RATER.tsv are the rater's.
        phrases: the items.

    Raises:
        JudgingError: if the name is none, or the two files disagree.
    """
    if not re.fullmatch(r"[^/\\.][^/\\]{0,99}", rater) or not rater.isprintable() or rater in ("items", "key"):
        raise JudgingError(f"--rater {rater}: no name for a file", remedy="give letters and digits")
    ratings = Judgements(folder / f"{rater}.jsonl", (YES, NO))
    table = check_output(folder / f"{rater}.tsv")
    if table.exists():
        ratings.take_over(read_sheet(table, phrases, (YES, NO), "rating"), table, replace=False)
    return ratings, table


def sitting(phrases: Sequence[Phrase], ratings: Judgements) -> Sitting:
    """What a person sees: the items, and the two answers."""
    return Sitting("Blind rating", QUESTION, phrases, [Choice("y", YES, "yes"), Choice("n", NO, "no")], ratings)


def rate_by_model(
    phrases: Sequence[Phrase],
    endpoint: Endpoint,
    ratings: Judgements,
    answers: Answers,
    progress: Callable[[int, Answer | None], None] = lambda rated, answer: None,
) -> None:
    """Have a model rate what has no rating yet, an item a question; what says neither yes nor no stays unrated,
    and is asked again the next time.

    Args:
        phrases: the items.
        endpoint: the model.
        ratings: where ratings are kept, and added to.
        answers: where its answers are kept; see ``Answers.ask`` for what is raised.
        progress: called with the items rated so far, and the answer, None at the start.
    """
    questions = {
        phrase.name: Question([{"role": "user", "content": prompt_for(phrase)}], {"temperature": 0.0})
        for phrase in phrases
        if phrase.name not in ratings.latest
    }
    progress(len(ratings.latest), None)
    for name, answer in answers.ask(endpoint, questions, lambda name, text: read_rating(text) is not None):
        rating = read_rating(answer.text)
        if rating is not None:
            ratings.record(name, rating)
        progress(len(ratings.latest), answer)
