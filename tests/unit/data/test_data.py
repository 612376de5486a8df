"""Data: every known layout in its exact schema, awkward rows, repetitions, overlap with benchmarks, counts, changes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import DATA
from hub_repositories import REPOSITORIES, png, write_awkward_hub
from hub_repositories import verl_row as verl_format
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.data import readers
from hicra_verl.data.decontaminate import NEAR, NearIndex, tokens
from hicra_verl.data.files import read_rows
from hicra_verl.data.prepare import benchmark_texts, prepare, verl_row
from hicra_verl.data.problems import DataError, Problem
from hicra_verl.data.sources import SOURCES
from hicra_verl.data.vision import emma
from hicra_verl.errors import HicraError
from hicra_verl.evaluation.benchmarks import TITLES
from hicra_verl.grading import grade

VISION = {name for name, source in SOURCES.items() if source.kind == "vision"}
ON_THE_HUB = [name for name, source in SOURCES.items() if source.hub]
ROWS = 40


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repositories, with the first rows of each."""
    folder = tmp_path_factory.mktemp("hub")
    write_awkward_hub(folder, rows=ROWS)
    return folder / "datasets"


def made(name: str, hub: Path, output: Path, **options: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows that `prepare` writes for a data set, and its account."""
    source = SOURCES[name]
    template = "vision" if name in VISION else "qwen"
    prepare(name, source, hub / source.hub, output, template, options.pop("benchmarks", {}), any_count=True, **options)
    rows = pq.read_table(output / f"{name}.parquet").to_pylist()
    return rows, json.loads((output / f"{name}.json").read_text("utf-8"))


def prompt(row: dict[str, Any]) -> str:
    content: str = row["prompt"][0]["content"]
    ending = "\n\nPlease reason step by step, and put your final answer within \\boxed{}."
    assert content.endswith(ending)
    return content.removesuffix(ending)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_every_source_has_a_repository_and_every_benchmark_a_source() -> None:
    assert {SOURCES[name].hub for name in ON_THE_HUB} == set(REPOSITORIES)
    assert set(TITLES) == {name for name, source in SOURCES.items() if not source.training}
    assert all(TITLES.values())


# What the first row of each repository becomes: prompt, answer, kind.
FIRST = {
    "dapo_math_17k": ("What is the least $n$ with $x<5$?", "4", "math"),
    "deepscaler": ("What is the least $n$ with $x<5$?", "4", "math"),
    "hicra_math": (None, "0", "math"),
    "hicra_vl": (None, "0", "math"),
    "virl39k": ("<image>\nIs $x<5$?", "B", "choice"),
    "aime24": (None, None, "math"),
    "aime25": (None, "70", "math"),
    "math500": (None, "\\left( 3, \\frac{\\pi}{2} \\right)", "math"),
    "amc23": (None, None, "math"),
    "minerva": (None, None, "math"),
    "olympiad": (None, None, "math"),
    "mathvista": ("<image>How long is it? (Unit: cm)\nGive the answer to 1 decimal place.", "1.2", "number"),
    "mathvision": ("Which is next?\n<image>\nAnswer with the letter of the right choice.", "B", "choice"),
    "mathverse": (None, "D", "choice"),
    "emma": (
        "D is <image>. L is <image>. <image> <image>\nAnswer with the letter of the right choice.",
        "A",
        "choice",
    ),
}


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_the_hub_layout(name: str, hub: Path, tmp_path: Path) -> None:
    rows, account = made(name, hub, tmp_path)
    assert account["rows"] == account["problems"] + sum(account["left_out"].values())
    assert account["problems"] == len(rows)
    if not SOURCES[name].training:
        assert account["rows"] == len(rows) == min(ROWS, SOURCES[name].rows or ROWS)
    text, answer, kind = FIRST.get(name, (None, None, "math"))
    assert text is None or prompt(rows[0]) == text
    assert answer is None or rows[0]["reward_model"]["ground_truth"] == answer
    assert rows[0]["extra_info"]["answer_kind"] == kind
    for row in rows:
        assert prompt(row).count("<image>") == len(row.get("images") or [])
        assert all(image["bytes"].startswith(b"\x89PNG") for image in row.get("images") or [])
        assert not re.search(r"<image_?\d", prompt(row))
        assert row["reward_model"]["ground_truth"] not in ("", "None")
    assert ("images" in rows[0]) == (name in VISION)
    assert len({row["extra_info"]["uid"] for row in rows}) == len(rows)
    # Each input by its own name: four of EMMA's files are called alike.
    listing = [path.relative_to(hub / SOURCES[name].hub).as_posix() for path in (hub / SOURCES[name].hub).rglob("*.*")]
    assert sorted(account["inputs"]) == SOURCES[name].select(listing)
    assert len(account["output_sha256"]) == 64


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_a_changed_column_is_refused(name: str, hub: Path, tmp_path: Path) -> None:
    source = SOURCES[name]
    repository = hub / source.hub
    listing = [path.relative_to(repository).as_posix() for path in repository.rglob("*.*")]
    file = source.select(listing)[0]
    row = next(read_rows(repository / file)).data
    write(tmp_path / file, [{f"new_{column}": value for column, value in row.items()}])
    with pytest.raises(DataError, match=r"has the columns .* expected .*schema has changed"):
        prepare(name, source, tmp_path, tmp_path / "out", "qwen", {}, any_count=True)
    assert not (tmp_path / "out").exists()


# --- vision-language benchmarks ---------------------------------------------------------------------------------------


def test_mathvision_shows_its_one_picture_once_whatever_the_marks(hub: Path, tmp_path: Path) -> None:
    """335 of its 3,040 questions have two to eight marks, five have them in the options, for one picture each."""
    rows, _ = made("mathvision", hub, tmp_path)
    texts = [prompt(row) for row in rows]
    assert all(len(row["images"]) == text.count("<image>") == 1 for row, text in zip(rows, texts, strict=True))
    assert texts[1].startswith("<image>Which cannot be cut out of the figure nearby?\n(picture 1)\n(picture 2)\n")
    assert "The ant (picture 1) walks home (picture 2)." in texts[2]
    assert "(picture 1)\n(A) (picture 2)\n(B) (picture 3)" in texts[3]
    assert texts[4].startswith("<image>Which could be her graph?\n(A) (picture 1)")
    assert texts[6] == "What is the area of <image>?"
    assert "(A) 1\n(B) 2" in texts[7]
    assert rows[5]["reward_model"]["ground_truth"] == "C"


def test_mathverse_vision_only_is_asked_in_the_picture(hub: Path, tmp_path: Path) -> None:
    rows, _ = made("mathverse", hub, tmp_path)
    only = [row for row in rows if row["extra_info"]["version"] == "Vision Only"]
    assert len(only) == ROWS // 5
    assert prompt(only[0]) == (
        "<image>According to the question shown in the image, please first conduct reasoning, and then answer the "
        "question and provide the correct option letter, e.g., A, B, C, D, at the end."
    )
    assert only[0]["extra_info"]["options"] == ["40°", "60°", "120°", "140°"]
    assert only[1]["extra_info"]["answer_kind"] == "math"
    assert "Choices:\nA:40°" in prompt(rows[0])
    assert prompt(rows[0]).endswith("D:140°\nAnswer with the letter of the right choice.")


def test_emma_shows_pictures_where_it_names_them(hub: Path, tmp_path: Path) -> None:
    rows, _ = made("emma", hub, tmp_path)
    by_name = {row["extra_info"]["uid"]: row for row in rows}

    def pictures(name: str) -> list[bytes]:
        return [image["bytes"] for image in by_name[name]["images"]]

    # chem_115 names both of its pictures twice.
    assert pictures("emma-chem_1") == [png(1), png(2), png(1), png(2)]
    assert by_name["emma-chem_1"]["reward_model"]["ground_truth"] == "A"
    assert prompt(by_name["emma-chem_2"]) == (
        "Which reacts with <image>?\n(A) <image>\n(B) <image>\n(C) <image>\n(D) <image>\n"
        "Answer with the letter of the right choice."
    )
    assert pictures("emma-chem_2") == [png(1 + place) for place in range(1, 6)]
    assert prompt(by_name["emma-chem_3"]) == "How many bonds has <image>?"
    assert pictures("emma-chem_4") == [png(5)]
    assert prompt(by_name["emma-codi_1"]).count("<image>") == 4
    assert prompt(by_name["emma-math_3"]).startswith(
        "In machine $R$ it is rotated. <image> In $S$, printed. (picture 2)\n"
    )
    assert by_name["emma-math_2"]["extra_info"]["answer_kind"] == "math"
    assert prompt(by_name["emma-phys_1"]).startswith("- Proton mass, $m_{p}=1.67")
    assert "\n\nWhat is the maximum overhang?\n\n<image>\n(A) 1" in prompt(by_name["emma-phys_1"])


def test_emma_names_a_picture_that_it_does_not_have(hub: Path, tmp_path: Path) -> None:
    row = next(read_rows(hub / "luckychao/EMMA/Math/test-00000-of-00001.parquet")).data
    write(tmp_path / "Math" / "test-0.parquet", [row, {**row, "question": "See <image_5>."}])
    with pytest.raises(
        DataError, match=r"a whole, and 1 of its 2 rows .*row 2: image missing \(<image_5> is named.*--any-count"
    ):
        prepare("emma", _any_number("emma"), tmp_path, tmp_path / "out", "vision", {})
    assert not list((tmp_path / "out").iterdir())
    unmarked = emma({**row, "question": "What is it?", "options": []})
    assert len(unmarked.images) == 2


def test_mathvista_asks_as_it_grades(hub: Path, tmp_path: Path) -> None:
    rows, _ = made("mathvista", hub, tmp_path)
    assert prompt(rows[1]).endswith("(A) Yes\n(B) No\nAnswer with the letter of the right choice.")
    assert prompt(rows[2]) == "<image>Which years?\nGive the answer as a list, like [1, 2, 3]."
    assert prompt(rows[3]) == "<image>How much is it? (Unit: $)\nGive the answer to 2 decimal places."
    for row, right, wrong in ((rows[1], "B", "A"), (rows[3], "1.45", "1.46"), (rows[5], "B", "C")):
        extra = row["extra_info"]
        for given, correct in ((right, True), (wrong, False)):
            result = grade(
                f"\\boxed{{{given}}}",
                row["reward_model"]["ground_truth"],
                kind=extra["answer_kind"],
                options=extra["options"],
            )
            assert result.correct is correct


def test_virl_images_come_from_the_archive(hub: Path, tmp_path: Path) -> None:
    rows, account = made("virl39k", hub, tmp_path)
    assert prompt(rows[2]) == "<image>What is the area?"  # its question has no mark
    assert [image["bytes"] for image in rows[3]["images"]] == [png(1), png(2)]
    # Three times the same question of the same picture, once with another answer; a fourth of another picture.
    assert account["left_out"] == {"repeated": 1, "repeated with another answer": 1}
    assert account["examples"]["repeated with another answer"] == ["39Krelease.parquet, row 7: 14, and 13 before"]


def test_the_archive_may_be_a_link_within_the_hubs_cache(hub: Path, tmp_path: Path) -> None:
    source, repository = SOURCES["virl39k"], tmp_path / "datasets--TIGER-Lab--ViRL39K"
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for number, name in enumerate(("39Krelease.parquet", "images.zip")):
        (repository / "blobs" / str(number)).write_bytes((hub / source.hub / name).read_bytes())
        (snapshot / name).symlink_to(f"../../blobs/{number}")
    account = prepare("virl39k", source, snapshot, tmp_path / "out", "vision", {}, any_count=True)
    assert account.problems > 0
    assert "image outside the data set's folder" not in account.left_out


def test_a_missing_image_and_a_mark_too_many_are_counted(hub: Path, tmp_path: Path) -> None:
    repository = hub / SOURCES["virl39k"].hub
    row = next(read_rows(repository / "39Krelease.parquet")).data
    write(
        tmp_path / "39Krelease.parquet",
        [
            row,
            {**row, "question": "<image> <image> Two?"},
            {**row, "image": ["images/absent.png"]},
            {**row, "answer": ""},
            {**row, "question": ""},
        ],
    )
    (tmp_path / "images.zip").write_bytes((repository / "images.zip").read_bytes())
    account = prepare("virl39k", SOURCES["virl39k"], tmp_path, tmp_path / "out", "vision", {}, any_count=True)
    assert account.left_out == {"image marks unlike images": 1, "image missing": 1, "no answer": 1, "no problem": 1}
    assert account.examples["image missing"] == [
        "39Krelease.parquet, row 3: image missing (images/absent.png is neither beside the file nor in images.zip)"
    ]


def test_a_template_without_a_place_for_images_is_refused(hub: Path, tmp_path: Path) -> None:
    source = SOURCES["mathvista"]
    with pytest.raises(DataError, match=r"0 <image> in the prompt for 1 images; --template vision .*row 1\)"):
        prepare("mathvista", source, hub / source.hub, tmp_path / "out", "qwen", {}, any_count=True)
    with pytest.raises(DataError, match=r"2 <image> in the prompt for 0 images"):
        verl_row(Problem("<image> and <image>", "1"), "x", 0, "vision", False)


# --- training data ----------------------------------------------------------------------------------------------------


def _any_number(name: str) -> Any:
    from dataclasses import replace

    return replace(SOURCES[name], rows=None)


def test_an_operator_makes_another_problem(hub: Path, tmp_path: Path) -> None:
    rows, account = made("deepscaler", hub, tmp_path)
    problems = [row["extra_info"]["problem"] for row in rows]
    assert problems[:4] == [
        "What is the least $n$ with $x<5$?",
        "What is the least $n$ with $x>5$?",
        "Find $17+25$.",
        "Find $17-25$.",
    ]
    assert account["left_out"] == {"repeated": 1, "no answer": 6}


def test_dapo_repeats_every_problem_and_contradicts_itself(hub: Path, tmp_path: Path) -> None:
    rows, account = made("dapo_math_17k", hub, tmp_path)
    # Twenty rows twice; of the twenty one repeats another but for white space, one has another answer.
    assert account["rows"] == 40
    assert account["left_out"] == {"repeated": 20, "repeated with another answer": 2}
    assert len(rows) == 18
    assert all("Solve the following" not in prompt(row) and "Remember" not in prompt(row) for row in rows)


def test_repetitions_and_benchmarks_are_left_out(tmp_path: Path) -> None:
    problems = {
        "What is $1+1$?": "2",
        "What  is\n$1+1$? ": "3",
        "what is $1 + 1$?": "2",
        "Find the sum of all integer bases b > 9 for which 17 is a divisor of 97": "70",
        "Nothing like it at all, in other words entirely": "1",
        "Find $12-25$.": "-13",
        "No answer": "",
    }
    write(
        tmp_path / "deepscaler.json",
        [{"problem": problem, "answer": answer, "solution": ""} for problem, answer in problems.items()],
    )
    benchmarks = {
        "aime25": ["Find the sum of all integer bases $b>9$ for which $17$ is a divisor of $97$."],
        "amc23": ["Find $12+25$."],
    }
    rows, account = made_from(tmp_path, benchmarks)
    assert [row["extra_info"]["problem"] for row in rows] == [
        "What is $1+1$?",
        "what is $1 + 1$?",
        "Nothing like it at all, in other words entirely",
        "Find $12-25$.",
    ]
    assert account["left_out"] == {"repeated with another answer": 1, "in a benchmark": 1, "no answer": 1}
    (left_out,) = account["in_a_benchmark"]
    assert (left_out["benchmark"], left_out["similarity"]) == ("aime25", 1.0)
    assert account["examples"]["no answer"] == ["deepscaler.json, row 7: no answer"]
    assert account["cleared_of"] == ["aime25", "amc23"]


def made_from(folder: Path, benchmarks: dict[str, list[str]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    prepare("deepscaler", SOURCES["deepscaler"], folder, folder / "out", "qwen", benchmarks, any_count=True)
    rows = pq.read_table(folder / "out" / "deepscaler.parquet").to_pylist()
    return rows, json.loads((folder / "out" / "deepscaler.json").read_text())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is $x$ if $x<5$?", "What is $x$ if $x>5$?", False),
        ("Find $17+25$.", "Find $17-25$.", False),
        ("17+25", "17-25", False),
        ("Solve $x^2=3.5$.", "Solve $x^2=35$.", False),
        ("Is it in $[0,1)$?", "Is it in $(0,1)$?", False),
        ("Find $17+25$.", "find \\(17 + 25\\)", True),
        # Of a long text, one sign in another copy is a slip of the copy: what may be a benchmark's is left out.
        (
            "Every morning Aya goes for a $9$-kilometer-long walk and stops at a coffee shop for $t<5$ minutes.",
            "Every morning Aya goes for a $9$-kilometer-long walk and stops at a coffee shop for $t>5$ minutes.",
            True,
        ),
    ],
)
def test_what_counts_as_near(one: str, other: str, same: bool) -> None:
    found = NearIndex([one]).nearest(other)
    assert (found is not None and found[0] >= NEAR) is same


def test_marks_and_our_own_words_do_not_make_problems_alike(hub: Path, tmp_path: Path) -> None:
    made("mathvision", hub, tmp_path)
    texts = benchmark_texts(tmp_path, ["mathvision", "aime24"])
    assert list(texts) == ["mathvision"]
    assert texts["mathvision"][0] == "Which is next?\n<image>"
    index = NearIndex(texts["mathvision"])
    assert index.nearest("<image>\nWhich is next?") == (1.0, 0)
    assert index.nearest("<image> Answer with the letter of the right choice.") is None


@pytest.mark.parametrize("asked", ["Let's think step by step and output the final answer within \\boxed{}.", ""])
def test_instructions_around_a_problem_in_verls_format_are_taken_off(asked: str) -> None:
    row = verl_format(f"Find $x$.\nPlease reason well. {asked}", "1", 0)
    assert readers.verl(row).text == "Find $x$.\nPlease reason well."


def test_near_overlap_against_a_slow_reference() -> None:
    texts = ["a b c d e f", "a b c x e f", "p < q > r", "a b", ""]
    index = NearIndex(texts)
    for text in [*texts, "a b c d e", "p < q < r", "zzz"]:

        def triples(value: str) -> set[tuple[str, ...]]:
            words = tokens(value)
            return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}

        wanted = max(len(triples(text) & triples(other)) / len(triples(text) | triples(other)) for other in texts)
        found = index.nearest(text)
        assert (0.0 if found is None else found[0]) == pytest.approx(wanted)


# --- counts and files -------------------------------------------------------------------------------------------------


def test_the_published_count_is_of_rows(hub: Path, tmp_path: Path) -> None:
    """DeepScaleR's 40,315 are its rows, six of which have no answer: the whole file is taken, another one refused."""
    source = SOURCES["deepscaler"]
    with pytest.raises(DataError, match=r"40 rows in deepscaler\.json, but 40,315 were published.*--any-count"):
        prepare("deepscaler", source, hub / source.hub, tmp_path, "qwen", {})
    assert not list(tmp_path.iterdir())
    rows = json.loads((hub / source.hub / "deepscaler.json").read_text())
    rows += [{"problem": f"What is {number}?", "answer": "1", "solution": ""} for number in range(40_315 - len(rows))]
    write(tmp_path / "deepscaler.json", rows)
    account = prepare("deepscaler", source, tmp_path, tmp_path / "out", "qwen", {})
    assert (account.rows, account.problems) == (40_315, 40_308)


def test_a_benchmark_counts_as_a_whole(tmp_path: Path) -> None:
    rows = [{"problem": f"P{number}", "answer": "1", "unique_id": f"{number}"} for number in range(500)]
    write(tmp_path / "test.jsonl", [*rows[:-1], {**rows[-1], "answer": None}])
    with pytest.raises(DataError, match=r"1 of its 500 rows cannot be used \(test.jsonl, row 500: no answer, 1 such"):
        prepare("math500", SOURCES["math500"], tmp_path, tmp_path / "out", "qwen", {})


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("x.jsonl", b'{"a": 1}\n{"a"', "line 2: column 5: not valid JSON"),
        ("x.jsonl", b'{"a": "\xff"}\n', "line 1: byte 0xff at position 7 is not valid UTF-8"),
        ("x.parquet", b"PAR1", "not a readable Parquet file"),
        ("x.json", b"[{", "not readable JSON"),
        ("x.csv", b"a,b", "expected a .parquet, .jsonl or .json file"),
    ],
)
def test_unreadable_files(file: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(HicraError, match=message):
        list(read_rows(tmp_path / file))


def test_the_command_on_local_files(tmp_path: Path) -> None:
    folder = DATA / "benchmarks"
    if not folder.exists():
        pytest.skip(f"benchmark files absent: {folder}")
    words = ["data", "aime24", "amc23", "minerva", "olympiad", "--from", str(folder), "-o", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    for name, count in {"aime24": 30, "amc23": 40, "minerva": 272, "olympiad": 675}.items():
        assert f"{count} problems of {count} rows" in done.output.replace("\n", " ")
        assert pq.read_table(tmp_path / "qwen" / f"{name}.parquet").num_rows == count
    golds = [
        row["reward_model"]["ground_truth"] for row in pq.read_table(tmp_path / "qwen/minerva.parquet").to_pylist()
    ]
    # As published: what they mean is for grading.
    assert sum(bool(re.fullmatch(r"-?\d+(\.\d+)?e-?\d+", gold)) for gold in golds) == 58
    assert "4.5e33" in golds


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "amc32"], "did you mean 'amc23'?"),
        (["data", "chek"], "did you mean 'check'?"),
        (["data", "check", "amc32"], "did you mean 'amc23'?"),
        (["data", "check", "--from", "/absent"], "`hicra data check` asks the hub"),
        (["data", "aime24", "--template", "quen"], "did you mean 'qwen'?"),
        (["data", "aime24", "--from", "/absent"], "no such folder or file"),
        (["data", "aime24", "aime25", "--revision", "main"], "for which of aime24, aime25? Give NAME=main"),
        (["data", "aime24", "--revision", "aime25=main"], "aime25 is not among aime24"),
    ],
)
def test_wrong_words(words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert message in done.output.replace("\n", " ")


def test_the_list() -> None:
    done = CliRunner().invoke(app, ["data"])
    assert done.exit_code == 0
    assert all(name in done.output for name in SOURCES)
