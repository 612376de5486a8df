"""`hicra annotate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bad_input import Case
from bad_server import endpoint_cases, url


def gram_set(*texts: str, name: str = "c") -> str:
    grams = [{"text": text, "function": "other", "source": ""} for text in texts]
    return json.dumps({"schema_version": 1, "name": name, "description": "", "provenance": {}, "grams": grams})


FILES: dict[str, Any] = {"c.json": gram_set("we can see", "let us try", "REFUSE ME please")}
OUT = ["-o", "out.json"]
WORDS = ["annotate", "c.json", "--model", "m", "--batch", "1"]
GOOD = [*WORDS, "--base-url", url("good")]
QUICK = ["--timeout-s", "1"]


def made(count: int) -> Any:
    def check(folder: Path, printed: str) -> None:
        assert len(json.loads((folder / "out.json").read_text())["grams"]) == count

    return check


def as_text(folder: Path, printed: str) -> None:
    lines = (folder / "out.tsv").read_text().splitlines()
    assert [line.split("\t")[3] for line in lines[1:]] == ["'=1+1"] * 2
    assert [line.split("\t")[0] for line in lines[1:]] == ["'=cmd is used", "'-we can see"]


def cached(text: Any, **more: Any) -> str:
    return json.dumps({"model": "m", "key": "k", "text": text, **more}) + "\n"


CASES = [
    *endpoint_cases([*WORDS, *OUT], FILES),
    Case("usage is null", [*WORDS, *OUT, "--base-url", url("usage-null")], (), FILES, code=0, after=made(3)),
    Case("usage is text", [*WORDS, *OUT, "--base-url", url("usage-text")], (), FILES, code=0, after=made(3)),
    Case("half of a character", [*WORDS, *OUT, "--base-url", url("half-characters")], (), FILES, code=0, after=made(3)),
    Case("half of a character in a reason", [*WORDS, *OUT, "--base-url", url("half-reason")], (), FILES, code=0),
    Case(
        "answers without text are not kept",
        [*WORDS, *OUT, "--base-url", url("content-null")],
        ("no usable answer about 3", "nothing is accepted"),
        FILES,
        after=lambda folder, printed: _equal((folder / "out.json.answers.jsonl").read_bytes(), b""),
    ),
    Case(
        "one question that is always refused",
        [*WORDS, *OUT, "--base-url", url("one-refused")],
        ("1 questions were refused (the first: answers 400: this prompt is [31mtoo long)", "all others are judged"),
        FILES,
        after=made(2),
    ),
    Case(
        "every question is refused",
        [*WORDS, *OUT, "--base-url", url("refused")],
        ("3 questions were refused",),
        FILES,
        absent=("out.json",),
    ),
    Case(
        "no server",
        [*WORDS, *OUT, "--base-url", "http://127.0.0.1:9/v1", "--timeout-s", "0.1"],
        ("127.0.0.1:9",),
        FILES,
    ),
    Case("no such set", ["annotate", "absent.json", *GOOD[2:], *OUT], ("absent.json", "no such gram set"), {}),
    Case("-o is its own sheet", [*GOOD, "-o", "x.tsv"], ("x.tsv: would replace another output",), FILES),
    Case(
        "-o is the input",
        [*GOOD, "-o", "c.json"],
        ("c.json: would replace the input c.json", "give -o another name"),
        FILES,
        kept=("c.json",),
    ),
    Case(
        "a sheet beside -o is the input",
        ["annotate", "c.tsv", *GOOD[2:], "-o", "c.json"],
        ("c.tsv: would replace the input c.tsv",),
        {"c.tsv": gram_set("we can see")},
        kept=("c.tsv",),
    ),
    Case(
        "-o links to the input",
        [*GOOD, "-o", "link.json"],
        ("would replace the input",),
        FILES,
        prepare=lambda folder: (folder / "link.json").symlink_to("c.json"),
        kept=("c.json",),
    ),
    Case(
        "-o is a corpus",
        [*GOOD, "--corpus", "c.jsonl", "-o", "c.jsonl"],
        ("would replace the input c.jsonl",),
        {**FILES, "c.jsonl": '{"text": "we can see"}\n'},
        kept=("c.jsonl",),
    ),
    Case("-o is a folder", [*GOOD, "-o", "{tmp}"], ("is a folder, expected a file",), FILES),
    Case("-o is nothing", [*GOOD, "-o", ""], ("is a folder, expected a file",), FILES),
    Case("-o under a missing folder", [*GOOD, "-o", "no/out.json"], ("its folder does not exist", "mkdir -p"), FILES),
    Case("-o under /proc", [*GOOD, "-o", "/proc/out.json"], ("/proc/out.json",), FILES),
    Case(
        "-o in a circle of links",
        [*GOOD, "-o", "a.json"],
        ("a.json",),
        FILES,
        prepare=lambda folder: (folder / "a.json").symlink_to("a.json"),
    ),
    Case(
        "no room for an answer",
        [*GOOD, *OUT],
        ("out.json.answers.jsonl: cannot be written", "what is in it is kept"),
        {"c.json": FILES["c.json"], "out.json.answers.jsonl": cached("x" * 3000, completion_tokens=1)},
        file_limit=3000,
        absent=("out.json",),
    ),
    Case(
        "the cache: no JSON",
        [*GOOD, *OUT],
        ("out.json.answers.jsonl, line 2", "remove the line"),
        {**FILES, "out.json.answers.jsonl": cached("a") + "{what\n"},
        kept=("out.json.answers.jsonl",),
    ),
    Case(
        "the cache: a list",
        [*GOOD, *OUT],
        ("line 1", "expected a JSON object", "remove the line"),
        {**FILES, "out.json.answers.jsonl": "[1]\n"},
    ),
    Case(
        "the cache: no key",
        [*GOOD, *OUT],
        ("line 1", "expected an answer, with its key", "remove the line"),
        {**FILES, "out.json.answers.jsonl": '{"text": "a"}\n'},
    ),
    Case(
        "the cache: nested too deep",
        [*GOOD, *OUT],
        ("line 1", "nested too deep"),
        {**FILES, "out.json.answers.jsonl": '{"key": ' + "[" * 100_000 + "\n"},
    ),
    Case(
        "the cache: UTF-16",
        [*GOOD, *OUT],
        ("line 1", "not valid UTF-8"),
        {**FILES, "out.json.answers.jsonl": cached("a").encode("utf-16")},
    ),
    Case(
        "the cache: a bad answer is asked for again",
        [*GOOD, *OUT],
        (),
        {**FILES, "out.json.answers.jsonl": cached(["a"]) + cached(None) + cached("")},
        code=0,
        after=made(3),
    ),
    Case(
        "the cache: a folder",
        [*GOOD, *OUT],
        ("out.json.answers.jsonl", "is a folder"),
        FILES,
        prepare=lambda folder: (folder / "out.json.answers.jsonl").mkdir(),
    ),
    Case(
        "grams and reasons that are formulas",
        [*GOOD, *OUT],
        (),
        {"c.json": gram_set("=cmd is used", "-we can see")},
        code=0,
        after=as_text,
    ),
    Case("--batch 0", [*GOOD, *OUT, "--batch", "0"], ("--batch",), FILES),
    Case("--uses -1", [*GOOD, *OUT, "--uses", "-1"], ("--uses",), FILES),
    Case(
        "a corpus that is none",
        [*GOOD, *OUT, "--corpus", "c.json"],
        ("expected .jsonl or .parquet",),
        FILES,
    ),
]


def _equal(one: Any, other: Any) -> None:
    assert one == other
