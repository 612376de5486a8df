"""`hicra precision sample`, `rate` and `score`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import Case
from bad_server import endpoint_cases, url


def gram_set(name: str, *texts: str) -> str:
    grams = [{"text": text, "function": "other", "source": ""} for text in texts]
    return json.dumps({"schema_version": 1, "name": name, "description": "", "provenance": {}, "grams": grams})


# --- sample -----------------------------------------------------------------------------------------------------------

CORPUS = '{"response": "We can see that it is so. Let us try to add the apple and the pear.", "correct": true}\n'
SETS: dict[str, Any] = {
    "c.jsonl": CORPUS,
    "a.json": gram_set("a", "we can see"),
    "b.json": gram_set("b", "let us try"),
}
DRAW = ["precision", "sample", "c.jsonl", "-o", "s", "--random", "1"]


def drawing(name: str, words: list[str], *says: str, **files: Any) -> Case:
    return Case(f"sample: {name}", [*DRAW, *words], says, {**SETS, **files}, absent=("s/items.json",))


SAMPLE = [
    drawing(
        "a set called as the random arm",
        ["--set", "r.json=1"],
        "the arm of random n-grams is called",
        **{"r.json": gram_set("random n-grams", "we can see")},
    ),
    drawing(
        "two sets of one name",
        ["--set", "a.json=1", "--set", "r.json=1"],
        "another set is called 'a', too",
        **{"r.json": gram_set("a", "let us try")},
    ),
    drawing("one set twice", ["--set", "a.json=1", "--set", "a.json=1"], "another set is called 'a', too"),
    drawing("a square as count", ["--set", "a.json=²"], "expected SET=COUNT"),
    drawing("a count of 0", ["--set", "a.json=0"], "expected SET=COUNT"),
    drawing("a count below 0", ["--set", "a.json=-1"], "expected SET=COUNT"),
    drawing("a count of 5,000 digits", ["--set", "a.json=" + "9" * 5000], "expected SET=COUNT"),
    drawing("no count", ["--set", "a.json"], "expected SET=COUNT"),
    drawing("--random -5", ["--set", "a.json=1", "--random", "-5"], "--random"),
    drawing("--random 10^12", ["--set", "a.json=1", "--random", "1000000000000"], "--random"),
    drawing("--random 90000 of a short corpus", ["--set", "a.json=1", "--random", "90000"], "too small for 90000"),
    drawing("more than occur", ["--set", "a.json=2"], "fewer than 2"),
    drawing("a file twice", ["--set", "a.json=1", "c.jsonl"], "is given twice"),
    drawing("no success field", ["--set", "a.json=1", "--success", "x"], "field 'x'", "line 1"),
    Case(
        "sample: into a folder that holds one",
        [*DRAW, "--set", "a.json=1"],
        ("raters may be at work on it",),
        {**SETS, "s/items.json": "{}"},
        kept=("s/items.json",),
    ),
    Case("sample: -o is a file", [*DRAW[:4], "a.json", "--set", "b.json=1", "--random", "1"], ("is a file",), SETS),
]

# --- rate -------------------------------------------------------------------------------------------------------------

ITEMS = [{"number": n, "phrase": phrase, "contexts": [["a ", phrase, " b"]]} for n, phrase in
         enumerate(("we can see", "=let us try", "REFUSE ME please"), 1)]  # fmt: skip
FILES: dict[str, Any] = {
    "s/items.json": json.dumps({"question": "?", "items": ITEMS}),
    "s/key.json": json.dumps({"made_from": {}, "arms": {"1": ["c"], "2": ["c"], "3": ["random n-grams"]}}),
}
RATE = ["precision", "rate", "s", "--rater", "r"]
BY_MODEL = [*RATE, "--model", "m"]
GOOD = [*BY_MODEL, "--base-url", url("good")]
SHEET = [*RATE, "--sheet"]


def rated(*ratings: str, text: str = "'=let us try") -> Callable[[Path, str], None]:
    def check(folder: Path, printed: str) -> None:
        rows = [line.split("\t") for line in (folder / "s" / "r.tsv").read_text().splitlines()[1:]]
        assert [row[2] for row in rows] == list(ratings)
        assert rows[1][1] == text

    return check


def spoilt(name: str, file: str, content: Any, words: list[str], *says: str) -> Case:
    return Case(name, words, (file, *says), {**FILES, file: content}, kept=(file,))


def answer(name: str, **more: Any) -> str:
    return json.dumps({"model": "m", "key": name, **more}) + "\n"


REMARK = "Yes, it steers the reasoning; there is no computation."

RATING = [
    *endpoint_cases(BY_MODEL, FILES, ["choices-null", "content-number", "no-message", "digits", "endless", "echo"]),
    Case(
        "rate: usage is null",
        [*BY_MODEL, "--base-url", url("usage-null")],
        (),
        FILES,
        code=0,
        after=rated(*["yes"] * 3),
    ),
    Case(
        "rate: one question that is always refused",
        [*BY_MODEL, "--base-url", url("one-refused")],
        ("2 of 3 rated", "1 questions were refused", "all others are rated"),
        FILES,
        after=rated("yes", "yes", ""),
    ),
    Case(
        "rate: the first yes counts, not a no that follows",
        GOOD,
        (),
        {**FILES, "s/r.answers.jsonl": "".join(answer(n, text=REMARK) for n in "123")},
        code=0,
        after=rated("yes", "yes", "yes"),
    ),
    Case(
        "rate: answers in the cache that say neither are asked for again",
        GOOD,
        ("3 of 3 rated",),
        {**FILES, "s/r.answers.jsonl": "".join(answer(n, text="I cannot say.") for n in "123")},
        code=0,
        after=rated("yes", "yes", "yes"),
    ),
    Case(
        "rate: answers that say neither",
        [*BY_MODEL, "--base-url", url("unclear")],
        ("0 of 3 rated", "no clear yes or no about 3", "the same command asks again"),
        FILES,
        code=0,
    ),
    Case(
        "rate: an answer of another judge",
        GOOD,
        ("s/r.answers.jsonl, line 1", "answers of m2, not of m"),
        {**FILES, "s/r.answers.jsonl": '{"model": "m2", "key": "1", "text": "yes"}\n'},
        kept=("s/r.answers.jsonl",),
    ),
    Case(
        "rate: a bad answer in the cache is asked for again",
        GOOD,
        (),
        {**FILES, "s/r.answers.jsonl": answer("1", text=["yes"]) + answer("2", text=None) + answer("3")},
        code=0,
        after=rated("yes", "yes", "yes"),
    ),
    spoilt("rate: a cache of no JSON", "s/r.answers.jsonl", "{what\n", GOOD, "line 1", "remove the line"),
    spoilt("rate: ratings of no JSON", "s/r.jsonl", "{what\n", SHEET, "line 1", "remove the line"),
    spoilt("rate: a rating that is none", "s/r.jsonl", '{"name": "1", "value": 1}\n', SHEET, "line 1"),
    spoilt("rate: items of no JSON", "s/items.json", "{", SHEET, "draw the sample again"),
    spoilt("rate: items that are a list", "s/items.json", "[]", SHEET, "draw the sample again"),
    spoilt("rate: no items", "s/items.json", '{"items": []}', SHEET, "draw the sample again"),
    spoilt("rate: an item without a phrase", "s/items.json", '{"items": [{"number": 1}]}', SHEET, "field 'items'"),
    spoilt(
        "rate: a number that is text",
        "s/items.json",
        '{"items": [{"number": "1", "phrase": "a", "contexts": []}]}',
        SHEET,
        "field 'items'",
    ),
    spoilt("rate: items nested too deep", "s/items.json", "[" * 100_000, SHEET, "draw the sample again"),
    spoilt("rate: a sheet in Latin-1", "s/r.tsv", "number\tphrase\trating\n1\té\t\n".encode("latin-1"), SHEET, "UTF-8"),
    spoilt("rate: a square as number", "s/r.tsv", "number\trating\n²\tyes\n", SHEET, "line 2, field 'number'"),
    spoilt("rate: a sheet that disagrees", "s/r.tsv", "number\trating\n1\tyes\n1\tno\n", SHEET, "line 3"),
    Case(
        "rate: a sheet in UTF-16",
        SHEET,
        ("1 of 3 rated",),
        {**FILES, "s/r.tsv": "number\tphrase\trating\n2\t'=let us try\tYes\n".encode("utf-16")},
        code=0,
        after=rated("", "yes", ""),
    ),
    Case("rate: no sample", ["precision", "rate", "no", "--rater", "r"], ("no/items.json", "no such sample")),
    Case("rate: --rater is a path", [*SHEET[:4], "../r", "--sheet"], ("--rater ../r: no name for a file",), FILES),
    Case("rate: --rater is empty", [*SHEET[:4], "", "--sheet"], ("no name for a file",), FILES),
    Case(
        "rate: --rater is the key", [*SHEET[:4], "key", "--sheet"], ("no name for a file",), FILES, kept=("s/key.json",)
    ),
    Case("rate: --price nan nan", [*GOOD, "--price", "nan", "nan"], ("--price", "two numbers from 0 up"), FILES),
    Case("rate: --price -1 1", [*GOOD, "--price", "-1", "1"], ("--price", "two numbers from 0 up"), FILES),
    Case("rate: a model without a server", BY_MODEL, ("both --base-url and --model",), FILES),
    Case("rate: --port 70000", [*RATE, "--port", "70000"], ("--port",), FILES),
    Case("rate: no room", GOOD, ("s/r.answers.jsonl: cannot be written",), FILES, file_limit=0),
    Case(
        "rate: the sheet is a folder",
        SHEET,
        ("s/r.tsv: is a folder",),
        FILES,
        prepare=lambda folder: (folder / "s" / "r.tsv").mkdir(),
    ),
]

# --- score ------------------------------------------------------------------------------------------------------------

YES = "number\trating\n1\tyes\n2\tyes\n3\tno\n"
RATED: dict[str, Any] = {**FILES, "x/r.tsv": YES, "y/r.tsv": YES, "y/q.tsv": YES}
SCORE = ["precision", "score", "s"]


def scoring(name: str, files: list[str], *says: str, **more: Any) -> Case:
    return Case(f"score: {name}", [*SCORE, *files], says, {**RATED, **more})


SCORING = [
    scoring("two raters of one name", ["x/r.tsv", "y/r.tsv", "y/q.tsv"], "two raters are called r", "rename one"),
    scoring("one file twice", ["x/r.tsv", "x/r.tsv"], "two raters are called r"),
    Case(
        "score: a hard link to a rater's file",
        [*SCORE, "x/r.tsv", "hard.tsv"],
        ("hard.tsv: is x/r.tsv once more",),
        RATED,
        prepare=lambda folder: os.link(folder / "x" / "r.tsv", folder / "hard.tsv"),
    ),
    Case(
        "score: a link to a rater's file",
        [*SCORE, "x/r.tsv", "link.tsv"],
        ("link.tsv: is x/r.tsv once more",),
        RATED,
        prepare=lambda folder: (folder / "link.tsv").symlink_to("x/r.tsv"),
    ),
    scoring("one rater", ["x/r.tsv"], "at least two raters"),
    scoring("no such file", ["x/r.tsv", "x/absent.tsv"], "absent.tsv"),
    scoring("a folder", ["x/r.tsv", "x"], "x"),
    scoring(
        "a rating is missing",
        ["x/r.tsv", "h.tsv"],
        "h.tsv: 1 items are not rated yet",
        **{"h.tsv": "number\trating\n1\tyes\n2\tno\n"},
    ),
    scoring(
        "a field of a megabyte",
        ["x/r.tsv", "h.tsv"],
        "h.tsv, line 2",
        **{"h.tsv": "number\trating\n1\t" + "y" * 2**20 + "\n"},
    ),
    scoring(
        "an item of 5,000 digits",
        ["x/r.tsv", "h.tsv"],
        "h.tsv, line 2, field 'number'",
        **{"h.tsv": "number\trating\n" + "1" * 5000 + "\tyes\n"},
    ),
    scoring("no key", ["x/r.tsv", "y/q.tsv"], "s/key.json", "draw the sample again", **{"s/key.json": "{"}),
    scoring("a key that is a list", ["x/r.tsv", "y/q.tsv"], "s/key.json", **{"s/key.json": "[1]"}),
    scoring("a key without arms", ["x/r.tsv", "y/q.tsv"], "s/key.json, field 'arms'", **{"s/key.json": '{"arms": 7}'}),
    scoring("another sample's key", ["x/r.tsv", "y/q.tsv"], "s/key.json", **{"s/key.json": '{"arms": {"1": ["c"]}}'}),
    scoring(
        "an arm that is a number",
        ["x/r.tsv", "y/q.tsv"],
        "s/key.json",
        **{"s/key.json": '{"arms": {"1": 1, "2": ["c"], "3": ["c"]}}'},
    ),
    scoring("--disagreements -1", ["x/r.tsv", "y/q.tsv", "--disagreements", "-1"], "--disagreements"),
]

CASES = [*SAMPLE, *RATING, *SCORING]
