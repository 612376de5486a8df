"""`hicra errors`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bad_input import Case
from bad_server import endpoint_cases, url
from made_up_runs import make_run

from hicra_verl.analysis.errors import key_of
from hicra_verl.analysis.failures import load_failures


def rows(*changes: dict[str, Any]) -> str:
    whole = {"problem": "2 + 2?", "response": "5", "correct": False, "ground_truth": "4"}
    return "".join(json.dumps({**whole, **change}) + "\n" for change in changes)


FILES: dict[str, Any] = {"r.jsonl": rows({}, {"response": "6"}, {"response": "REFUSE ME"})}
WORDS = ["errors", "r.jsonl", "--judge", "j"]
GOOD = [*WORDS, "--base-url", url("good")]


def counted(failures: int, unknown: int = 0) -> Any:
    def check(folder: Path, printed: str) -> None:
        text = (folder / "errors" / "errors.json").read_text()
        assert "NaN" not in text  # which is no JSON
        (row,) = json.loads(text)["judges"]["j #1"]
        assert (row["failures"], row["?"]) == (failures, unknown)

    return check


def bad_row(name: str, change: dict[str, Any], *says: str) -> Case:
    return Case(f"a row: {name}", GOOD, ("r.jsonl, line 2", *says), {"r.jsonl": rows({}, change)}, absent=("errors",))


def a_file(name: str, content: Any, *says: str, path: str = "r.jsonl") -> Case:
    return Case(name, ["errors", path, *GOOD[2:]], says, {path: content}, absent=("errors",))


def unclear_before(folder: Path) -> None:
    failures = load_failures(str(folder / "r.jsonl"), None, 200).sample
    (folder / "errors").mkdir()
    lines = [json.dumps({"model": "j", "key": key_of(one, "j", 0), "text": "Well."}) + "\n" for one in failures]
    (folder / "errors" / "answers.jsonl").write_text("".join(lines))


CASES = [
    *endpoint_cases(WORDS, FILES, ["choices-null", "content-list", "no-json", "endless", "later", "echo"]),
    Case("usage is null", [*WORDS, "--base-url", url("usage-null")], (), FILES, code=0, after=counted(3)),
    Case(
        "answers without a letter",
        [*WORDS, "--base-url", url("unclear")],
        ('no letter in 3 answers, counted under "?"; the same command asks for them again',),
        FILES,
        code=0,
        after=counted(3, 3),
    ),
    Case(
        "answers in the cache without a letter are asked for again",
        GOOD,
        (),
        FILES,
        prepare=unclear_before,
        code=0,
        after=counted(3),
    ),
    Case(
        "one question that is always refused",
        [*WORDS, "--base-url", url("one-refused")],
        ("1 questions were refused", 'they are counted under "?"'),
        FILES,
        after=counted(3, 1),
    ),
    bad_row("'correct' is the text false", {"correct": "false"}, "field 'correct'", 'got "false"'),
    bad_row("'correct' is null", {"correct": None}, "field 'correct'", "got null"),
    bad_row("'correct' is NaN", {"correct": float("nan")}, "field 'correct'", "expected true, false or a number"),
    bad_row("a number beyond all", {"correct": 10**400}, "field 'correct'", "a huge number"),
    bad_row("no problem", {"problem": None}, "field 'problem'", "expected text, got null"),
    bad_row("a response that is a list", {"response": ["5"]}, "field 'response'", "a list"),
    bad_row("half of a character", {"response": "\ud83d"}, "field 'response'", "half of a character"),
    bad_row("half of a character in a reference", {"ground_truth": "\ud83d"}, "half of a character"),
    Case(
        "a reference that is a list",
        GOOD,
        (),
        {"r.jsonl": rows({"ground_truth": ["4", 4]})},
        code=0,
        after=counted(1),
    ),
    Case("lines end at U+2028 and U+0085, too", GOOD, (), {"r.jsonl": rows({"response": "a\u2028b\u0085c"})}, code=0),
    a_file("neither correct nor score", '{"problem": "p", "response": "r"}\n', "line 1", "'correct' or 'score'"),
    a_file("nothing failed", rows({"correct": True}), "holds no failed response"),
    a_file("an empty file", "", "holds no rows"),
    a_file("no JSON", rows({}) + "{x\n", "r.jsonl, line 2", "not valid JSON"),
    a_file("cut off", rows({}) + '{"problem"', "was the file cut off?"),
    a_file("nested too deep", '{"problem": ' + "[" * 100_000 + "\n", "line 1", "nested too deep"),
    a_file("UTF-16", rows({}).encode("utf-16"), "line 1", "not valid UTF-8", "save the file as UTF-8"),
    a_file("Latin-1", '{"problem": "é"}\n'.encode("latin-1"), "line 1", "not valid UTF-8"),
    a_file("a Parquet file that is none", b"PAR1 no", "not a readable Parquet file", path="r.parquet"),
    a_file("an empty Parquet file", b"", "r.parquet", path="r.parquet"),
    Case("no such run", ["errors", "absent", *GOOD[2:]], ("absent",), absent=("errors",)),
    Case("--steps with a square", [*GOOD, "--steps", "1,²"], ("--steps 1,²: expected numbers",), FILES),
    Case("--steps beyond 64 bits", [*GOOD, "--steps", "9" * 30], ("expected numbers",), FILES),
    Case("--steps of nothing", [*GOOD, "--steps", ""], ("expected numbers",), FILES),
    Case(
        "--steps that the run lacks", [*GOOD, "--steps", "77"], ("holds no failed response of the steps [77]",), FILES
    ),
    Case("--of a file", [*GOOD, "--of", "training"], ("--of training: r.jsonl is a file, not a run",), FILES),
    Case("--of what is none", [*GOOD, "--of", "test"], ("--of",), FILES),
    Case(
        "solutions that are none",
        [*GOOD, "--solutions", "r.jsonl"],
        ("r.jsonl: holds no solutions", "`hicra data`"),
        FILES,
        absent=("errors",),
    ),
    Case("solutions that are absent", [*GOOD, "--solutions", "no.parquet"], ("no.parquet",), FILES, absent=("errors",)),
    Case("--repeats 0", [*GOOD, "--repeats", "0"], ("--repeats",), FILES),
    Case("--repeats 10^9", [*GOOD, "--repeats", "1000000000"], ("--repeats",), FILES),
    Case("--per-step 0", [*GOOD, "--per-step", "0"], ("--per-step",), FILES),
    Case("--per-step -1", [*GOOD, "--per-step", "-1"], ("--per-step",), FILES),
    Case("one judge twice", [*GOOD, "--judge", "j"], ("--judge j is given twice", "--repeats"), FILES),
    Case("-o is a file", [*GOOD, "-o", "r.jsonl"], ("is a file, expected a folder",), FILES, kept=("r.jsonl",)),
    Case("-o under a file", [*GOOD, "-o", "r.jsonl/out"], ("r.jsonl/out",), FILES, kept=("r.jsonl",)),
    Case("-o under /proc", [*GOOD, "-o", "/proc/out"], ("/proc/out",), FILES),
    Case(
        "-o in a circle of links",
        [*GOOD, "-o", "a/b"],
        ("a",),
        FILES,
        prepare=lambda folder: (folder / "a").symlink_to("a"),
    ),
    Case(
        "no room for an answer",
        GOOD,
        ("answers.jsonl: cannot be written", "the same command goes on"),
        {**FILES, "errors/answers.jsonl": json.dumps({"model": "j", "key": "k", "text": "x" * 3000}) + "\n"},
        file_limit=3050,
        absent=("errors/errors.json",),
    ),
    Case(
        "the cache: no JSON",
        GOOD,
        ("errors/answers.jsonl, line 1", "remove the line"),
        {**FILES, "errors/answers.jsonl": "{what\n"},
        kept=("errors/answers.jsonl",),
    ),
    Case(
        "the cache: a bad answer is asked for again",
        GOOD,
        (),
        {**FILES, "errors/answers.jsonl": '{"key": "k", "text": 7}\n'},
        code=0,
        after=counted(3),
    ),
    Case(
        "a run with nothing failed",
        ["errors", "run", *GOOD[2:], "--steps", "6"],
        ("holds no failed response to held-out problems of the steps [6]", "--of training"),
        prepare=lambda folder: _make_run(folder / "run"),
    ),
]


def _make_run(folder: Path) -> None:
    make_run(folder)
