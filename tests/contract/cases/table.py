"""`hicra table`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import Case
from made_up_evaluations import figures, lines, result, sample

EVIL = "<script>alert(1)</script>\\input{/etc/passwd}|$x$&[a](b)\x1b[31m"
DEEP = "[" * 100_000 + "]" * 100_000


def inert(*forbidden: str) -> Callable[[Path, str], None]:
    """None of these is in what is printed."""

    def check(folder: Path, printed: str) -> None:
        for text in forbidden:
            assert text not in printed
        assert "alert(1)" in printed

    return check


def no_control(folder: Path, printed: str) -> None:
    """Nothing steers the terminal."""
    assert "\x1b" not in printed
    assert "\x07" not in printed


def summaries() -> list[Case]:
    def case(name: str, content: str, *says: str) -> Case:
        files = {**result(), "r/summary.json": content}
        return Case(f"a summary {name}", ["table", "r"], ("r/summary.json", *says), files, kept=("r/settings.json",))

    def spoilt(name: str, **change: Any) -> Case:
        content = json.dumps({"benchmarks": {"amc23": figures(**change)}})
        return case(f"whose {name}", content, "field 'amc23'", "run the evaluation's command again")

    return [
        case("cut off", '{"benchmarks": {"amc', "not readable JSON", "run the evaluation's command again"),
        case("that is empty", "", "not readable JSON"),
        case("that is a list", "[1]", "expected a JSON object, got a list"),
        case("nested deep", DEEP, "nested too deep"),
        case("with a number of 9,000 digits", '{"benchmarks": ' + "9" * 9000 + "}", "not readable JSON"),
        case("in UTF-16", '{"benchmarks": {"amc23": \udc00}}', "not readable JSON"),
        case("without benchmarks", "{}", "field 'benchmarks'"),
        case("whose benchmarks are a list", '{"benchmarks": [1]}', "field 'benchmarks'"),
        case("whose benchmark is a number", '{"benchmarks": {"amc23": 3}}', "field 'amc23'"),
        spoilt("score is null", **{"pass@1": None}),
        spoilt("score is a text", **{"pass@1": "0.5"}),
        spoilt("score is true", **{"pass@1": True}),
        spoilt("score is NaN", **{"pass@1": float("nan")}),
        spoilt("score is infinite", **{"pass@1": float("inf")}),
        spoilt("score is above one", **{"pass@1": 73.1}),
        spoilt("interval is one number", **{"pass@1_interval": 0.5}),
        spoilt("interval has three", **{"pass@1_interval": [0.1, 0.2, 0.3]}),
        spoilt("interval is of texts", **{"pass@1_interval": ["0", "1"]}),
        spoilt("problems are none", problems=0),
        spoilt("problems are a huge number", problems=10**400),
        spoilt("problems are a fraction", problems=1.5),
        spoilt("grades are a list", grades=[]),
        spoilt("refused grades are a text", grades={"refused": "3"}),
        spoilt("problems are listed as one", per_problem=[1]),
        spoilt("problem has no samples", per_problem={"amc23-0": [0, 0]}),
        spoilt("problem has more right than samples", per_problem={"amc23-0": [1, 2]}),
        spoilt("problem is a text", per_problem={"amc23-0": "11"}),
        spoilt("list lacks a problem", problems=2),
    ]


def settings() -> list[Case]:
    def case(name: str, content: str, *says: str) -> Case:
        files = {**result(), "r/settings.json": content}
        return Case(f"settings {name}", ["table", "r"], ("r/settings.json", *says), files, kept=("r/summary.json",))

    def spoilt(name: str, value: Any) -> Case:
        files = result(settings={name: value})
        says = ("r/settings.json", f"field {name!r}", "restore it")
        return Case(f"settings with {name} {str(value)[:20]!r}", ["table", "r"], says, files)

    return [
        case("cut off", '{"model": "m", ', "not readable JSON"),
        case("empty", "", "not readable JSON"),
        case("nested deep", DEEP, "nested too deep"),
        case("without a model", "{}", "field 'model'"),
        spoilt("model", 3),
        spoilt("model", ["m"]),
        spoilt("seed", "0"),
        spoilt("seed", 10**30),
        spoilt("seed", True),
        spoilt("row", ["x"]),
        spoilt("sampling", "hot"),
        spoilt("limit", "3"),
    ]


def samples() -> list[Case]:
    def case(name: str, content: str, *says: str, **more: Any) -> Case:
        return Case(f"samples {name}", ["table", "r"], says, result(samples=content), **more)

    right, wrong = lines(sample()), lines(sample(correct=False))
    refused = lines(sample(finish_reason="refused", correct=False))
    unlike, wide = "something else of amc23 than the samples", {"COLUMNS": "300"}
    return [
        case("taken twice", right + right, "r/samples/amc23.jsonl, line 2", "is there twice"),
        case("of two evaluations at once", right + wrong, "did two evaluations write here at once?"),
        case("that were wrong", wrong, "r/summary.json", unlike),
        case("of further problems", right + lines(sample("amc23-1")), unlike),
        case("whose last line is cut off", right[:-9], "line 1", "cut off"),
        case("that are gone", "", "holds no rows"),
        case("with a text for true", lines(sample(**{"correct": "false"})), "not a sample (correct)"),
        case("with tokens of 400 digits", lines(sample(tokens=10**400)), "line 1", "not a sample (tokens)"),
        case("with a negative number of tokens", lines(sample(tokens=-7)), "line 1", "not a sample (tokens)"),
        case("with a grade that is none", lines(sample(grade="superb")), "line 1", "not a sample (grade)"),
        case("that agree", right, "100.0 [100.0,", code=0, env=wide),
        case("taken again after a refusal", refused + right, "100.0 [100.0,", code=0, env=wide),
    ]


def outputs() -> list[Case]:
    def case(name: str, path: str, *says: str, **more: Any) -> Case:
        words = ["table", "r", "--format", "html", "-o", path]
        return Case(f"the output {name}", words, says, {**result(), **more.pop("files", {})}, **more)

    def circle(folder: Path) -> None:
        (folder / "t.html").symlink_to("t.html")

    old = {"t.html": "the old table"}
    return [
        case("is a folder", "r", "is a folder, expected a file"),
        case(
            "is one of its samples",
            "r/samples/amc23.jsonl",
            "would replace the input",
            files={"r/samples/amc23.jsonl": lines(sample())},
            kept=("r/samples/amc23.jsonl",),
        ),
        case("is its summary", "r/summary.json", "would replace the input", kept=("r/summary.json",)),
        case("is its settings", "./r/settings.json", "would replace the input", kept=("r/settings.json",)),
        case("is in a missing folder", "no/t.html", "its folder does not exist", "mkdir -p"),
        case("is in a file", "r/summary.json/t.html", "r/summary.json"),
        case("is where nothing can be made", "/proc/t.html", "/proc/t.html"),
        case("is a full device", "/dev/full", "/dev/full", "cannot be written"),
        case("is a circle of links", "t.html", "t.html", prepare=circle),
        case("has no room", "t.html", "cannot be written", "what was there before", file_limit=900, absent=("t.html",)),
        case("has no room beside an old one", "t.html", "t.html", files=old, kept=("t.html",), file_limit=900),
        case("has too long a name", "x" * 300, "cannot be written"),
    ]


CASES = [
    *summaries(),
    *settings(),
    *samples(),
    *outputs(),
    Case("no such folder", ["table", "absent"], ("absent", "holds no finished evaluation"), {}),
    Case("a file", ["table", "x"], ("x", "holds no finished evaluation"), {"x": "x"}),
    Case("no summary yet", ["table", "r"], ("summary.json absent",), {"r/settings.json": "{}"}),
    Case("a folder twice", ["table", "r", "r"], ("both hold amc23 of m with seed 0",), result()),
    Case("a folder under two names", ["table", "r", "./r/../r"], ("both hold amc23",), result()),
    Case("two runs of one model and seed", ["table", "r", "s"], ("give one of the two",), {**result(), **result("s")}),
    Case(
        "two runs of one row that differ in sampling",
        ["table", "r", "s"],
        ("but samples is",),
        {**result(settings={"row": "new"}), **result("s", settings={"row": "new", "seed": 1, "samples": 4})},
    ),
    Case("a format that is none", ["table", "--format", "htlm"], ("did you mean 'html'?",)),
    Case("a file of text", ["table", "-o", "t"], ("--output needs --format",), absent=("t",)),
    Case(
        "markup in names, as HTML",
        ["table", "r", "--format", "html"],
        ("&lt;script&gt;",),
        result(settings={"model": EVIL}, benchmarks={EVIL: figures()}),
        code=0,
        after=inert("<script>", "\x1b"),
    ),
    Case(
        "commands in names, as LaTeX",
        ["table", "r", "--format", "latex"],
        ("\\textbackslash{}input\\{/etc/passwd\\}", "\\$x\\$\\&"),
        result(settings={"model": EVIL}, benchmarks={EVIL: figures()}),
        code=0,
        after=inert("\\input", "\x1b"),
    ),
    Case(
        "markup in names, as Markdown",
        ["table", "r", "--format", "markdown"],
        ("\\<script>", "\\|", "]\\("),
        result(settings={"model": EVIL}, benchmarks={EVIL: figures()}),
        code=0,
        after=inert("](", "\x1b"),
    ),
    Case(
        "colours in names, on a terminal",
        ["table", "r"],
        (),
        result(settings={"model": "a\x1b[31mb"}, benchmarks={"x\x1b]0;y\x07": figures()}),
        code=0,
        after=no_control,
    ),
    Case(
        "half a character in a name",
        ["table", "r", "--format", "html", "-o", "t.html"],
        (),
        result(settings={"model": "a\ud800b"}, benchmarks={"x\u2028y": figures()}),
        code=0,
    ),
    Case(
        "a name that begins with a bracket, as LaTeX",
        ["table", "r", "--format", "latex"],
        ("{}[3cm]",),
        result(settings={"model": "[3cm]"}, benchmarks={"x": figures()}),
        code=0,
    ),
]
