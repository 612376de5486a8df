"""Yes or no about one phrase: the question that people and models are asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hicra_verl.append_log import read_log
from hicra_verl.endpoint import Answer, Endpoint, Question
from hicra_verl.mining.judging import Judgements, JudgingError, Phrase

QUESTION = (
    "Does this phrase, as it is used here, steer the reasoning: does it guide the process or propose a plan (deduce "
    "from what is known, choose or change an approach, set a goal, check or go back), rather than carry out a step or "
    "name content?"
)
YES, NO = "yes", "no"


def prompt_for(phrase: Phrase) -> str:
    """What a model is asked about one item: what people see."""
    uses = "\n\n".join(f"{before}[[{text}]]{after}" for before, text, after in phrase.contexts)
    return f"Phrase: {phrase.text}\n\nIts uses, where it stands in [[ ]]:\n\n{uses}\n\n{QUESTION} Answer yes or no."


def rate_by_model(
    phrases: Sequence[Phrase],
    endpoint: Endpoint,
    ratings: Judgements,
    cache: Path,
    progress: Callable[[int, Answer | None], None] = lambda rated, answer: None,
) -> None:
    """Have a model rate what has no rating yet, an item a question; what says neither yes nor no stays unrated.

    Args:
        phrases: the items.
        endpoint: the model.
        ratings: where ratings are kept, and added to.
        cache: a JSONL file of the answers as they came; none is paid for twice.
        progress: called with the items rated so far, and the answer, None at the start.

    Raises:
        EndpointError: if the server does not answer; everything it has said is in the cache.
        JudgingError: if the cache holds another model's answers.
    """
    answered = {}
    for number, row in read_log(cache):
        if row.get("model") != endpoint.model:
            raise JudgingError(
                f"{cache}, line {number}: answers of {row.get('model')}, not of {endpoint.model}; give another --rater"
            )
        answered[row["name"]] = row["text"]
    for name, text in answered.items():
        _take(name, text, ratings)
    missing = [phrase for phrase in phrases if phrase.name not in ratings.latest and phrase.name not in answered]
    progress(len(ratings.latest), None)
    questions = [Question([{"role": "user", "content": prompt_for(each)}], {"temperature": 0.0}) for each in missing]
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.open("a", encoding="utf-8") as stream:
        for place, answer in endpoint.ask_all(questions):
            name = missing[place].name
            stream.write(
                json.dumps({"model": endpoint.model, "name": name, "text": answer.text}, ensure_ascii=False) + "\n"
            )
            stream.flush()
            _take(name, answer.text, ratings)
            progress(len(ratings.latest), answer)


def _take(name: str, text: str, ratings: Judgements) -> None:
    """The last yes or no that an answer says counts."""
    words = re.findall(r"\b(yes|no)\b", text.casefold())
    if words and name not in ratings.latest:
        ratings.record(name, words[-1])
