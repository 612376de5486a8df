"""`hicra review`."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import Case

from hicra_verl.grams import load_grams

GRAMS = ("we can see", "=let us try", '"so" it is')


def gram_set(*texts: str) -> str:
    grams = [{"text": text, "function": "other", "source": ""} for text in texts]
    return json.dumps({"schema_version": 1, "name": "c", "description": "", "provenance": {}, "grams": grams})


def sheet(*rows: str, head: str = "number\tphrase\tjudgement\tremark\tuses") -> str:
    return "\n".join([head, *rows]) + "\n"


FILES: dict[str, Any] = {"c.json": gram_set(*GRAMS)}
WORDS = ["review", "c.json", "-o", "out.json"]
FROM = [*WORDS, "--from-sheet", "s.tsv"]
ROW = "we can see\twe can see\tdeduction\t\t"
FORMULA = "'=let us try\t'=let us try\tbranching\t\t"
QUOTED = '"""so"" it is"\t"""so"" it is"\t"other"\t\t'
KEPT = "out.json.judgements.jsonl"


def accepted(*texts: str) -> Callable[[Path, str], None]:
    def check(folder: Path, printed: str) -> None:
        assert [gram.text for gram in load_grams(folder / "out.json")] == list(texts)

    return check


def back(name: str, content: str | bytes, *says: str) -> Case:
    return Case(f"a sheet: {name}", FROM, ("s.tsv", *says), {**FILES, "s.tsv": content}, absent=("out.json", KEPT))


def kept(name: str, content: str | bytes, *says: str) -> Case:
    return Case(f"judgements: {name}", FROM, (KEPT, *says), {**FILES, "s.tsv": sheet(ROW), KEPT: content}, kept=(KEPT,))


def taken_port(folder: Path) -> Callable[[], None]:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 28391))
    taken.listen()
    return taken.close


def no_formula(folder: Path, printed: str) -> None:
    cells = (folder / "s.tsv").read_text().splitlines()[2].split("\t")
    assert cells[:2] == ["'=let us try"] * 2


CASES = [
    back("empty", "", "line 1", "expected the columns number and judgement", "keep the first line as it was"),
    back("another first line", "a\tb\n", "expected the columns number and judgement"),
    back("with commas", sheet(ROW).replace("\t", ","), "separated by tabs"),
    back("Latin-1", sheet("é\té\t\t\t").encode("latin-1"), "line 2", "not UTF-8", "save the file as UTF-8"),
    back("UTF-16 without its mark", sheet(ROW).encode("utf-16-le"), "expected the columns"),
    back("a phrase that is not in the set", sheet("we\twe\tother\t\t"), "line 2, field 'number'", "is no item"),
    back("another phrase", sheet("we can see\twe can\tother\t\t"), "line 2, field 'phrase'", "is it another sheet?"),
    back("a word that is no function", sheet("we can see\twe can see\tplanning\t\t"), "line 2, field 'judgement'"),
    back("a field of a megabyte", sheet("we can see\twe can see\t" + "x" * 2**20), "line 2, field 'judgement'"),
    back("a NUL", sheet("we can see\twe can see\to\0ther\t\t"), "line 2, field 'judgement'"),
    back("judged twice", sheet(ROW, ROW.replace("deduction", "reject")), "line 3", "remove one of the two lines"),
    Case(
        "a sheet: nothing accepted",
        FROM,
        ("nothing is accepted, so the set is not written",),
        {**FILES, "s.tsv": sheet(ROW.replace("deduction", "reject"))},
        absent=("out.json",),
    ),
    Case(
        "a sheet: UTF-16 as spreadsheets save it",
        FROM,
        (),
        {**FILES, "s.tsv": sheet(ROW, FORMULA, QUOTED).encode("utf-16")},
        code=0,
        after=accepted(*GRAMS),
    ),
    Case(
        "a sheet: with Windows' line ends and UTF-8's mark",
        FROM,
        (),
        {**FILES, "s.tsv": sheet(ROW, FORMULA).replace("\n", "\r\n").encode("utf-8-sig")},
        code=0,
        after=accepted(*GRAMS[:2]),
    ),
    Case(
        "--sheet and --from-sheet",
        [*FROM, "--sheet", "t.tsv"],
        ("--from-sheet reads one",),
        {**FILES, "s.tsv": sheet(ROW)},
        absent=("t.tsv", "out.json", KEPT),
    ),
    Case(
        "a sheet: a device", [*WORDS, "--from-sheet", "/dev/zero"], ("/dev/zero: is a device, expected a file",), FILES
    ),
    Case("a sheet: not there", FROM, ("s.tsv",), FILES, absent=(KEPT,)),
    Case("a sheet: a folder", FROM, ("s.tsv",), FILES, prepare=lambda folder: (folder / "s.tsv").mkdir()),
    Case("a gram that is a formula", [*WORDS, "--sheet", "s.tsv"], (), FILES, code=0, after=no_formula),
    Case(
        "--sheet on a sheet that is there",
        [*WORDS, "--sheet", "s.tsv"],
        ("s.tsv: is there already",),
        {**FILES, "s.tsv": sheet(ROW)},
        kept=("s.tsv",),
    ),
    Case("--sheet on -o", [*WORDS, "--sheet", "out.json"], ("would replace another output",), FILES),
    Case("--sheet on the set", [*WORDS, "--sheet", "c.json"], ("would replace the input",), FILES, kept=("c.json",)),
    Case("--sheet under a missing folder", [*WORDS, "--sheet", "no/s.tsv"], ("mkdir -p",), FILES),
    Case("--sheet on a full device", [*WORDS, "--sheet", "/dev/full"], ("/dev/full", "is there already"), FILES),
    Case(
        "no room for a sheet",
        [*WORDS, "--sheet", "s.tsv"],
        ("s.tsv: cannot be written",),
        FILES,
        file_limit=20,
        absent=("s.tsv",),
    ),
    Case("-o is the set", ["review", "c.json", "-o", "c.json"], ("would replace the input",), FILES, kept=("c.json",)),
    Case("-o is a folder", ["review", "c.json", "-o", "{tmp}"], ("is a folder",), FILES),
    Case("-o under a missing folder", ["review", "c.json", "-o", "no/out.json"], ("mkdir -p",), FILES),
    Case(
        "no room for a judgement", FROM, (f"{KEPT}: cannot be written",), {**FILES, "s.tsv": sheet(ROW)}, file_limit=0
    ),
    kept("no JSON", "{what\n", "line 1", "remove the line"),
    kept("a number", "1\n", "line 1", "expected a JSON object"),
    kept("no such value", '{"name": "we can see", "value": "perhaps"}\n', "line 1", "remove the line"),
    kept("a list as value", '{"name": "we can see", "value": []}\n', "line 1", "remove the line"),
    kept("nested too deep", '{"name": ' + "[" * 100_000 + "\n", "line 1", "nested too deep"),
    kept("Latin-1", '{"name": "é", "value": "other"}\n'.encode("latin-1"), "line 1", "not valid UTF-8"),
    Case("--port 99999", [*WORDS, "--port", "99999"], ("--port",), FILES),
    Case("--port -1", [*WORDS, "--port", "-1"], ("--port",), FILES),
    Case(
        "--port that is taken",
        [*WORDS, "--port", "28391"],
        ("--port 28391: Address already in use", "--port 0 takes any free one"),
        FILES,
        prepare=taken_port,
    ),
    Case("--uses -1", [*WORDS, "--uses", "-1"], ("--uses",), FILES),
    Case("a set of no JSON", ["review", "c.json", "-o", "out.json"], ("c.json",), {"c.json": "{"}),
]
