r"""The fifteen data sets' repositories as the hub has them: names, listings, file and column types, awkward rows.

The hub cannot be reached from a test, so the layouts are taken from public code that reads these repositories. Seen:

* commits and row counts: in evaluation harnesses that pin what they download and refuse another count (DAPO 1,791,700;
  DeepScaleR 40,315; ViRL39K 38,870; OlympiadBench 674; Minerva 272; MATH-500 500; AMC23 40; AIME 2025 30; EMMA 1,176,
  564, 892 and 156; MathVerse 3,940, of which 788 "Vision Only"). The commits of MathVision and of the authors' own two
  sets were not seen: they have none here.
* files: `hf_hub_download` and `resolve/…` lines of public loaders. `math-ai/amc23` holds
  `test-00000-of-00001.parquet` and `math-ai/olympiadbench` `test.parquet` at their roots, `math-ai/minervamath`
  `test.jsonl`; MathVision's and MathVista's parquet files carry a hash in their names; ViRL39K's pictures lie in
  `images.zip`, and its parquet file names them.
* columns: MathVerse's and MathVista's data cards; EMMA's README and its published answers to 400 problems
  (`results/EMMA-mini`); MATH-V's own `data/test.jsonl` (3,040 rows); loaders of OlympiadBench; verl's DAPO recipe.
* awkward rows: each said where it is made.

Assumed, since no public code shows it: the file names of the two HICRA sets, which of DeepScaleR's rows lack an answer
(six do), where DAPO's repetitions stand, what else some repositories hold, and all texts and pictures that are made up.
"""

from __future__ import annotations

import json
import random
import struct
import uuid
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from conftest import DATA

Row = dict[str, Any]

COMMITS = {
    "BytedTsinghua-SIA/DAPO-Math-17k": "65877096c24ffa7abc4e4fa5edb95cf3413a5674",
    "agentica-org/DeepScaleR-Preview-Dataset": "b6ae8c60f5c1f2b594e2140b91c49c9ad0949e29",
    "TIGER-Lab/ViRL39K": "812ec617dea4bc8a4e751663b88e4ebb7de4d00e",
    "HuggingFaceH4/aime_2024": "2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
    "MathArena/aime_2025": "c94da77eb22bbd6439e62a323bec18493a421302",
    "HuggingFaceH4/MATH-500": "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
    "math-ai/amc23": "80815d37005feb82cd7f8fbc6901d5d3eff43057",
    "math-ai/minervamath": "ee46ddc498933b1977577953250ca5c66be64f96",
    "math-ai/olympiadbench": "4faaf1e6ec17d11a4218a9bf4c049ecaf954dd84",
    "AI4Math/MathVista": "2b6ad69445fbb5695c9b165475e8decdbeb97747",
    "AI4Math/MathVerse": "3bc86196678bad115a923d2851c6821dbe235939",
    "luckychao/EMMA": "6c87aec9048c489108170088e50b768646b5bcf9",
}

DAPO = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n{}\n\nRemember to put your answer on its "
    'own line after "Answer:".'
)
VERL = pa.schema(
    {
        "data_source": pa.string(),
        "prompt": pa.list_(pa.struct({"content": pa.string(), "role": pa.string()})),
        "ability": pa.string(),
        "reward_model": pa.struct({"ground_truth": pa.string(), "style": pa.string()}),
        "extra_info": pa.struct({"index": pa.string()}),
    }
)
PICTURE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def write_awkward_hub(folder: Path, rows: int | None = None, dapo_repeats: int = 100) -> None:
    """Write the repositories to ``folder/datasets/OWNER/NAME``.

    Args:
        folder: for ``FakeHub``.
        rows: at most so many rows of each data set (its awkward ones are the first); None for the published number, at
            which DAPO's file alone has 1.8 million.
        dapo_repeats: how often the DAPO file repeats its 17,917 rows.
    """
    writers = {**REPOSITORIES, "BytedTsinghua-SIA/DAPO-Math-17k": partial(_dapo, repeats=dapo_repeats)}
    for name, write in writers.items():
        repository = folder / "datasets" / name
        repository.mkdir(parents=True, exist_ok=True)
        (repository / "README.md").write_text(f"---\nlicense: other\n---\n# {name}\n")
        (repository / ".gitattributes").write_text("*.parquet filter=lfs diff=lfs merge=lfs -text\n")
        if name in COMMITS:
            (repository / ".commit").write_text(COMMITS[name])
        write(repository, rows)


