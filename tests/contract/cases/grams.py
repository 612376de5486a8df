"""`hicra grams …`, and what a gram set may hold wherever one is given."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import Case
from made_up_tokenizer import save_tokenizer

GOOD = {"text": "but wait", "function": "backtracing"}
OTHER = {"text": "let's try", "function": "branching"}
TEXTS = '{"response": "But wait, let\'s try another way. But wait."}\n' * 5


def a_set(*grams: Any, **head: Any) -> str:
    """A gram-set file, a gram a line."""
    lines = ",\n".join(json.dumps(gram) for gram in grams)
    rest = {"schema_version": 1, "name": "t", **head}
    return json.dumps(rest)[:-1] + ',\n"grams": [\n' + lines + "\n]}\n"


def gram(text: Any, function: Any = "other", **more: Any) -> dict[str, Any]:
    return {"text": text, "function": function, **more}


def invalid(name: str, content: Any, *says: str) -> Case:
    return Case(name, ["grams", "validate", "g.json"], ("g.json", *says), {"g.json": content})


def on(name: str, command: str, *says: str, **more: Any) -> Case:
    """A command on two good sets, a corpus, and a tokenizer that works."""
    files = {
        "a.json": a_set(GOOD, name="same"),
        "b.json": a_set(gram("but wait", "other"), OTHER, name="same"),
        "c.jsonl": TEXTS,
        **more.pop("files", {}),
    }
    return Case(name, ["grams", *command.split()], says, files, **more)


def tokenizer(tmp: Path) -> None:
    import transformers  # noqa: F401

    save_tokenizer(tmp / "tok")


def many(path: Path) -> None:
    path.write_text(a_set(*(gram(f"gram number {number}") for number in range(100_000))), encoding="utf-8")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def table(rows: list[dict[str, Any]]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    return write


def is_a_set(name: str) -> Callable[[Path, str], None]:
    def check(tmp: Path, _: str) -> None:
        from hicra_verl.grams import load_grams

        assert len(load_grams(tmp / name))

    return check


DEEP = "[" * 100_000 + "]" * 100_000
LONG = "but " * 250_000 + "wait"
OUT = "-o out.json"

CASES = [
    # the file
    invalid("an empty file", "", "empty"),
    invalid("spaces only", " \n", "empty"),
    invalid("a list", "[]", "expected a JSON object"),
    invalid("cut off", a_set(GOOD)[:40], "not valid JSON"),
    invalid("nested 100,000 deep", a_set(GOOD, provenance={})[:-2] + ',"description":' + DEEP + "}", "nested too deep"),
    invalid("a provenance nested deep", '{"provenance": ' + DEEP + "}", "nested too deep"),
    invalid("UTF-16", a_set(GOOD).encode("utf-16"), "not valid UTF-8"),
    invalid("Latin-1", a_set(GOOD).replace("wait", "wäit").encode("latin-1"), "line 3", "not valid UTF-8"),
    invalid("a number of 5,000 digits", a_set(GOOD).replace("1,", "9" * 5000 + ",", 1), "digits"),
    invalid("the grams twice", '{"schema_version": 1, "name": "t", "grams": [], "grams": [1]}', '"grams" stands twice'),
    invalid("a gram's text twice", a_set(GOOD).replace('"text"', '"text": "x", "text"'), '"text" stands twice'),
    invalid("NUL bytes", b"\0" * 100, "not valid JSON"),
    invalid("a PNG", b"\x89PNG\r\n\x1a\n" + b"\0" * 60, "not valid UTF-8"),
    Case(
        "a byte order mark",
        ["grams", "validate", "g.json"],
        ("valid; 1 grams",),
        {"g.json": "\ufeff" + a_set(GOOD)},
        code=0,
    ),
    # its fields
    invalid("no name", a_set(GOOD).replace('"name": "t",', "").replace(', "name": "t"', ""), "'name' is missing"),
    invalid("a name that is a number", a_set(GOOD, name=1), "'name'"),
    invalid("a name that is a path", a_set(GOOD, name="../../etc/passwd"), "'name'", "slashes"),
    invalid("a name of two lines", a_set(GOOD, name="a\nb"), "'name'", "printable"),
    invalid("a name that colours the terminal", a_set(GOOD, name="\x1b[31m"), "'name'", "printable"),
    invalid("a name of a megabyte", a_set(GOOD, name="x" * 1_000_000), "1,000,000 characters"),
    invalid("a description that is a list", a_set(GOOD, description=[1]), "'description'"),
    invalid("a provenance that is a list", a_set(GOOD, provenance=[1]), "'provenance'"),
    invalid("half of an emoji in the description", a_set(GOOD, description="\ud83d"), "half of a character"),
    invalid("half of an emoji in a provenance", a_set(GOOD, provenance={"a": ["\ud83d"]}), "half of a character"),
    invalid("no schema version", '{"name": "t", "grams": []}', "schema_version is null", "set it to 1"),
    invalid("a later schema version", a_set(GOOD, schema_version=2), "upgrade"),
    invalid("true as schema version", a_set(GOOD, schema_version=True), "schema_version is true"),
    invalid("a schema version beyond 64 bits", a_set(GOOD, schema_version=10**50), "huge number"),
    invalid("a misspelt key", a_set(GOOD, nmae=1), "'nmae'", "did you mean 'name'"),
    invalid("a key of a megabyte", a_set(GOOD, **{"k" * 1_000_000: 1}), "unknown key"),
    invalid("grams that are an object", '{"schema_version": 1, "name": "t", "grams": {"a": 1}}', "must be a list"),
    invalid("no grams", a_set(), "at least one gram"),
    # its grams
    invalid("a gram that is text", a_set("but wait"), "line 3", "expected an object"),
    invalid("a gram that is null", a_set(GOOD, None), "line 4", "got null"),
    invalid("an empty gram", a_set(gram("")), "line 3", "empty"),
    invalid("a gram of white space", a_set(gram("\u2028\u0085 ")), "line 3", "empty"),
    invalid("a gram that ends with a space", a_set(gram("so ")), "line 3", "white space"),
    invalid("a gram that begins with U+0085", a_set(gram("\u0085so")), "line 3", "white space"),
    invalid("a gram that is a number", a_set(gram(7)), "line 3", "'text'"),
    invalid("half of an emoji", a_set(gram("a \ud83d")), "line 3", "can never match"),
    invalid("a gram of a megabyte", a_set(gram(LONG)), "line 3", "1,000,004 characters", "at most 1,000"),
    invalid("a duplicate", a_set(GOOD, gram("But  WAIT")), "line 4", "already on line 3"),
    invalid("a duplicate in curly quotes", a_set(OTHER, gram("let\u2019s try")), "line 4", "already on line 3"),
    invalid("a misspelt function", a_set(gram("so", "deducton")), "line 3", "did you mean 'deduction'"),
    invalid("a function that is a list", a_set(gram("so", [1])), "'function'", "a list"),
    invalid("a function of a megabyte", a_set(gram("so", "x" * 1_000_000)), "'function'"),
    invalid("a source that is a number", a_set(gram("so", source=3)), "'source'"),
    # a set, wherever one is given
    Case("a misspelt name", ["grams", "show", "--grams", "papre"], ("did you mean 'paper'",)),
    Case("a name with a path in it", ["grams", "show", "--grams", "../grams/paper"], ("no such gram set or file",)),
    Case("a folder", ["grams", "show", "--grams", "."], ("no such gram set or file",)),
    Case("nobody's folder", ["grams", "show", "--grams", "~nobody-here/g.json"], ("home directory",)),
    Case("a circle of links", ["grams", "show", "--grams", "g.json"], ("g.json",), {"g.json": circle}),
    Case("an empty name", ["grams", "show", "--grams", ""], ("no such gram set or file",)),
    Case("a name of 5,000 letters", ["grams", "show", "--grams", "x" * 5000], ("too long",)),
    Case("two faults at once", ["grams", "validate", "x.json", "y.json"], ("x.json: no such", "y.json: no such")),
    Case("100,000 grams", ["grams", "validate", "g.json"], ("valid; 100000 grams",), {"g.json": many}, code=0),
    on("100,000 grams on a corpus", "stats c.jsonl --grams g.json --top 1", code=0, files={"g.json": many}),
    # merge, drop, diff
    on("merge in the place of an input", "merge a.json b.json -o ./a.json", "would replace", kept=("a.json",)),
    on("drop in the place of its input", "drop a.json -o a.json", "would replace", kept=("a.json",)),
    on("merge of sets of one name", f"merge a.json b.json {OUT}", "backtracing in same (", "other in same (", code=0),
    on("diff of sets of one name", "diff a.json b.json", "only in same (", code=0),
    on("merge to a folder", "merge a.json -o .", "is a folder"),
    on("merge to a missing folder", "merge a.json -o no/m.json", "mkdir -p"),
    on("merge under a name that is none", f"merge a.json -o {'x' * 150}.json", "'name' has 150"),
    on(
        "merge on a full disk",
        "merge paper -o out.json",
        "out.json",
        "ulimit",
        files={"out.json": "old"},
        kept=("out.json",),
        file_limit=1000,
    ),
    on("drop to a full device", "drop paper -o /dev/full", "/dev/full", "space"),
    on("drop to a device", "drop paper -o /dev/null", code=0),
    on("drop all", f"drop paper {OUT} --fraction 1", "less than 1", absent=("out.json",)),
    on("drop -0.1", f"drop paper {OUT} --fraction -0.1", "at least 0", absent=("out.json",)),
    on("drop nan", f"drop paper {OUT} --fraction nan", "at least 0", absent=("out.json",)),
    on("drop inf", f"drop paper {OUT} --fraction inf", "less than 1", absent=("out.json",)),
    on("drop so much that none is left", f"drop a.json {OUT} --fraction 0.9", "none of the 1", absent=("out.json",)),
    on("drop ²", f"drop paper {OUT} --fraction ²", "--fraction", absent=("out.json",)),
    on("drop under its old name", f"drop paper {OUT} --share 0.5", code=0, after=is_a_set("out.json")),
    on("a seed of 5,000 digits", f"drop paper {OUT} --seed {'9' * 5000}", "--seed", absent=("out.json",)),
    on("diff --top -1", "diff a.json b.json --top -1", "--top"),
    # stats, placebo
    on("stats --top -1", "stats c.jsonl --top -1", "--top"),
    on("stats on a missing corpus", "stats absent.jsonl", "absent.jsonl", "no such file"),
    on(
        "stats on a pipe",
        "stats p.jsonl",
        "p.jsonl: no regular file",
        "save it as one",
        files={"p.jsonl": lambda path: os.mkfifo(path)},
    ),
    on("stats on an empty corpus", "stats e.jsonl", "e.jsonl", files={"e.jsonl": ""}),
    on("stats on an empty Parquet file", "stats e.parquet", "e.parquet", files={"e.parquet": b""}),
    on(
        "stats on numbers",
        "stats e.parquet",
        "e.parquet",
        files={"e.parquet": table([{"response": 1}])},
    ),
    on("stats in the place of its corpus", "stats c.jsonl -o c.jsonl", "would replace", kept=("c.jsonl",)),
    on(
        "stats in the place of a file of its corpus",
        "stats d -o d/c.jsonl",
        "would replace",
        files={"d/c.jsonl": TEXTS},
        kept=("d/c.jsonl",),
    ),
    on(
        "stats in the tokenizer's place",
        "stats c.jsonl --tokenizer tok -o tok/tokenizer.json",
        "among the files of tok",
        prepare=tokenizer,
    ),
    on(
        "placebo in the tokenizer's place",
        "placebo c.jsonl --tokenizer tok -o tok/tokenizer.json",
        "among the files of tok",
        prepare=tokenizer,
    ),
    on("stats to a missing folder", "stats c.jsonl -o no/s.md", "mkdir -p"),
    on(
        "stats on a full disk",
        "stats c.jsonl -o s.md",
        "s.md",
        files={"s.md": "old"},
        kept=("s.md",),
        file_limit=100,
    ),
    on("stats with no such tokenizer", "stats c.jsonl --tokenizer {tmp}/absent", "cannot be loaded", prepare=tokenizer),
    on("stats on texts without words", "stats e.jsonl", code=0, files={"e.jsonl": '{"response": ""}\n'}),
    on("placebo in the place of its corpus", "placebo c.jsonl --tokenizer tok -o c.jsonl", "would replace"),
    on("placebo to a missing folder", "placebo c.jsonl --tokenizer tok -o no/p.json", "mkdir -p"),
    on(
        "placebo with a broken tokenizer",
        "placebo c.jsonl --tokenizer bad -o p.json",
        "cannot be loaded",
        files={"bad/tokenizer.json": "{}", "bad/tokenizer_config.json": "[]"},
        prepare=tokenizer,
    ),
]
