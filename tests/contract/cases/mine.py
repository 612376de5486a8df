"""`hicra mine`."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from bad_input import Case
from bad_server import without
from made_up_solutions import solutions, write

FILES: dict[str, Any] = {"c.jsonl": lambda path: write(path, solutions(60))}
WORDS = ["mine", "c.jsonl", "-o", "out.json", "--embedder", "lexical", "--min-df", "5", "--processes", "1"]


def option(*words: str, says: tuple[str, ...] = ()) -> Case:
    return Case(" ".join(words)[:60], [*WORDS, *words], says or words[:1], FILES, absent=("out.json", "out.json.work"))


def needs_mining(folder: Path) -> None:
    if importlib.util.find_spec("sklearn") is None or importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip('this needs pip install "hicra-verl[mining]"')


class Embedder:
    """A stand-in for sentence-transformers, which takes ten seconds to import."""

    def __init__(self, name: str) -> None:
        if (Path(name) / "broken").exists():
            raise Exception("HeaderTooSmall")  # as safetensors does: of no narrower kind

    def encode(self, texts: list[str], **options: Any) -> Any:
        return np.eye(max(8, len(texts)), dtype=np.float32)[: len(texts)]


def embedding(folder: Path) -> Callable[[], None]:
    needs_mining(folder)
    known, stand_in = sys.modules.get("sentence_transformers"), ModuleType("sentence_transformers")
    stand_in.__spec__ = ModuleSpec("sentence_transformers", None)
    stand_in.SentenceTransformer = Embedder  # type: ignore[attr-defined]
    sys.modules["sentence_transformers"] = stand_in

    def undo() -> None:
        del sys.modules["sentence_transformers"]
        if known is not None:
            sys.modules["sentence_transformers"] = known

    return undo


def spoilt_embeddings(folder: Path) -> Callable[[], None]:
    undo = embedding(folder)
    spoilt("embeddings", "--embedder", "e")(folder)
    return undo


def corpus(name: str, content: Any, *says: str, file: str = "c.jsonl", more: tuple[str, ...] = ()) -> Case:
    return Case(
        f"corpus: {name}", ["mine", file, *WORDS[2:], *more], says, {file: content}, needs_mining, absent=("out.json",)
    )


def row(text: str, success: str = "true") -> str:
    return f'{{"response": "{text}", "correct": {success}}}\n'


def not_found(*modules: str) -> Callable[[Path], Callable[[], None]]:
    """Packages that are not installed."""

    def prepare(folder: Path) -> Callable[[], None]:
        found, known = importlib.util.find_spec, {name: sys.modules.pop(name, None) for name in modules}
        importlib.util.find_spec = lambda name, *more: None if name in modules else found(name, *more)

        def undo() -> None:
            importlib.util.find_spec = found
            sys.modules.update({name: module for name, module in known.items() if module is not None})

        return undo

    return prepare


def spoilt(step: str, *more: str) -> Callable[[Path], Callable[[], None]]:
    """A finished step of an earlier run is not whole."""

    def prepare(folder: Path) -> Callable[[], None]:
        needs_mining(folder)
        from typer.testing import CliRunner

        from hicra_verl.cli import app

        CliRunner().invoke(app, [*WORDS, *more])
        (file,) = (folder / "out.json.work").glob(f"{step}-*/*.npz")
        file.write_bytes(file.read_bytes()[:100] if step != "uses" else b"no archive")
        (folder / "out.json").write_text("old")
        return lambda: None

    return prepare


CASES = [
    option("--min-df", "inf", says=("field '--min-df'", "got inf")),
    option("--min-df", "nan"),
    option("--min-df", "-1"),
    option("--min-df", "1e300", says=("field '--min-df'",)),
    option("--max-uses", "inf", says=("field '--max-uses'",)),
    option("--max-uses", "nan"),
    option("--openings", "nan"),
    option("--openings", "2"),
    option("--keep", "nan"),
    option("--keep", "-1"),
    option("--cluster-size", "inf", says=("field '--cluster-size'",)),
    option("--cluster-size", "0"),
    option("--seed", "-1", says=("field '--seed'",)),
    option("--seed", str(2**70), says=("field '--seed'",)),
    option("--processes", "100000"),
    option("--processes", "0"),
    option("--n", "²", says=("--n ²: expected two numbers of words",)),
    option("--n", "3-²", says=("--n 3-²: expected two numbers of words",)),
    option("--n", "0-5", says=("--n 0-5",)),
    option("--n", "5-3", says=("--n 5-3",)),
    option("--n", "9" * 5000, says=("expected two numbers of words",)),
    option("--n", "", says=("expected two numbers of words",)),
    option("--allow", "words", says=("--allow words: expected one of numbers, variables, latex",)),
    option("--clusterer", "x", says=("--clusterer x: expected one of kmeans",)),
    Case("-o is its own page", ["mine", "c.jsonl", "-o", "x.html"], ("x.html: would replace another output",), FILES),
    Case(
        "-o is the corpus", ["mine", "c.jsonl", "-o", "c.jsonl"], ("would replace the input",), FILES, kept=("c.jsonl",)
    ),
    Case("-o is a folder", ["mine", "c.jsonl", "-o", "{tmp}"], ("is a folder, expected a file",), FILES),
    Case("-o under a missing folder", ["mine", "c.jsonl", "-o", "no/out.json"], ("mkdir -p",), FILES),
    Case("-o under /proc", ["mine", "c.jsonl", "-o", "/proc/out.json"], ("/proc/out.json",), FILES, needs_mining),
    Case(
        "a hard link to a file beside it",
        ["mine", "c.jsonl", "hard.jsonl", *WORDS[2:]],
        ("is c.jsonl once more", "would count twice"),
        FILES,
        prepare=lambda folder: os.link(folder / "c.jsonl", folder / "hard.jsonl"),
    ),
    Case("a file twice", ["mine", "c.jsonl", *WORDS[1:]], ("c.jsonl: is given twice", "would count twice"), FILES),
    Case(
        "-o is in the corpus's folder",
        ["mine", "{tmp}", "-o", "c.jsonl"],
        ("would replace the input",),
        FILES,
        kept=("c.jsonl",),
    ),
    Case(
        "a folder with a log alone",
        ["mine", "{tmp}", *WORDS[2:]],
        ("a folder without .jsonl or .parquet files",),
        {"out.json.answers.jsonl": "{}"},
    ),
    Case(
        "a file and its folder",
        ["mine", "{tmp}", *WORDS[1:]],
        ("would count twice",),
        FILES,
    ),
    Case(
        "a file and a link to it",
        ["mine", "link.jsonl", *WORDS[1:]],
        ("c.jsonl: is link.jsonl once more",),
        FILES,
        prepare=lambda folder: (folder / "link.jsonl").symlink_to("c.jsonl"),
    ),
    Case("no such file", ["mine", "absent.jsonl", *WORDS[2:]], ("absent.jsonl: no such file",)),
    Case(
        "a circle of links",
        ["mine", "a.jsonl", *WORDS[2:]],
        ("a.jsonl",),
        prepare=lambda folder: (folder / "a.jsonl").symlink_to("a.jsonl"),
    ),
    Case("a folder without a corpus", ["mine", "{tmp}", *WORDS[2:]], ("a folder without .jsonl or .parquet files",)),
    Case(
        "--work is a file",
        [*WORDS, "--work", "c.jsonl"],
        ("c.jsonl/documents-", "cannot be written (Not a directory)"),
        FILES,
        needs_mining,
        kept=("c.jsonl",),
    ),
    Case("--work under /proc", [*WORDS, "--work", "/proc/work"], ("/proc/work",), FILES, needs_mining),
    corpus("empty", "", "no rows"),
    corpus("no JSON", row("a") + "{x\n", "c.jsonl, line 2", "not valid JSON"),
    corpus("a list", row("a") + "[1]\n", "c.jsonl, line 2", "expected a JSON object"),
    corpus("nested too deep", row("a") + '{"response": ' + "[" * 100_000 + "\n", "line 2", "nested too deep"),
    corpus("a number of 5,000 digits", row("a") + f'{{"response": {"9" * 5000}}}\n', "line 2", "not readable JSON"),
    corpus("half of a character", row("a") + row("\\ud83d"), "line 2, field 'response'", "half of a character"),
    corpus("UTF-16", row("a").encode("utf-16"), "line 1", "not valid UTF-8"),
    corpus("Latin-1", row("a").encode() + row("é").encode("latin-1"), "line 2", "not valid UTF-8"),
    corpus("'correct' is the text false", row("a") + row("b", '"false"'), "line 2, field 'correct'", 'got "false"'),
    corpus("'correct' is NaN", row("a") + row("b", "NaN"), "line 2, field 'correct'", "expected true, false"),
    corpus("'correct' is null", row("a") + row("b", "null"), "line 2, field 'correct'", "got null"),
    corpus("a text that is a list", row("a") + '{"response": ["b"], "correct": 1}\n', "line 2, field 'response'"),
    corpus("no success", row("a b c d", "false"), "no solution succeeded, by the field 'correct'"),
    corpus("too little", row("a b c d"), "lower --min-df"),
    corpus("a Parquet file that is none", b"PAR1", "c.parquet", "not a readable Parquet file", file="c.parquet"),
    corpus("an empty Parquet file", b"", "c.parquet", file="c.parquet"),
    corpus("a foreign suffix", row("a"), "expected .jsonl or .parquet", file="c.csv"),
    Case(
        "a broken embedder",
        [*WORDS, "--embedder", "e"],
        ("--embedder e: cannot be loaded (HeaderTooSmall)", "lexical"),
        {**FILES, "e/broken": ""},
        embedding,
        absent=("out.json",),
    ),
    Case(
        "without scikit-learn",
        WORDS,
        ('mining needs scikit-learn: pip install "hicra-verl[mining]"',),
        FILES,
        not_found("sklearn"),
        absent=("out.json",),
    ),
    Case(
        "without sentence-transformers",
        [*WORDS, "--embedder", "all-MiniLM-L6-v2"],
        ("mining needs sentence-transformers: pip install", "--embedder lexical needs no model"),
        FILES,
        lambda folder: needs_mining(folder) or not_found("sentence_transformers")(folder),
        absent=("out.json",),
    ),
    Case(
        "without pyarrow",
        ["mine", "c.parquet", *WORDS[2:]],
        ("this needs the package pyarrow",),
        {"c.parquet": b"PAR1"},
        lambda folder: without("pyarrow"),
    ),
    Case(
        "embeddings that are not whole",
        [*WORDS, "--embedder", "e"],
        ("out.json.work/embeddings-", "remove it, and the same command makes it again"),
        {**FILES, "e/config.json": "{}"},
        spoilt_embeddings,
        kept=("out.json",),
    ),
    *(
        Case(
            f"a finished step that is not whole: {step}",
            WORDS,
            (f"out.json.work/{step}-", "remove it, and the same command makes it again"),
            FILES,
            spoilt(step),
            kept=("out.json",),
        )
        for step in ("documents", "uses", "clusters")
    ),
]
