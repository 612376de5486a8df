"""`hicra dynamics`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from bad_input import Case
from small_runs import METRICS, RUN, dump, link, logged, without

ALL = ("png", "pdf", "svg", "csv")


def drawn(*names: str) -> Any:
    def check(folder: Path, printed: str) -> None:
        there = {path.stem for path in (folder / "dynamics").glob("*.png")}
        assert there >= set(names), there
        for name in names:
            for form in ALL:
                assert (folder / "dynamics" / f"{name}.{form}").stat().st_size > 20

    return check


def rows(folder: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    with (folder / "dynamics" / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def apart(folder: Path, printed: str) -> None:
    """Both runs' numbers are there, each under its own name; neither counts as the other's seed."""
    drawn("dynamics_z1_run", "dynamics_z2_run", "comparison")(folder, printed)
    assert {row["run"] for row in rows(folder)} == {"z1_run", "z2_run"}
    assert {row["method"] for row in rows(folder, "comparison.csv")} == {"z1_run", "z2_run"}


def no_formula(folder: Path, printed: str) -> None:
    cells = [cell for name in ("metrics.csv", "trace_=1+1.csv") for row in rows(folder, name) for cell in row.values()]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not any(cell.lstrip().startswith(("=", "+", "@")) for cell in cells)


def best_is_scored(folder: Path, printed: str) -> None:
    assert "".join(row["text"] for row in rows(folder, "trace_run.csv")) == "but wait"


def bad_run(name: str, files: dict[str, Any], *says: str, **more: Any) -> Case:
    return Case(name, ["dynamics", "run"], says, files, env={"COLUMNS": "250"}, **more)


LENGTHS = logged('{"response_length/mean": 30}', '{"response_length/mean": 31}')
TWO = {"z1/run/metrics.jsonl": LENGTHS, "z2/run/metrics.jsonl": LENGTHS}
OLD = {**RUN, "dynamics/dynamics_run.png": "the old figure", "dynamics/metrics.csv": "the old numbers"}

CASES = [
    Case("no run given", ["dynamics"], ("Missing argument",)),
    Case("no such run", ["dynamics", "absent"], ("absent", "no such run")),
    Case("a run twice", ["dynamics", "run", "run"], ("given twice",), RUN),
    Case("a run and its metrics", ["dynamics", "a=run", "a=run/metrics.jsonl"], ("given twice", "two seeds"), RUN),
    Case(
        "a run and its rollouts", ["dynamics", "a=run", "b=run/rollouts"], ("given twice", "run/rollouts/1.jsonl"), RUN
    ),
    Case(
        "a run and a hard link to its metrics",
        ["dynamics", "a=run", "a=copy.jsonl"],
        ("given twice", "two seeds"),
        RUN,
        prepare=lambda folder: (folder / "copy.jsonl").hardlink_to(folder / "run/metrics.jsonl"),
    ),
    Case("two folders of one name", ["dynamics", "z1/run", "z2/run"], (), TWO, code=0, after=apart),
    Case("a link to itself", ["dynamics", "loop"], ("no such run",), prepare=link("loop", "loop")),
    Case(
        "a folder whose links go in a circle",
        ["dynamics", "run"],
        ("holds neither",),
        {"run/x": ""},
        prepare=link("run/again", "../run"),
    ),
    bad_run("metrics nested too deep", {"run/metrics.jsonl": "[" * 100_000 + "\n"}, "line 1", "nested too deep"),
    bad_run("rollouts in UTF-16", {"run/rollouts/1.jsonl": dump({}).encode("utf-16")}, "1.jsonl, line 1", "UTF-8"),
    bad_run("a score that is a list", {"run/rollouts/1.jsonl": dump({"score": [1]})}, "line 1", "'score'"),
    bad_run(
        "scores that are null",
        {"run/rollouts/1.jsonl": dump({"score": None}, {"score": 0.5, "output": "but wait"})},
        "1 of 2 responses have no score",
        code=0,
        after=best_is_scored,
    ),
    bad_run(
        "responses that are all empty",
        {"run/rollouts/1.jsonl": dump({"output": ""})},
        code=0,
        after=drawn("dynamics_run"),
    ),
    bad_run(
        "a dump without rows",
        {"run/rollouts/1.jsonl": "\n", "run/metrics.jsonl": METRICS},
        code=0,
        after=drawn("dynamics_run"),
    ),
    bad_run(
        "a step of a trillion",
        {"run/metrics.jsonl": METRICS + '{"step": 1000000000000, "data": {"critic/score/mean": 1}}\n'},
        "no metrics for 999999999997 steps",
        code=0,
        after=drawn("dynamics_run"),
    ),
    bad_run("a step beyond 64 bits", {"run/metrics.jsonl": f'{{"step": {2**64}, "data": {{}}}}\n'}, "line 1", "step"),
    bad_run(
        "values as large as they get",
        {
            "run/metrics.jsonl": logged(
                '{"critic/score/mean": 1e308, "response_length/mean": 1e300}',
                '{"critic/score/mean": -1e308}',
                '{"response_length/mean": -1e300, "hicra/semantic_entropy_nats": 1e-300}',
            )
        },
        "critic/score/mean is 1e+308 at step 1",
        code=0,
        after=drawn("dynamics_run"),
    ),
    bad_run(
        "metrics that are texts", {"run/metrics.jsonl": logged('{"critic/score/mean": "0.5"}')}, "is blank", code=0
    ),
    bad_run(
        "dollars, emoji and control characters in a response",
        {
            "run/rollouts/1.jsonl": dump(
                {"output": r"so $\frac{1}$ $^ \x 🎲 we can see that \u0007 \u0000 \u2028 ${" + "x" * 500}
            )
        },
        code=0,
        after=drawn("trace_run"),
    ),
    Case(
        "dollars and emoji in a label",
        ["dynamics", r"$\frac{ 🎲 $^=run", "$x=z1/run"],
        (),
        {**RUN, **TWO},
        code=0,
        after=drawn(r"dynamics_$\frac{ 🎲 $^", "comparison"),
    ),
    Case(
        "dollars in grams",
        ["dynamics", "run", "--grams", "grams.json"],
        (),
        {
            **RUN,
            "grams.json": json.dumps(
                {
                    "schema_version": 1,
                    "name": "odd",
                    "description": "x",
                    "provenance": {},
                    "grams": [
                        {"text": r"$\frac{$^", "function": "other", "source": "x"},
                        {"text": "so", "function": "deduction", "source": "x"},
                    ],
                }
            ),
        },
        code=0,
        after=drawn("distributions_run"),
    ),
    Case("a label and a response that a spreadsheet would run", ["dynamics", "=1+1=run"], ("the label", "empty"), RUN),
    Case(
        "a run and a response that a spreadsheet would run",
        ["dynamics", "./=1+1"],
        (),
        {"=1+1/rollouts/1.jsonl": dump({"output": '=HYPERLINK("http://x") so @SUM'})},
        code=0,
        after=no_formula,
    ),
    Case("no such gram set", ["dynamics", "run", "--grams", "absent.json"], ("absent.json",), RUN),
    Case(
        "an output that is a file",
        ["dynamics", "run"],
        ("dynamics", "is a file"),
        {**RUN, "dynamics": "mine"},
        kept=("dynamics",),
    ),
    Case("an output below a file", ["dynamics", "run", "-o", "file/x"], ("file/x",), {**RUN, "file": ""}),
    Case("an output under /proc", ["dynamics", "run", "-o", "/proc/1/x"], ("/proc/1/x", "cannot be written"), RUN),
    Case(
        "an output that cannot be made, before the run is read",
        ["dynamics", "absent", "-o", "file/x"],
        ("file/x",),
        {"file": ""},
    ),
    Case(
        "a folder where a figure should be",
        ["dynamics", "run"],
        ("dynamics_run.png", "is a folder"),
        {**RUN, "dynamics/dynamics_run.png/x": ""},
    ),
    Case(
        "a folder where the numbers should be",
        ["dynamics", "run"],
        ("metrics.csv", "is a folder"),
        {**RUN, "dynamics/metrics.csv/x": ""},
        absent=("dynamics/dynamics_run.png",),
    ),
    Case(
        "a nearly full disk",
        ["dynamics", "run"],
        ("dynamics_run.png", "what was there before"),
        OLD,
        kept=("dynamics/dynamics_run.png", "dynamics/metrics.csv"),
        file_limit=2_000,
    ),
    Case(
        "the numbers' place is the input",
        ["dynamics", "dynamics/metrics.csv"],
        ("metrics.csv", "would replace the input"),
        {"dynamics/metrics.csv": "Step,critic/score/mean\n1,2\n"},
        kept=("dynamics/metrics.csv",),
    ),
    *(
        Case(
            f"{package} is not installed",
            ["dynamics", "run"],
            (package, remedy),
            files,
            absent=absent,
            prepare=without(package, unload="hicra_verl.analysis"),
        )
        for package, remedy, files, absent in (
            ("matplotlib", "hicra-verl[analysis]", RUN, ("dynamics",)),
            ("tensorboard", "pip install", {"run/events.out.tfevents.1": b"x"}, ()),
        )
    ),
]