# --- made-up content --------------------------------------------------------------------------------------------------


def png(number: int) -> bytes:
    """A picture of 28 x 28 points in a colour of its own."""
    colour = bytes((number % 256, number // 256 % 256, 128))
    lines = (b"\0" + colour * 28) * 28

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 28, 28, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 1)) + chunk(b"IEND", b"")


def picture(number: int) -> Row:
    return {"bytes": png(number), "path": f"{number}.png"}


SYLLABLES = [first + second for first in "bdfgklmnprstvz" for second in ("a", "e", "i", "o", "u")]


def problem(kind: str, number: int) -> str:
    """A text of its own; no two have more than a few words in common."""
    chance = random.Random(f"{kind} {number}")
    words = ["".join(chance.choices(SYLLABLES, k=3)) for _ in range(12)]
    return f"{' '.join(words[:6]).capitalize()} has ${number} + x$ {' '.join(words[6:])}. Find $x_{{{number}}}$."


def fill(awkward: list[Row], total: int, rows: int | None, make: Callable[[int], Row]) -> list[Row]:
    wanted = total if rows is None else min(rows, total)
    return [*awkward[:wanted], *(make(number) for number in range(len(awkward), wanted))]


def local_rows(name: str) -> list[Row]:
    """A benchmark's real problems where this machine has them, else none."""
    path = DATA / "benchmarks" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def write_parquet(path: Path, rows: list[Row], schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path)


