"""`hicra tag`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import Case
from made_up_tokenizer import save_tokenizer

ROW = '{"response": "But wait, let me try."}\n'


def tokenizer(tmp: Path) -> None:
    import transformers  # noqa: F401  (its seconds are nobody's fault)

    save_tokenizer(tmp / "tok")


def case(name: str, rows: Any, *words: str, says: tuple[str, ...] = (), **more: Any) -> Case:
    """A file of rows, tagged with a tokenizer that works."""
    files = {"in.jsonl": rows, **more.pop("files", {})}
    return Case(name, ["tag", "in.jsonl", "--tokenizer", "tok", *words], says, files, tokenizer, **more)


def broken(name: str, files: dict[str, Any], *says: str) -> Case:
    """One good row, and a tokenizer's folder that is not."""
    words = ["tag", "in.jsonl", "--tokenizer", "tok", "-o", "out.jsonl"]

    def prepare(tmp: Path) -> None:
        tokenizer(tmp)
        for file, content in files.items():
            (tmp / "tok" / file).write_text(content, encoding="utf-8")

    return Case(name, words, says, {"in.jsonl": ROW}, prepare, absent=("out.jsonl",))


def ids(*tokens: object) -> str:
    return json.dumps({"token_ids": list(tokens)}) + "\n"


def lines(count: int) -> Callable[[Path, str], None]:
    def check(tmp: Path, _: str) -> None:
        written = (tmp / "out.jsonl").read_bytes().split(b"\n")
        assert written.pop() == b""
        assert len([json.loads(line) for line in written]) == count

    return check


def circle(tmp: Path) -> None:
    tokenizer(tmp)
    (tmp / "a.jsonl").symlink_to("b.jsonl")
    (tmp / "b.jsonl").symlink_to("a.jsonl")


