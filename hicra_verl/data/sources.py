"""Every data set the recipes use: where it lives, what its columns are, how many rows were published.

A data set may come in several layouts (the hub's own, a well-known mirror's, an evaluation suite's); which one a file
has is told by its columns. A file with none of them is refused, so that a column renamed upstream is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hicra_verl.grading.answers import Kind, last_boxed

Row = Mapping[str, Any]


class DataError(ValueError):
    """Data that cannot be used; the message names the file, the row or column, and the remedy."""


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        text: the problem.
        answer: the expected content of the box; several parts are joined by commas, as published.
        kind: how answers compare.
        options: a multiple-choice problem's options, else None.
        images: each a dict with ``bytes`` or ``path``, as verl takes them.
        identity: the source's own name for the problem, "" if it has none.
    """

    text: str
    answer: str
    kind: Kind = "math"
    options: tuple[str, ...] | None = None
    images: tuple[dict[str, Any], ...] = ()
    identity: str = ""


@dataclass(frozen=True)
class Layout:
    """A known set of columns and how to read a problem from them."""

    columns: tuple[str, ...]
    read: Callable[[Row], Problem]


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        hub: its name on the Hugging Face hub.
        files: which of its files hold the rows (glob).
        layouts: the layouts it is known in.
        published: its published number of problems, after removing repetitions; None if we know of none.
        training: True for training data, False for a benchmark.
        extra_files: further files to fetch with it (images).
    """

    hub: str
    files: str
    layouts: tuple[Layout, ...]
    published: int | None
    training: bool = False
    extra_files: str | None = None

    def layout_of(self, columns: list[str], origin: str) -> Layout:
        """The layout that these columns have.

        Raises:
            DataError: if they have none of the known ones.
        """
        for layout in self.layouts:
            if set(layout.columns) <= set(columns):
                return layout
        known = " or ".join(", ".join(layout.columns) for layout in self.layouts)
        raise DataError(
            f"{origin}: has the columns {', '.join(columns)}; expected {known}. The data set's schema has changed, or "
            "this is another file; `hicra data` without a name lists what is known."
        )


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _answer(value: Any) -> str:
    """An answer with its delimiters removed: ``$2^{3}$`` and ``\\boxed{8}`` as well as ``8``."""
    text = _text(value)
    boxed = last_boxed(text)
    text = text if boxed is None else boxed
    inner = text.strip("$")
    text = inner.strip() if text.startswith("$") and text.endswith("$") and "$" not in inner else text
    return re.sub(r"^(-?\d+)\.0$", r"\1", text)  # amc23's files write whole numbers so


def _plain(problem: str, answer: str, identity: str = "") -> Callable[[Row], Problem]:
    def read(row: Row) -> Problem:
        return Problem(_text(row[problem]), _answer(row[answer]), identity=str(row[identity]) if identity else "")

    return read


def _boxed_in_solution(row: Row) -> Problem:
    answer = last_boxed(_text(row["solution"]))
    if answer is None:
        raise DataError("the solution holds no \\boxed{…}")
    return Problem(_text(row["problem"]), answer)


_DAPO_BEFORE = re.compile(r"^Solve the following math problem step by step\..*?\n\n", re.DOTALL)
_DAPO_AFTER = re.compile(r'\n\nRemember to put your answer on its own line after "Answer:"\.\s*$')


def _verl_row(row: Row) -> Problem:
    """verl's own format; DAPO wraps the problem in instructions of its own, which are taken off."""
    text = _text(row["prompt"][-1]["content"])
    text = _DAPO_AFTER.sub("", _DAPO_BEFORE.sub("", text))
    extra = row.get("extra_info") or {}
    images = tuple(dict(image) for image in row.get("images") or ())
    answer = _answer(row["reward_model"]["ground_truth"])
    return Problem(text, answer, images=images, identity=str(extra.get("index", "")))


def _images(row: Row, *columns: str) -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for column in columns:
        value = row.get(column)
        for image in value if isinstance(value, list) else [value]:
            if isinstance(image, str) and image:
                found.append({"path": image})
            elif image:
                found.append({key: part for key, part in dict(image).items() if part is not None})
    return tuple(found)


def _choices(text: str, options: list[str]) -> str:
    if not options:
        return text
    lettered = "\n".join(f"({chr(ord('A') + place)}) {option}" for place, option in enumerate(options))
    return f"{text}\n{lettered}\nAnswer with the letter of the right choice."


def _virl(row: Row) -> Problem:
    answer = _answer(row["answer"])
    kind: Kind = "choice" if re.fullmatch(r"[A-H]", answer) else "math"
    return Problem(_text(row["question"]), answer, kind, images=_images(row, "image"), identity=_text(row["qid"]))


