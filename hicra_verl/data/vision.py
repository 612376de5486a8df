"""How a problem is read from a row: vision-language data sets.

Where a picture stands follows each benchmark's own evaluation code; the wording around it is ours, since that code asks
for answers in another format. A problem without a mark for its pictures gets them in front (``templates.messages``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from string import ascii_uppercase
from typing import Any

from hicra_verl.data.problems import IMAGE, DataError, Problem, Row, UnusableRow, as_answer, as_text
from hicra_verl.grading.answers import Kind
from hicra_verl.records import short

BY_LETTER = "Answer with the letter of the right choice."  # ours
EMMA_PICTURES = tuple(f"image_{number}" for number in range(1, 6))
_MARK = re.compile(r"<image_?(\d+)>")
_EMMA_MARK = re.compile(r"<image_(\d+)>")
_LISTED = re.compile(r"\n\s*Choices?:\s*\n(.*)", re.DOTALL)
_LISTED_OPTION = re.compile(r"^\s*([A-H])\s*[:.]\s*(.*?)\s*$", re.MULTILINE)


def pictures(row: Row, *columns: str) -> tuple[dict[str, Any], ...]:
    """The pictures in these columns, in order: each cell a path, an encoded picture, a list of them, or null.

    Raises:
        DataError: if a cell holds something else.
    """
    found: list[dict[str, Any]] = []
    for column in columns:
        value = row.get(column)
        for picture in value if isinstance(value, list) else [value]:
            if isinstance(picture, str) and picture:
                found.append({"path": picture})
            elif isinstance(picture, dict):
                found.append(dict(picture))
            elif picture:
                raise DataError(f"unexpected content: expected a picture, got {short(picture)}", field=column)
    return tuple(found)


def with_choices(text: str, options: list[str]) -> str:
    """The problem with its options below it; bare letters (they stand in the picture) are not listed."""
    if not options:
        return text
    if options == list(ascii_uppercase[: len(options)]):
        return f"{text}\n{BY_LETTER}"
    lettered = "\n".join(f"({letter}) {option}" for letter, option in zip(ascii_uppercase, options, strict=False))
    return f"{text}\n{lettered}\n{BY_LETTER}"


def _problem(row: Row, identity: str, text: str, options: list[str], images: tuple[dict[str, Any], ...]) -> Problem:
    kind: Kind = "choice" if options else "math"
    return Problem(text, as_answer(row["answer"]), kind, tuple(options) or None, images, as_text(row[identity]))


def virl(row: Row) -> Problem:
    """ViRL39K; where a question has no mark, its pictures come first."""
    answer = as_answer(row["answer"])
    kind: Kind = "choice" if re.fullmatch(r"[A-H]", answer) else "math"
    return Problem(as_text(row["question"]), answer, kind, images=pictures(row, "image"), identity=as_text(row["qid"]))


def mathvista(row: Row) -> Problem:
    """MathVista: the unit behind the question, the options, and how many decimals count, as in its own ``query``.

    The answer to a choice is the text of an option.
    """
    options = [as_text(choice) for choice in row.get("choices") or []]
    kind: Kind = "choice" if options else ("number" if row["answer_type"] in ("integer", "float") else "math")
    unit = as_text(row.get("unit"))
    text = with_choices(as_text(row["question"]) + (f" (Unit: {unit})" if unit else ""), options)
    if kind == "number" and row["answer_type"] == "float" and row.get("precision"):
        places = int(float(row["precision"]))
        text += f"\nGive the answer to {places} decimal place{'' if places == 1 else 's'}."
    elif kind == "number" and row["answer_type"] == "integer":
        text += "\nThe answer is a whole number."
    elif row["answer_type"] == "list":
        text += "\nGive the answer as a list, like [1, 2, 3]."
    images = pictures(row, "decoded_image")
    return Problem(text, as_answer(row["answer"]), kind, tuple(options) or None, images, as_text(row["pid"]))


def mathvision(row: Row) -> Problem:
    """MATH-Vision: one picture, composed of as many as the question and the options have marks.

    A single mark is where the picture stands. Several become the names of its parts, and the picture comes first: of
    3,040 rows, 335 have two or more in the question, five have them in the options (MATH-V's own ``data/test.jsonl``).
    """
    question = as_text(row["question"])
    options = [as_text(option) for option in row.get("options") or []]
    marks = _MARK.findall("\n".join([question, *options]))
    if len(marks) == 1 and _MARK.search(question):
        question = _MARK.sub(IMAGE, question)
    else:
        question = _MARK.sub(r"(picture \1)", question)
        options = [_MARK.sub(r"(picture \1)", option) for option in options]
    return _problem(row, "id", with_choices(question, options), options, pictures(row, "decoded_image"))


def mathverse(row: Row) -> Problem:
    """MathVerse. In its "Vision Only" version the question stands in the picture and the column is empty: the text is
    then the benchmark's own, ``query_cot``."""
    question = as_text(row["question"])
    choice = row["question_type"] == "multi-choice"
    listed = _LISTED.search(as_text(row.get("question_for_eval")) or question)
    options = [text for _, text in _LISTED_OPTION.findall(listed.group(1))] if listed and choice else []
    text = question or as_text(row.get("query_cot"))
    if choice and question:
        text = f"{text}\n{BY_LETTER}"
    return Problem(
        text,
        as_answer(row["answer"]),
        "choice" if choice else "math",
        tuple(options) or None,
        pictures(row, "image"),
        as_text(row["sample_index"]),
        as_text(row["problem_version"]),
    )


def emma(row: Row) -> Problem:
    """EMMA: context, question and options; each ``<image_k>`` in them, also a repeated one, is a picture, and a picture
    that none names is not shown (``build_query`` in its ``data_utils.py``, ``create_message`` in its models). Marks
    without the underscore are left from MATH-Vision (Math_121, Math_595) and are no pictures there.

    Raises:
        UnusableRow: if a picture is named that the row does not have.
    """
    options = [as_text(option) for option in row.get("options") or []]
    context, question = as_text(row.get("context")), as_text(row["question"])
    text = with_choices(f"{context}\n\n{question}" if context else question, options)
    named = [f"image_{number}" for number in _EMMA_MARK.findall(text)]
    for name in named:
        if not row.get(name):
            raise UnusableRow("image missing", f"<{name}> is named, and its column is empty")
    text = _MARK.sub(r"(picture \1)", _EMMA_MARK.sub(IMAGE, text))
    options = [_MARK.sub(r"picture \1", option) for option in options]
    found = _problem(row, "pid", text, options, pictures(row, *(named or EMMA_PICTURES)))
    return replace(found, answer=found.answer.upper()) if options and len(found.answer) == 1 else found