def write_lines(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


# --- training data ----------------------------------------------------------------------------------------------------


def verl_row(text: str, answer: str, number: int, source: str = "math_dapo") -> Row:
    return {
        "data_source": source,
        "prompt": [{"content": text, "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": str(uuid.UUID(int=number))},
    }


# Pairs that differ in an operator alone are different problems.
LOOK_ALIKES = [
    ("What is the least $n$ with $x<5$?", "4"),
    ("What is the least $n$ with $x>5$?", "6"),
    ("Find $17+25$.", "42"),
    ("Find $17-25$.", "-8"),
]


def _dapo(repository: Path, rows: int | None, repeats: int = 100) -> None:
    """Every row a hundred times. Of 17,917 others found 17,398 texts that differ, 17,188 with white space aside, 12 of
    these with more than one answer."""
    base = 17_917
    if rows is not None:
        repeats, base = 2, min(base, max(1, rows // 2))
    texts = [*LOOK_ALIKES, ("Find  $17+25$.", "42"), ("Find $17+25$.", "43"), ("Find $17 + 25$ in base 9.", "46")]
    unique = base if rows is not None else 17_190
    texts += [(problem("dapo", number), str(number)) for number in range(len(texts), unique)]
    # The same again: with another white space (210), to the letter (the rest), and 12 with another answer.
    for number in range(base - len(texts)):
        text, answer = texts[10 + number]
        if number < 209:
            text = text.replace(" ", "  ", 1)
        texts.append((text, f"1{answer}" if 209 <= number < 220 else answer))
    made = [verl_row(DAPO.format(text), answer, number) for number, (text, answer) in enumerate(texts[:base])]
    table = pa.Table.from_pylist(made, VERL)
    path = repository / "data" / "dapo-math-17k.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, VERL, compression="zstd") as writer:
        for _ in range(repeats):
            writer.write_table(table)


def _deepscaler(repository: Path, rows: int | None) -> None:
    """One JSON file. Six rows have no answer (public loaders skip empty ones)."""
    awkward = [{"problem": text, "answer": answer, "solution": ""} for text, answer in LOOK_ALIKES]
    awkward += [
        {"problem": "Find $17+25$.", "answer": "42", "solution": "Again."},
        {"problem": "Find the value of $\\frac{a}{b}$.", "answer": "\\frac{1}{2}", "solution": ""},
        {"problem": "Which holds? (A) $\\{1, 2\\}$ (B) $[0, 1)$", "answer": "\\text{(B)}", "solution": "s"},
    ]
    for number in range(6):
        awkward.append({"problem": problem("answerless", number), "answer": "", "solution": "No answer is given."})
    real = local_rows("aime24")  # a benchmark's problem in the training data
    if real:
        awkward.append({"problem": real[0]["problem"], "answer": real[0]["answer"], "solution": ""})
    found = fill(
        awkward,
        40_315,
        rows,
        lambda number: {"problem": problem("deepscaler", number), "answer": str(number), "solution": "s"},
    )
    (repository / "deepscaler.json").write_text(json.dumps(found), "utf-8")


def _hicra_math(repository: Path, rows: int | None) -> None:
    found = [verl_row(DAPO.format(problem("hicra", number)), str(number), number) for number in range(rows or 1_000)]
    write_parquet(repository / "data" / "train-00000-of-00001.parquet", found, VERL)


def _hicra_vl(repository: Path, rows: int | None) -> None:
    found = [
        {**verl_row(f"<image>{problem('hicra_vl', number)}", str(number), number, "virl"), "images": [picture(number)]}
        for number in range(rows or 500)
    ]
    schema = VERL.append(pa.field("images", pa.list_(PICTURE)))
    write_parquet(repository / "data" / "train-00000-of-00001.parquet", found, schema)


def _virl39k(repository: Path, rows: int | None) -> None:
    """Pictures by name; some questions lack the mark of theirs (a public loader puts it in front)."""

    def make(question: str, answer: str, number: int, *images: int) -> Row:
        return {
            "answer": f"\\boxed{{{answer}}}",
            "PassRate_32BTrained": 0.5,
            "PassRate_7BBase": -1.0,
            "category": "(GradeSchool) Geometric",
            "source": "MMMath",
            "qid": f"MMMath-{number}",
            "question": question,
            "image": [f"images/{image}.png" for image in images],
        }

    awkward = [
        make("<image>\nIs $x<5$?", "B", 0, 0),
        make("<image>\nIs $x>5$?", "A", 1, 0),
        make("What is the area?", "12", 2, 1),
        make("<image>\n<image>\nWhich is larger, the first or the second?", "2", 3, 1, 2),
        make("<image>\nWhat is the area?", "13", 4, 3),
        make("<image>\nWhat is the area?", "13", 5, 3),
        make("<image>\nWhat is the area?", "14", 6, 3),
        make("<image>\nWhat is the area?", "15", 7, 4),
    ]
    pictures = 500
    found = fill(
        awkward,
        38_870,
        rows,
        lambda number: make(f"<image>\n{problem('virl', number)}", str(number), number, number % pictures),
    )
    schema = pa.schema(
        {
            "answer": pa.string(),
            "PassRate_32BTrained": pa.float64(),
            "PassRate_7BBase": pa.float64(),
            "category": pa.string(),
            "source": pa.string(),
            "qid": pa.string(),
            "question": pa.string(),
            "image": pa.list_(pa.string()),
        }
    )
    write_parquet(repository / "39Krelease.parquet", found, schema)
    write_zip(repository / "images.zip", {f"images/{number}.png": png(number) for number in range(pictures)})


# --- text benchmarks --------------------------------------------------------------------------------------------------


def _aime24(repository: Path, rows: int | None) -> None:
    real = local_rows("aime24")

    def make(number: int) -> Row:
        text = real[number] if number < len(real) else {"problem": problem("aime24", number), "answer": str(number)}
        return {
            "id": 60 + number,
            "problem": text["problem"],
            "solution": "s",
            "answer": str(text["answer"]).zfill(3),
            "url": "https://example.org",
            "year": "2024",
        }

    schema = pa.schema(
        {"id": pa.int64(), **{name: pa.string() for name in ("problem", "solution", "answer", "url", "year")}}
    )
    write_parquet(repository / "data" / "train-00000-of-00001.parquet", fill([], 30, rows, make), schema)


def _aime25(repository: Path, rows: int | None) -> None:
    def make(number: int) -> Row:
        return {
            "problem_idx": number + 1,
            "problem": problem("aime25", number),
            "answer": 70 + number,
            "problem_type": ["Number Theory"],
        }

    schema = pa.schema(
        {
            "problem_idx": pa.int64(),
            "problem": pa.string(),
            "answer": pa.int64(),
            "problem_type": pa.list_(pa.string()),
        }
    )
    write_parquet(repository / "data" / "train-00000-of-00001.parquet", fill([], 30, rows, make), schema)


def _math500(repository: Path, rows: int | None) -> None:
    answers = ["\\left( 3, \\frac{\\pi}{2} \\right)", "p - q", "\\frac{14}{3}", "\\text{Evelyn}", "11\\sqrt2", "1,234"]

    def make(number: int) -> Row:
        return {
            "problem": problem("math500", number),
            "solution": "s",
            "answer": answers[number % len(answers)],
            "subject": "Algebra",
            "level": number % 5 + 1,
            "unique_id": f"test/algebra/{number}.json",
        }

    write_lines(repository / "test.jsonl", fill([], 500, rows, make))


def _amc23(repository: Path, rows: int | None) -> None:
    """Whole numbers are written ``27.0``."""
    real = local_rows("amc23")

    def make(number: int) -> Row:
        text = real[number] if number < len(real) else {"problem": problem("amc23", number), "answer": f"{number}.0"}
        return {"id": number, "question": text["problem"], "answer": text["answer"], "url": "https://example.org"}

    schema = pa.schema({"id": pa.int64(), "question": pa.string(), "answer": pa.string(), "url": pa.string()})
    write_parquet(repository / "test-00000-of-00001.parquet", fill([], 40, rows, make), schema)


def _minerva(repository: Path, rows: int | None) -> None:
    """Of the 272 answers 58 are like ``4.5e33``, one is a chemical formula, some are equations or intervals."""
    real = local_rows("minerva")
    answers = ["4.5e33", "1.6", "2.7e-19", "\\frac{1}{2}", "11_8", "m_{p}=1", "\\arcsin{1.3 \\sin{\\theta_w}}"]

    def make(number: int) -> Row:
        if number < len(real):
            box = real[number]["solution"].rsplit("\\boxed{", 1)[1]
            depth, end = 1, 0
            while depth:
                depth += {"{": 1, "}": -1}.get(box[end], 0)
                end += 1
            return {"question": real[number]["problem"], "answer": box[: end - 1]}
        return {"question": problem("minerva", number), "answer": answers[number % len(answers)]}

    write_lines(repository / "test.jsonl", fill([], 272, rows, make))


def _olympiad(repository: Path, rows: int | None) -> None:
    """674 of the evaluation suite's 675 (which one is missing was not seen); each answer a list of one text."""
    real = local_rows("olympiad")
    answers = ["$2^{3}$", "$(1,8,19), (2,7,13)$", "$[0, 1)$", "$\\frac{1}{2},-3$", "2"]

    def make(number: int) -> Row:
        text = {"problem": problem("olympiad", number), "answer": [answers[number % len(answers)]]}
        if number < len(real):
            text = real[number]
        return {
            "id": 1600 + number,
            "question": text["problem"],
            "solution": ["s"],
            "final_answer": text["answer"],
            "context": None,
            **{f"image_{place}": None for place in range(1, 6)},
            "modality": "Text-only",
            "difficulty": "Competition",
            "is_multiple_answer": "," in text["answer"][0],
            "unit": None,
            "answer_type": "Numerical",
            "error": None,
            "question_type": "Open-ended",
            "subfield": "Algebra",
            "subject": "Math",
            "language": "English",
        }

    lists = {name: pa.list_(pa.string()) for name in ("solution", "final_answer")}
    schema = pa.schema(
        {
            name: lists.get(name, pa.int64() if name == "id" else pa.bool_() if name.startswith("is_") else pa.string())
            for name in make(0)
        }
    )
    write_parquet(repository / "test.parquet", fill([], 674, rows, make), schema)


# --- vision-language benchmarks ---------------------------------------------------------------------------------------


def _mathvista(repository: Path, rows: int | None) -> None:
    """Choices are null for free answers; answers to choices are an option's text; decimals carry a precision."""

    def make(
        number: int,
        question: str,
        answer: str,
        kind: str,
        choices: list[str] | None = None,
        unit: str | None = None,
        precision: float | None = None,
    ) -> Row:
        return {
            "pid": str(number + 1),
            "question": question,
            "image": f"images/{number + 1}.jpg",
            "decoded_image": picture(number),
            "choices": choices,
            "unit": unit,
            "precision": precision,
            "answer": answer,
            "question_type": "multi_choice" if choices else "free_form",
            "answer_type": kind,
            "metadata": {"category": "general-vqa", "grade": "high school", "skills": ["arithmetic reasoning"]},
            "query": f"Hint: Please answer the question.\nQuestion: {question}",
        }

    awkward = [
        make(0, "How long is it?", "1.2", "float", unit="cm", precision=1.0),
        make(1, "Is the first bar higher?", "No", "text", ["Yes", "No"]),
        make(2, "Which years?", "[0, 7]", "list"),
        make(3, "How much is it?", "1.45", "float", unit="$", precision=2.0),
        make(4, "How many?", "4", "integer"),
        make(5, "Find the length of AC.", "8\\sqrt{3}", "text", ["4", "8\\sqrt{3}", "12"]),
    ]
    found = fill(awkward, 1_000, rows, lambda number: make(number, problem("mathvista", number), "4", "integer"))
    metadata = pa.struct({"category": pa.string(), "grade": pa.string(), "skills": pa.list_(pa.string())})
    columns = {name: pa.string() for name in found[0]}
    columns |= {"decoded_image": PICTURE, "choices": pa.list_(pa.string()), "precision": pa.float64()}
    schema = pa.schema({**columns, "metadata": metadata})
    write_parquet(repository / "data" / "testmini-00000-of-00001-725687bf7a18d64b.parquet", found, schema)
    for part in range(2):  # the test split has no answers, and must not be read
        unanswered = [{**row, "answer": ""} for row in found[:3]]
        write_parquet(repository / "data" / f"test-0000{part}-of-00002-{'ab'[part] * 16}.parquet", unanswered, schema)
    write_zip(repository / "images.zip", {"images/1.jpg": png(0)})


def _mathvision(repository: Path, rows: int | None) -> None:
    """One picture, composed of as many as the question has marks. From MATH-V's data/test.jsonl: of 3,040 rows 335 have
    two to eight marks in the question, 3 have one there and five in the options, 2 have none but in the options."""

    def make(number: int, question: str, options: list[str], answer: str) -> Row:
        return {
            "id": str(number + 1),
            "question": question,
            "options": options,
            "image": f"images/{number + 1}.jpg",
            "decoded_image": picture(number),
            "answer": answer,
            "solution": None if number % 4 else "s",
            "level": number % 5 + 1,
            "subject": "logic",
        }

    letters = ["A", "B", "C", "D", "E"]
    marks = [f"<image{number}>" for number in range(1, 9)]
    awkward = [
        make(0, "Which is next?\n<image1>", letters, "B"),
        make(1, f"Which cannot be cut out of the figure nearby?\n{marks[0]}\n{marks[1]}", letters, "E"),
        make(2, f"The ant {marks[0]} walks home {marks[1]}. Which does the ant {marks[0]} get to?", letters, "A"),
        make(3, f"Which graph shows the distance?\n{marks[0]}", marks[1:6], "B"),
        make(4, "Which could be her graph?", marks[:5], "A"),
        make(5, f"The sides look like this:\n{marks[1]}\nWhich side is opposite to {marks[2]}?", [], "C"),
        make(6, "What is the area of <image1>?", [], "12"),
        make(7, "In " + " and ".join(marks) + ", how many?", ["1", "2", "3", "4", "5"], "D"),
    ]

    def more(number: int) -> Row:
        tags = marks[: 2 if number < 339 else 1]
        answer, options = ("C", letters) if number % 2 else (str(number), [])
        return make(number, f"{problem('mathvision', number)}\n{' '.join(tags)}", options, answer)

    found = fill(awkward, 3_040, rows, more)
    columns: dict[str, Any] = {name: pa.string() for name in found[0]}
    columns |= {"options": pa.list_(pa.string()), "decoded_image": PICTURE, "level": pa.int64()}
    schema = pa.schema(columns)
    write_parquet(repository / "data" / "test-00000-of-00001-3532b8d3f1b4047a.parquet", found, schema)
    mini = repository / "data" / "testmini-00000-of-00001-f8ff70fcb2f29b1d.parquet"
    write_parquet(mini, found[:304], schema)
    write_zip(repository / "images.zip", {"images/1.jpg": png(0)})


MATHVERSE_VERSIONS = ("Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only")


def _mathverse(repository: Path, rows: int | None) -> None:
    """Every problem in five versions; in "Vision Only" the question stands in the picture and the column is empty."""

    def make(number: int) -> Row:
        index, place = divmod(number, 5)
        choice = index % 2 == 0
        question = f"{problem('mathverse', index)}" + ("\nChoices:\nA:40°\nB:60°\nC:120°\nD:140°" if choice else "")
        wanted = "the correct option letter, e.g., A, B, C, D" if choice else "the final value, e.g., 1, 2.5, 300"
        vision_only = place == 4
        # The benchmark's paper, its tables of prompts: with the question, and in "Vision Only" without it.
        asked = "" if vision_only else f"\nQuestion: {question}"
        begin = "According to the question shown in the image, please" if vision_only else "Please"
        return {
            "sample_index": str(number + 1),
            "problem_index": str(index + 1),
            "problem_version": MATHVERSE_VERSIONS[place],
            "question": "" if vision_only else question,
            "image": picture(index * 3 + max(0, place - 2)),
            "answer": "D" if choice else "14",
            "question_type": "multi-choice" if choice else "free-form",
            "metadata": {"split": "testmini", "source": "GeoQA", "subject": "Plane Geometry", "subfield": "Angle"},
            "query_wo": f"{begin} directly answer the question and provide {wanted}.{asked}",
            "query_cot": f"{begin} first conduct reasoning, and then answer the question and provide {wanted}, at the "
            f"end.{asked}",
            "question_for_eval": question,
        }

    found = fill([], 3_940, rows, make)
    columns: dict[str, Any] = {name: pa.string() for name in found[0]}
    columns |= {"image": PICTURE, "metadata": pa.struct({name: pa.string() for name in found[0]["metadata"]})}
    write_parquet(repository / "testmini.parquet", found, pa.schema(columns))
    text_only = [{**row, "problem_version": "Text Only", "image": ""} for row in found[::5]]
    write_parquet(repository / "testmini_text_only.parquet", text_only, pa.schema({**columns, "image": pa.string()}))
    write_zip(repository / "images.zip", {"images_version_1-4/image_1.png": png(0)})


EMMA_SUBJECTS = {"Chemistry": 1_176, "Coding": 564, "Math": 892, "Physics": 156}


def _emma(repository: Path, rows: int | None) -> None:
    """From its 400 published answers: context in 32 of 100 physics problems, options that are pictures (21 of 100 in
    chemistry, 25 in coding), pictures named twice (chem_115), lower-case letters, up to eight options, free answers
    with no options or null, ``Multiple choice`` beside ``Multiple Choice``."""

    def make(subject: str, number: int, question: str, options: list[str] | None, answer: str, images: int) -> Row:
        return {
            "pid": f"{subject[:4].lower()}_{number + 1}",
            "question": question,
            "options": options,
            "answer": answer,
            **{f"image_{place}": picture(number + place) if place <= images else None for place in range(1, 6)},
            "solution": "",
            "subject": subject,
            "task": "",
            "category": "Structure Recognition",
            "source": "Newly annotated",
            "type": "Multiple Choice" if options else "Open-ended",
            "context": "",
        }

    four = ["1", "2", "3", "4"]
    pictures = [f"<image_{place}>" for place in range(1, 6)]
    awkward = {
        "Chemistry": [
            make("Chemistry", 0, "D is <image_1>. L is <image_2>. <image_1> <image_2>", ["A", "B"], "a", 2),
            make("Chemistry", 1, "Which reacts with <image_1>?", pictures[1:], "c", 5),
            make("Chemistry", 2, "How many bonds has <image_1>?", [], "12", 1),
            # A picture that nothing names is not shown (EMMA's own prompt puts pictures where they are named).
            make("Chemistry", 3, "Which is <image_2>?", four, "H", 3),
        ],
        "Coding": [make("Coding", 0, "Which can this code draw?\nplt.show()", pictures[:4], "D", 4)],
        "Math": [
            make("Math", 0, "Look: <image_1> then <image_2>", four, "A", 2),
            make("Math", 1, "How many cubes?\n<image_1>", None, "35", 1),
            # Math_121 and Math_595: marks left from MATH-Vision, which EMMA's own prompt shows as they are.
            make("Math", 2, "In machine $R$ it is rotated. <image_1> In $S$, printed. <image2>", four, "B", 1),
        ],
        "Physics": [
            {
                **make("Physics", 0, "What is the maximum overhang?\n\n<image_1>", four, "C", 1),
                "context": "- Proton mass, $m_{p}=1.67 \\cdot 10^{-27} \\mathrm{~kg}$",
            }
        ],
    }
    for subject, count in EMMA_SUBJECTS.items():
        limit = None if rows is None else max(1, rows // 4)
        found = fill(
            awkward[subject],
            count,
            limit,
            lambda number, subject=subject: make(
                subject, number, f"{problem(subject, number)}\n<image_1>", four, "B", 1
            ),
        )
        columns: dict[str, Any] = {name: PICTURE if name.startswith("image_") else pa.string() for name in found[0]}
        schema = pa.schema({**columns, "options": pa.list_(pa.string())})
        write_parquet(repository / subject / "test-00000-of-00001.parquet", found, schema)


REPOSITORIES: dict[str, Callable[[Path, int | None], None]] = {
    "BytedTsinghua-SIA/DAPO-Math-17k": _dapo,
    "agentica-org/DeepScaleR-Preview-Dataset": _deepscaler,
    "JasperHaozhe/HICRA_RLDATA_Math": _hicra_math,
    "JasperHaozhe/HICRA_RLDATA_VL_ViRL7B": _hicra_vl,
    "TIGER-Lab/ViRL39K": _virl39k,
    "HuggingFaceH4/aime_2024": _aime24,
    "MathArena/aime_2025": _aime25,
    "HuggingFaceH4/MATH-500": _math500,
    "math-ai/amc23": _amc23,
    "math-ai/minervamath": _minerva,
    "math-ai/olympiadbench": _olympiad,
    "AI4Math/MathVista": _mathvista,
    "MathLLMs/MathVision": _mathvision,
    "AI4Math/MathVerse": _mathverse,
    "luckychao/EMMA": _emma,
}