def _mathvista(row: Row) -> Problem:
    options = [_text(choice) for choice in row.get("choices") or []]
    kind: Kind = "choice" if options else ("number" if row["answer_type"] in ("integer", "float") else "math")
    text = _text(row["question"])
    precision = row.get("precision")
    if kind == "number" and row["answer_type"] == "float" and precision:
        text += f"\nGive the answer to {int(float(precision))} decimal places."
    if row.get("unit"):
        text += f" (Unit: {row['unit']})"
    return Problem(
        _choices(text, options),
        _answer(row["answer"]),
        kind,
        tuple(options) or None,
        _images(row, "decoded_image"),
        _text(row["pid"]),
    )


def _options_problem(identity: str, *image_columns: str) -> Callable[[Row], Problem]:
    def read(row: Row) -> Problem:
        options = [_text(option) for option in row.get("options") or []]
        kind: Kind = "choice" if options else "math"
        text = re.sub(r"<image_?\d+>", "<image>", _text(row["question"]))
        return Problem(
            _choices(text, options),
            _answer(row["answer"]),
            kind,
            tuple(options) or None,
            _images(row, *image_columns),
            _text(row[identity]),
        )

    return read


def _mathverse(row: Row) -> Problem:
    kind: Kind = "choice" if row["question_type"] == "multi-choice" else "math"
    return Problem(
        _text(row["question"]),
        _answer(row["answer"]),
        kind,
        images=_images(row, "image"),
        identity=_text(row["sample_index"]),
    )


_EVALUATION_SUITE = (
    Layout(("problem", "answer"), _plain("problem", "answer")),
    Layout(("problem", "solution"), _boxed_in_solution),
)
_QUESTION_ANSWER = Layout(("question", "answer"), _plain("question", "answer"))
_VERL = Layout(("prompt", "reward_model"), _verl_row)

SOURCES: dict[str, Source] = {
    "dapo_math_17k": Source("BytedTsinghua-SIA/DAPO-Math-17k", "data/*.parquet", (_VERL,), 17_398, training=True),
    "deepscaler": Source(
        "agentica-org/DeepScaleR-Preview-Dataset",
        "*.json",
        (Layout(("problem", "answer", "solution"), _plain("problem", "answer")),),
        40_315,
        training=True,
    ),
    "hicra_math": Source("JasperHaozhe/HICRA_RLDATA_Math", "**/*.parquet", (_VERL,), None, training=True),
    "hicra_vl": Source("JasperHaozhe/HICRA_RLDATA_VL_ViRL7B", "**/*.parquet", (_VERL,), None, training=True),
    "virl39k": Source(
        "TIGER-Lab/ViRL39K",
        "*.parquet",
        (Layout(("question", "answer", "qid", "image"), _virl),),
        38_870,
        training=True,
        extra_files="images.zip",
    ),
    "aime24": Source("HuggingFaceH4/aime_2024", "**/*.parquet", _EVALUATION_SUITE, 30),
    "aime25": Source("MathArena/aime_2025", "**/*.parquet", _EVALUATION_SUITE, 30),
    "math500": Source(
        "HuggingFaceH4/MATH-500",
        "*.jsonl",
        (Layout(("problem", "answer", "unique_id"), _plain("problem", "answer", "unique_id")), *_EVALUATION_SUITE),
        500,
    ),
    "amc23": Source("math-ai/amc23", "**/*.parquet", (_QUESTION_ANSWER, *_EVALUATION_SUITE), 40),
    "minerva": Source("math-ai/minervamath", "**/*.parquet", (_QUESTION_ANSWER, *_EVALUATION_SUITE), 272),
    "olympiad": Source(
        "math-ai/olympiadbench",
        "**/*.parquet",
        (
            Layout(("question", "final_answer"), _plain("question", "final_answer")),
            _QUESTION_ANSWER,
            *_EVALUATION_SUITE,
        ),
        675,
    ),
    "mathvista": Source(
        "AI4Math/MathVista",
        "data/testmini-*.parquet",
        (Layout(("pid", "question", "decoded_image", "choices", "answer_type", "answer"), _mathvista),),
        1_000,
    ),
    "mathvision": Source(
        "MathLLMs/MathVision",
        "data/test-*.parquet",
        (Layout(("id", "question", "options", "decoded_image", "answer"), _options_problem("id", "decoded_image")),),
        3_040,
    ),
    "mathverse": Source(
        "AI4Math/MathVerse",
        "testmini.parquet",
        (Layout(("sample_index", "question", "question_type", "image", "answer"), _mathverse),),
        3_940,
    ),
    "emma": Source(
        "luckychao/EMMA",
        "*/test-*.parquet",
        (
            Layout(
                ("pid", "question", "options", "image_1", "answer"),
                _options_problem("pid", *(f"image_{number}" for number in range(1, 6))),
            ),
        ),
        2_788,
    ),
}
