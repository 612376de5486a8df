"""A language model judges phrases (paper v1: candidates annotated by a model, then reviewed by people).

The paper does not print its prompt but says where to find it. This one is ours, written without it; its version is part
of every cached answer's key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hicra_verl.asking import Answers
from hicra_verl.endpoint import Answer, Endpoint, Question, whole_characters
from hicra_verl.grams.gramset import FUNCTIONS, GramSet
from hicra_verl.grams.operations import with_grams
from hicra_verl.mining.judging import Phrase
from hicra_verl.spreadsheets import write_table

PROMPT_VERSION = 1
PROMPT = """You are shown phrases from written solutions of problems, each with places where it is used. For each \
phrase, decide whether it is strategic: whether, as used, it steers the reasoning rather than carrying out a step. A \
strategic phrase guides the process or proposes a plan. Its function is one of:

- deduction: draws a conclusion from what is known ("this means that", "we can use the fact that");
- branching: chooses, opens or compares approaches or cases ("let's try a different approach");
- backtracing: doubts, checks, or goes back ("wait, that's not right", "let's verify");
- other: steers in another way (sets a goal, reads the problem, orders the steps).

A phrase that computes, rewrites, substitutes, states a fact, or names what a problem is about is not strategic.

Answer with JSON alone, one entry for each phrase, with its number; where it is not strategic, function is "other":
{{"judgements": [{{"number": 1, "strategic": true, "function": "deduction", "reason": "one line"}}, …]}}

{phrases}"""
SCHEMA = {
    "type": "object",
    "properties": {
        "judgements": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "number": {"type": "integer"},
                    "strategic": {"type": "boolean"},
                    "function": {"type": "string", "enum": list(FUNCTIONS)},
                    "reason": {"type": "string"},
                },
                "required": ["number", "strategic", "function", "reason"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["judgements"],
    "additionalProperties": False,
}
ATTEMPTS = 3  # ours: a phrase that a usable answer never mentions is asked about so often
REASON_CHARACTERS = 200


@dataclass(frozen=True)
class Judgement:
    """What the model says of a phrase."""

    strategic: bool
    function: str
    reason: str


def prompt_for(phrases: Sequence[Phrase]) -> str:
    """The prompt about some phrases, numbered from 1."""
    blocks = []
    for number, phrase in enumerate(phrases, 1):
        uses = [f"   use: {before}[[{text}]]{after}".replace("\n", " ") for before, text, after in phrase.contexts]
        blocks.append("\n".join([f"{number}. {phrase.text}", *uses]))
    return PROMPT.format(phrases="\n".join(blocks))


def read_answer(text: str, phrases: Sequence[Phrase]) -> dict[str, Judgement]:
    """The judgements of an answer, by phrase name, without what is malformed, contradicts itself or is of no phrase."""
    start, end = text.find("{"), text.rfind("}")
    try:
        listed = json.loads(text[start : end + 1])["judgements"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    found: dict[str, list[Judgement]] = {}
    for row in listed if isinstance(listed, list) else []:
        if not isinstance(row, dict) or not isinstance(row.get("strategic"), bool):
            continue
        number, function = row.get("number"), row.get("function")
        if type(number) is int and 1 <= number <= len(phrases) and function in FUNCTIONS:
            reason = " ".join(whole_characters(str(row.get("reason", ""))).split())[:REASON_CHARACTERS]
            found.setdefault(phrases[number - 1].name, []).append(Judgement(row["strategic"], function, reason))
    return {
        name: several[-1]
        for name, several in found.items()
        if len({(one.strategic, one.function if one.strategic else "") for one in several}) == 1
    }


def annotate(
    phrases: Sequence[Phrase],
    endpoint: Endpoint,
    batch: int,
    answers: Answers,
    structured: bool = True,
    progress: Callable[[int, Answer | None], None] = lambda judged, answer: None,
) -> dict[str, Judgement]:
    """Have phrases judged; usable answers that are kept are not asked for again.

    Args:
        phrases: what to judge.
        endpoint: the model.
        batch: phrases a question.
        answers: where its answers are kept; see ``Answers.ask`` for what is raised.
        structured: ask the server for answers in ``SCHEMA``.
        progress: called after each answer with the number of phrases judged so far, and the answer, None at the start.

    Returns:
        Judgements by phrase name; a phrase without a usable answer in ``ATTEMPTS`` tries has none.
    """
    judged: dict[str, Judgement] = {}
    given_up: set[str] = set()  # the server refuses the question that they are in
    form = {"type": "json_schema", "json_schema": {"name": "judgements", "strict": True, "schema": SCHEMA}}
    progress(0, None)
    for attempt in range(ATTEMPTS):
        left = [phrase for phrase in phrases if phrase.name not in judged and phrase.name not in given_up]
        asked = {
            _key(prompt_for(some), endpoint.model, attempt): some
            for some in (left[begin : begin + batch] for begin in range(0, len(left), batch))
        }
        arguments = {"temperature": 0.0, "seed": attempt, **({"response_format": form} if structured else {})}
        questions = {
            key: Question([{"role": "user", "content": prompt_for(some)}], arguments) for key, some in asked.items()
        }
        for key, answer in answers.ask(endpoint, questions, partial(_usable, asked)):
            judged.update(read_answer(answer.text, asked[key]))
            progress(len(judged), answer)
        given_up.update(phrase.name for key in answers.refused.keys() & asked.keys() for phrase in asked[key])
    return judged


def _usable(asked: Mapping[str, Sequence[Phrase]], key: str, text: str) -> bool:
    return bool(read_answer(text, asked[key]))


def _key(prompt: str, model: str, attempt: int) -> str:
    content = json.dumps([PROMPT_VERSION, model, attempt, prompt])
    return hashlib.sha256(content.encode("utf-8", errors="replace")).hexdigest()[:32]


def sheet_beside(output: Path) -> Path:
    """Where the judgements about the grams of a set go."""
    return output.with_suffix(".tsv") if output.name else output


def save_judgements(path: Path, grams: GramSet, judged: dict[str, Judgement]) -> None:
    """Write every judgement as a TSV."""
    rows = [
        [gram.text, "yes" if found.strategic else "no", found.function, found.reason]
        for gram in grams
        if (found := judged.get(gram.text)) is not None
    ]
    write_table(path, ["phrase", "strategic", "function", "reason"], rows)


def annotated_set(grams: GramSet, judged: dict[str, Judgement], model: str, name: str) -> GramSet:
    """The grams judged strategic, with their function and the reason."""
    kept = []
    for gram in grams:
        found = judged.get(gram.text)
        if found is not None and found.strategic:
            source = f"{gram.source}; {model}: {found.reason}".lstrip("; ")
            kept.append(replace(gram, function=found.function, source=source))
    description, by = f"{grams.name}, as judged by {model}", f"{model}, prompt version {PROMPT_VERSION}"
    counts = {"candidates": len(grams), "judged": len(judged), "strategic": len(kept)}
    return with_grams(grams, kept, name, description, judged_by=by, judged=counts)
