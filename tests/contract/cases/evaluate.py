"""`hicra eval`."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import Case
from bad_server import endpoint_cases
from made_up_evaluations import answering, benchmark, columns, lines, sample, without, words

from hicra_verl.version import __version__

DATA = "data/qwen/amc23.parquet"
GOOD = {DATA: benchmark()}


def held(folder: Path) -> Callable[[], None]:
    """Another evaluation writes into the folder."""
    (folder / "out").mkdir()
    stream = (folder / "out" / ".lock").open("a")
    fcntl.flock(stream, fcntl.LOCK_EX)
    return stream.close


def both(*steps: Callable[[Path], Callable[[], None] | None]) -> Callable[[Path], Callable[[], None]]:
    def prepare(folder: Path) -> Callable[[], None]:
        undone = [step(folder) for step in steps]

        def undo() -> None:
            for back in reversed(undone):
                if back is not None:
                    back()

        return undo

    return prepare


def alias(folder: Path) -> None:
    (folder / "data/qwen/mine.parquet").symlink_to(folder / DATA)


def hard_link(folder: Path) -> None:
    os.link(folder / DATA, folder / "data/qwen/mine.parquet")


def circle(folder: Path) -> None:
    (folder / "out").symlink_to(folder / "other")
    (folder / "other").symlink_to(folder / "out")


def settings(**more: Any) -> str:
    """The settings that ``words()`` makes, but for what is changed."""
    whole = {
        "model": "m",
        "row": None,
        "template": "qwen",
        "sampling": {"temperature": 0.6, "top_p": 0.95, "max_tokens": 30720, "stop": [], "template_arguments": {}},
        "samples": None,
        "limit": None,
        "seed": 0,
        "hicra_verl": __version__,
    }
    return json.dumps({**whole, **more})


def sampled(count: int) -> Callable[[Path, str], None]:
    """All samples are there, once each, and the summary is about them."""

    def check(folder: Path, printed: str) -> None:
        lines = (folder / "out/samples/amc23.jsonl").read_text().split("\n")
        rows = [json.loads(line) for line in lines if line]  # a whole last row may lack its end
        assert len({(row["uid"], row["sample"]) for row in rows}) == len(rows) == count
        summary = json.loads((folder / "out/summary.json").read_text())
        assert summary["benchmarks"]["amc23"]["samples"] == count

    return check


def no_secret(folder: Path, printed: str) -> None:
    assert "hunter2" not in printed
    assert "sk-secret" not in printed
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"hunter2" not in content
            assert b"sk-secret" not in content


def nearly_full(folder: Path) -> Callable[[], None]:
    """A long answer, beyond the limit on files."""
    return answering("so " * 4000 + "\\boxed{1}")(folder)


SAMPLES_FILE = "out/samples/amc23.jsonl"
TAKEN = [sample(f"amc23-{number}", place) for number in range(2) for place in range(4)]
WHOLE = lines(*TAKEN)
MANY = lines(*(sample(f"amc23-{number}", place) for number in range(40) for place in range(4)))
DEEP = "[" * 100_000 + "]" * 100_000


def ranges() -> list[Case]:
    found = []
    for option, values in {
        "--samples": ("0", "-1", "1e9", "²", "9" * 30),
        "--limit": ("0", "-5", "x"),
        "--temperature": ("-1", "nan", "inf", "1e308"),
        "--top-p": ("0", "1.5", "nan"),
        "--max-tokens": ("0", "-3", "9" * 20),
        "--seed": (str(2**63), "-" + "9" * 25),
        "--concurrency": ("0", "-2", "1000000"),
        "--timeout-s": ("0", "nan", "-1", "1e300"),
        "--replicas": ("-1",),
        "--gpus-each": ("0",),
        "--stop": ("",),
        "--template-argument": ("x", "=1"),
        "--vllm-argument": ("x",),
    }.items():
        for value in values:
            shown = f"{option} {value[:12]!r}"
            found.append(Case(shown, words(option, value), (option,), GOOD, absent=("out",)))
    return found


def files_of_ones_own() -> list[Case]:
    def case(name: str, content: Any, *says: str) -> Case:
        return Case(f"a benchmark's file {name}", words(name="mine"), says, {"data/qwen/mine.parquet": content})

    def spoilt(name: str, change: Any, *says: str) -> Case:
        return case(name, benchmark(change), "mine.parquet", *says)

    return [
        case("is empty", b"", "mine.parquet", "not a readable Parquet file"),
        case("is text", "prompt,answer\n", "not a readable Parquet file"),
        case("is cut off", b"PAR1" + b"\0" * 50, "not a readable Parquet file"),
        case("has other columns", columns(question=["x"]), "line 1", "prompt (chat messages)"),
        case("has no rows", columns(prompt=[]), "holds no rows"),
        case("has prompts that are text", columns(prompt=["x"], reward_model=["1"]), "not in verl's format"),
        case("has prompts that are numbers", columns(prompt=[1], reward_model=[2]), "not in verl's format"),
        spoilt("has no answer", lambda row: row["reward_model"].update(ground_truth=None), "line 2", "no answer"),
        spoilt("has an empty answer", lambda row: row["reward_model"].update(ground_truth=""), "no answer"),
        spoilt("has no prompt", lambda row: row.update(prompt=[]), "line 2"),
        spoilt("has no content", lambda row: row["prompt"][0].update(content=None), "not text"),
        spoilt("has a name twice", lambda row: row["extra_info"].update(uid="amc23-0"), "two problems are called"),
        case(
            "has an image that is a file's name",
            lambda path: (
                benchmark(lambda row: None)(path)
                or columns(
                    prompt=[[{"role": "user", "content": "<image>?"}]],
                    reward_model=[{"ground_truth": "1"}],
                    images=[[{"path": "/etc/hostname", "bytes": None}]],
                )(path)
            ),
            "without bytes",
        ),
        case(
            "has an image that is none",
            columns(
                prompt=[[{"role": "user", "content": "<image>?"}]],
                reward_model=[{"ground_truth": "1"}],
                images=[[{"bytes": b"root:x:0:0"}]],
            ),
            "an image that is none",
        ),
        case(
            "has a kind of its own",
            columns(
                prompt=[[{"role": "user", "content": "?"}]],
                reward_model=[{"ground_truth": "1"}],
                extra_info=[{"answer_kind": "essay"}],
            ),
            "'essay' is none of math, choice, number",
        ),
        case("is a folder", lambda path: path.mkdir(), "mine.parquet"),
        Case(
            "a benchmark's name leads elsewhere",
            words(name="../../etc/passwd"),
            ("no such benchmark",),
        ),
    ]


def outputs() -> list[Case]:
    return [
        Case(
            "the output is a file",
            words(),
            ("out", "is a file, expected a folder"),
            {**GOOD, "out": "x"},
            kept=("out",),
        ),
        Case("the output is a device", words("-o", "/dev/full"), ("/dev/full",), GOOD),
        Case("the output is under a device", words("-o", "/dev/full/x"), ("/dev/full/x",), GOOD),
        Case("the output is where nothing can be made", words("-o", "/proc/x"), ("/proc/x",), GOOD),
        Case(
            "the output is a circle of links", words(), ("out: cannot be written", "in a circle"), GOOD, prepare=circle
        ),
        Case(
            "more tokens than an engine counts", words("--max-tokens", "99999999999"), ("from 1 to 2147483647",), GOOD
        ),
        Case(
            "the samples cannot be written",
            words(),
            ("amc23.jsonl", "cannot be written", "what is in it is kept"),
            GOOD,
            prepare=nearly_full,
            file_limit=10_000,
        ),
        Case(
            "the summary cannot be written over an old one",
            words(),
            ("summary.json", "cannot be written"),
            {DATA: benchmark(count=40), "out/settings.json": settings(), SAMPLES_FILE: MANY, "out/summary.json": "{}"},
            prepare=answering(),
            file_limit=1000,
            kept=("out/summary.json", SAMPLES_FILE),
        ),
        Case(
            "the settings cannot be written",
            words(),
            ("settings.json", "cannot be written"),
            GOOD,
            file_limit=100,
            absent=("out/settings.json",),
        ),
    ]


def resuming() -> list[Case]:
    def cut(at: int) -> Case:
        """The samples file ends in the middle of a line, as after a full disk."""
        return Case(
            f"samples cut off after {at} bytes",
            words(),
            ("pass@1",),
            {**GOOD, "out/settings.json": settings(), SAMPLES_FILE: WHOLE[:at]},
            prepare=answering(),
            code=0,
            after=sampled(8),
        )

    def settings_file(name: str, content: str, *says: str) -> Case:
        files = {**GOOD, "out/settings.json": content, SAMPLES_FILE: WHOLE}
        kept = ("out/settings.json", SAMPLES_FILE)
        return Case(f"settings {name}", words(), ("settings.json", *says), files, prepare=answering(), kept=kept)

    def summary(name: str, content: str) -> Case:
        files = {**GOOD, "out/settings.json": settings(), SAMPLES_FILE: WHOLE, "out/summary.json": content}
        says = ("summary.json could not be read and is made anew",)
        return Case(f"a summary {name}", words(), says, files, prepare=answering(), code=0, after=sampled(8))

    def samples(name: str, content: str, *says: str) -> Case:
        files = {**GOOD, "out/settings.json": settings(), SAMPLES_FILE: content}
        return Case(
            f"samples {name}", words(), ("amc23.jsonl", *says), files, prepare=answering(), kept=(SAMPLES_FILE,)
        )

    return [
        *(cut(at) for at in (0, 1, len(WHOLE) // 2, len(WHOLE) - 1)),
        settings_file("cut off", settings()[:40], "not readable JSON", "give another --output"),
        settings_file("empty", "", "not readable JSON"),
        settings_file("nested deep", DEEP, "nested too deep"),
        settings_file("a list", "[]", "expected a JSON object"),
        settings_file("whose problems are a list", settings(problems=[]).replace("[]}", "[1]}"), "field 'problems'"),
        summary("cut off", '{"grams": "paper", "benchm'),
        summary("empty", ""),
        summary("that is a list", "[]"),
        summary("nested deep", DEEP),
        summary("whose benchmarks are a number", '{"benchmarks": 3}'),
        samples("with a line that is no JSON", "nonsense\n" + WHOLE, "line 1", "remove the line"),
        samples("with a line of another kind", '{"a": 1}\n' + WHOLE, "line 1", "not a sample"),
        samples("whose 'correct' is a text", lines(sample(correct="false")), "line 1", "correct"),  # type: ignore[arg-type]
        samples("whose tokens are a text", lines(sample(tokens="3")), "tokens"),
        samples("whose tokens have 400 digits", WHOLE + lines(sample(tokens=10**400)), "line 9", "(tokens)"),
        samples("whose tokens are negative", lines(sample(tokens=-7)), "line 1", "not a sample (tokens)"),
        samples("whose grade is none", lines(sample(grade="superb")), "line 1", "not a sample (grade)"),
        samples("with a line that lacks fields", '{"uid": "amc23-0"}\n', "line 1", "no sample, no", "no grade"),
        samples("taken twice", WHOLE + lines(TAKEN[3]), "line 9", "is there twice"),
        samples("of no problem", WHOLE + lines(sample("amc23-9")), "belong to no problem"),
    ]


KEPT = ("a password in --base-url", "a --base-url that is none", "a key that no header takes", "the server: echo")
ASKED = ["eval", "amc23", "--model", "m", "-o", "out"]
CASES = [
    *ranges(),
    *(
        case
        for case in endpoint_cases(ASKED, GOOD)
        if case.name in KEPT or ("its answer" in str(case.says) and "gzip" not in case.name)
    ),
    Case("an empty --base-url", [*ASKED, "--base-url", ""], ("--base-url",), GOOD),
    *files_of_ones_own(),
    *outputs(),
    *resuming(),
    Case(
        "a benchmark named twice",
        [*words()[:2], "amc23", *words()[2:]],
        ("amc23 is named twice", "name it once"),
        GOOD,
        absent=("out",),
    ),
    Case(
        "a benchmark under two names",
        [*words()[:2], "mine", *words()[2:]],
        ("amc23 and mine are the same file",),
        GOOD,
        prepare=alias,
        absent=("out",),
    ),
    Case(
        "a benchmark as a hard link",
        [*words()[:2], "mine", *words()[2:]],
        ("amc23 and mine are the same file",),
        GOOD,
        prepare=hard_link,
    ),
    Case(
        "another evaluation in the folder",
        words(),
        ("another evaluation is writing here", "give another --output"),
        GOOD,
        prepare=both(held, answering()),
        absent=("out/settings.json",),
    ),
    Case(
        "the folder holds samples of other problems",
        words(),
        ("other problems called amc23",),
        {**GOOD, "out/settings.json": settings(problems={"amc23": "0" * 64})},
        prepare=answering(),
        kept=("out/settings.json",),
    ),
    Case(
        "the folder holds another benchmark's samples as well",
        words(),
        ("pass@1",),
        {**GOOD, "out/settings.json": settings(problems={"minerva": "0" * 64})},
        prepare=answering(),
        code=0,
        after=sampled(8),
    ),
    Case("an argument twice", words("--template-argument", "a=1", "--template-argument", "a=2"), ("a is set twice",)),
    Case(
        "the workers of the reward do not matter here",
        words(),
        ("pass@1",),
        GOOD,
        prepare=answering(),
        code=0,
        env={"HICRA_GRADING_WORKERS": "0"},
    ),
    Case("pyarrow is not installed", words(), ("needs the package pyarrow",), GOOD, prepare=without("pyarrow")),
    Case("pebble is not installed", words(), ("pebble is not installed",), GOOD, prepare=without("pebble")),
    Case(
        "vllm is not installed",
        ["eval", "amc23", "--model", "m", "-o", "out"],
        ("needs the package vllm",),
        GOOD,
        prepare=without("vllm"),
    ),
    Case("a row that is not known", words("--row", "qwen"), ("--row",), GOOD, absent=("out",)),
    Case("a gram set that is not known", words("--grams", "x" * 300), ("x" * 20,), GOOD, absent=("out",)),
    Case(
        "an address with a password, and a key",
        ["eval", "amc23", "--model", "m", "--base-url", "http://me:hunter2@127.0.0.1:9/v1", "-o", "out"],
        ("pass@1",),
        GOOD,
        prepare=answering(),
        code=0,
        env={"OPENAI_API_KEY": "sk-secret"},
        after=no_secret,
    ),
    Case(
        "answers without text",
        words(),
        ("8 answers without text", "--max-tokens"),
        GOOD,
        prepare=answering(""),
        code=0,
        after=sampled(8),
        env={"COLUMNS": "300"},
    ),
    Case(
        "an answer with half a character",
        words(),
        ("pass@1",),
        GOOD,
        prepare=answering("\ud83d \\boxed{1}"),
        code=0,
        after=sampled(8),
    ),
    Case(
        "an answer with line separators",
        words(),
        ("pass@1",),
        GOOD,
        prepare=answering("\u2028\u0085 \\boxed{1}"),
        code=0,
        after=sampled(8),
    ),
]