def inert(tmp: Path, _: str) -> None:
    page = (tmp / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page.lower()
    assert "<img" not in page.lower()


def half_is_kept(tmp: Path, _: str) -> None:
    assert json.loads((tmp / "out.jsonl").read_text(encoding="utf-8"))["note"] == "\ud83d"


MARKUP = json.dumps({"uid": "<script>1</script>", "response": "</div><img src=x onerror=alert(1)><script>alert(1)"})
GRAMS_WITH_MARKUP = json.dumps(
    {
        "schema_version": 1,
        "name": "<script>alert(2)",
        "grams": [{"text": '"><img src=x onerror=alert(2)>', "function": "other"}],
    }
)
DEEP = "[" * 100_000 + "]" * 100_000
OUT = ("-o", "out.jsonl")

CASES = [
    Case("no such file", ["tag", "absent.jsonl", "--tokenizer", "x"], ("absent.jsonl", "no such file")),
    Case("a folder as input", ["tag", ".", "--tokenizer", "x"], ("directory",)),
    Case("an input in a circle of links", ["tag", "a.jsonl", "--tokenizer", "tok"], ("a.jsonl",), prepare=circle),
    # outputs
    case("the page in the place of the rows", ROW, *OUT, "--html", "out.jsonl", says=("another output",)),
    case(
        "the page in the place of the input",
        ROW,
        "--html",
        "in.jsonl",
        says=("would replace", "in.jsonl"),
        kept=("in.jsonl",),
    ),
    case("the rows in the place of the input", ROW, "-o", "./in.jsonl", says=("would replace",), kept=("in.jsonl",)),
    case(
        "the rows in the place of the input, by a link",
        ROW,
        "-o",
        "link.jsonl",
        says=("would replace",),
        kept=("in.jsonl",),
        files={"link.jsonl": lambda path: path.symlink_to("in.jsonl")},
    ),
    case(
        "the page in the place of the gram set",
        ROW,
        "--grams",
        "g.json",
        "--html",
        "g.json",
        says=("would replace",),
        kept=("g.json",),
        files={"g.json": GRAMS_WITH_MARKUP},
    ),
    case("a folder as output", ROW, "-o", "tok", says=("tok", "is a folder")),
    case("the rows in the tokenizer's place", ROW, "-o", "tok/tokenizer.json", says=("among the files of tok",)),
    case("the page beside the tokenizer", ROW, "--html", "./tok/p.html", says=("among the files of tok",)),
    case(
        "the rows in the tokenizer's place, by a link",
        ROW,
        "-o",
        "link.jsonl",
        says=("among the files of tok",),
        files={"link.jsonl": lambda path: path.symlink_to("tok/tokenizer.json")},
    ),
    case("a missing folder for the output", ROW, "-o", "no/out.jsonl", says=("mkdir -p",)),
    case("a missing folder for the page", ROW, *OUT, "--html", "no/p.html", says=("mkdir -p",), absent=("out.jsonl",)),
    case("an output in a circle of links", ROW, "-o", "c", says=("c:",), files={"c": lambda p: p.symlink_to("c")}),
    case("an output that cannot be made", ROW, "-o", "/proc/out.jsonl", says=("/proc/out.jsonl",)),
    case("the page on a full disk", ROW, "--html", "/dev/full", says=("/dev/full", "space")),
    case("the rows on a full disk", ROW * 3000, "-o", "/dev/full", says=("/dev/full", "space")),
    case("the rows to a device", ROW, "-o", "/dev/stdout", code=0),
    case("the rows to nowhere", ROW, "-o", "/dev/null", code=0),
    case(
        "rows over the limit on file sizes",
        ROW * 200,
        *OUT,
        says=("out.jsonl", "ulimit"),
        files={"out.jsonl": "old\n"},
        kept=("out.jsonl",),
        file_limit=4096,
    ),
    case(
        "a page over the limit on file sizes",
        ROW,
        *OUT,
        "--html",
        "page.html",
        says=("page.html",),
        files={"out.jsonl": "old\n"},
        kept=("out.jsonl",),
        file_limit=900,
    ),
    case("a name too long", ROW, "-o", "x" * 300, says=("cannot be written",)),
    case(
        "-o given an old file, and a bad row",
        ROW + "[]\n",
        *OUT,
        says=("line 2",),
        files={"out.jsonl": "old"},
        kept=("out.jsonl",),
    ),
    # rows
    case("an empty file", "", says=("holds no rows",)),
    case("blank lines only", "\n\n", says=("holds no rows",)),
    case("a row that is a list", "[1]\n", says=("line 1", "a list")),
    case("nested 100,000 deep", f'{{"response": {DEEP}}}\n', says=("line 1", "nested too deep")),
    case("a number of 5,000 digits", '{"response": ' + "9" * 5000 + "}\n", says=("line 1", "JSON")),
    case("UTF-16", ROW.encode("utf-16"), says=("line 1", "UTF-8")),
    case("Latin-1", '{"response": "déjà"}\n'.encode("latin-1"), says=("line 1", "UTF-8")),
    case("a byte order mark", "\ufeff" + ROW, *OUT, code=0, after=lines(1)),
    case("cut off", '{"response": "a"}\n{"respon', says=("line 2", "cut off")),
    case("text that is a number", '{"response": 1}\n', says=("line 1", "'response'", "expected text")),
    case("text that is null", '{"response": null}\n', says=("expected text, got null",)),
    case("a list of messages as text", '{"response": [{"role": "a"}]}\n', says=("expected text, got a list",)),
    case("no text", '{"output": "a"}\n', says=("'response'", "'output'", "--field")),
    case("a field that is not there", ROW, "--field", "text", says=("'text'", "line 1")),
    case("half of an emoji in the text", '{"response": "a \\ud83d b"}\n', says=("line 1", "half of a character")),
    case("half of an emoji elsewhere", '{"response": "a", "note": "\\ud83d"}\n', *OUT, code=0, after=half_is_kept),
    case("half of an emoji in the heading", '{"response": "a", "uid": "\\ud83d"}\n', "--html", "p.html", code=0),
    case(
        "U+2028, U+0085 and a form feed in the text",
        json.dumps({"response": "a\u2028b\u0085c\fd\u2029e"}, ensure_ascii=False) + "\n",
        *OUT,
        code=0,
        after=lines(1),
    ),
    case("an empty text", '{"response": ""}\n', *OUT, code=0, after=lines(1)),
    case("NUL in the text", '{"response": "a\\u0000b"}\n', *OUT, code=0, after=lines(1)),
    # token ids
    case("a negative token id", ids(3, -1), says=("line 1", "'token_ids'", "-1 at place 1")),
    case("an id beyond the vocabulary", ids(257), says=("257", "end at 256")),
    case("an id beyond 64 bits", ids(2**70), says=("'token_ids'", str(2**70))),
    case("an id of 4,000 digits", ids(int("9" * 4000)), says=("a huge number",)),
    case("token ids with a fraction", ids(1.5), says=("expected a list of integers",)),
    case("token ids as true", ids(True), says=("expected a list of integers",)),
    case("token ids as text", '{"token_ids": "1 2"}\n', says=("expected a list of integers",)),
    case("nested token ids", ids([1]), says=("expected a list of integers",)),
    case("no token ids", ids(), *OUT, code=0, after=lines(1)),
    # Parquet
    Case(
        "a corrupt Parquet file",
        ["tag", "in.parquet", "--tokenizer", "x"],
        ("in.parquet", "Parquet"),
        {"in.parquet": b"PAR1" + b"x" * 200 + b"PAR1"},
    ),
    Case("an empty Parquet file", ["tag", "in.parquet", "--tokenizer", "x"], ("in.parquet",), {"in.parquet": b""}),
    # the page
    case("--html-rows 0", ROW, "--html", "p.html", "--html-rows", "0", says=("--html-rows",), absent=("p.html",)),
    case("--html-rows -5", ROW, "--html-rows", "-5", says=("--html-rows",)),
    case("--html-rows ²", ROW, "--html-rows", "²", says=("--html-rows",)),
    case(
        "markup in response, name, heading and grams",
        MARKUP + "\n",
        "--grams",
        "g.json",
        "--html",
        "page.html",
        code=0,
        files={"g.json": GRAMS_WITH_MARKUP},
        after=inert,
    ),
    # tokenizers
    Case(
        "no such tokenizer",
        ["tag", "in.jsonl", "--tokenizer", "{tmp}/absent"],
        ("cannot be loaded", "tokenizer.json"),
        {"in.jsonl": ROW},
        tokenizer,
    ),
    broken("a tokenizer's settings that are a list", {"tokenizer_config.json": "[1]"}, "tokenizer", "tok"),
    broken("a tokenizer cut off", {"tokenizer.json": '{"version": "1.0", "trunc'}, "cannot be loaded", "again"),
    broken("a tokenizer that is null", {"tokenizer.json": "null"}, "tokenizer.json: expected a JSON object, got null"),
    broken("an empty tokenizer", {"tokenizer.json": ""}, "cannot be loaded"),
    broken("a tokenizer that is a list", {"tokenizer.json": "[]"}, "cannot be loaded"),
    broken("settings nested deep", {"tokenizer_config.json": DEEP}, "cannot be loaded"),
    broken(
        "a tokenizer with code of its own",
        {
            "tokenizer_config.json": '{"auto_map": {"AutoTokenizer": [null, "evil.Evil"]}, "tokenizer_class": "Evil"}',
            "evil.py": "raise SystemExit('run')",
        },
        "cannot be loaded",
    ),
    # gram sets
    case("a misspelt gram set", ROW, "--grams", "papre", says=("did you mean 'paper'",)),
    case("a folder as gram set", ROW, "--grams", "tok", says=("tok",)),
]
