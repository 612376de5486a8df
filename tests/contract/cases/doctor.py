"""`hicra doctor`: it finds what is wrong; it never falls over it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import Case

GOOD = json.dumps({"plugin_loaded": True, "patches": {"a": "in place"}, "device": "cpu"})


def probe(answer: Any) -> Callable[[Path], Callable[[], None]]:
    """A fresh process that answers so, without its minute: (exit code, output, error output), or an exception."""

    def prepare(_: Path) -> Callable[[], None]:
        from hicra_verl import doctor

        def run(*words: Any, **options: Any) -> subprocess.CompletedProcess[str]:
            if isinstance(answer, BaseException):
                raise answer
            return subprocess.CompletedProcess(words, *answer)

        original, doctor.subprocess = doctor.subprocess, _Run(run)

        def undo() -> None:
            doctor.subprocess = original

        return undo

    return prepare


class _Run:
    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run


def without(package: str) -> Callable[[Path], Callable[[], None]]:
    def prepare(_: Path) -> Callable[[], None]:
        from hicra_verl import doctor

        original = doctor.version_of
        doctor.version_of = lambda name: None if name == package else original(name)

        def undo() -> None:
            doctor.version_of = original

        return undo

    return prepare


def report(ok: bool, *names: str) -> Callable[[Path, str], None]:
    """What is printed is the report, and these checks failed."""

    def check(_: Path, printed: str) -> None:
        found = json.loads(printed)
        assert found["ok"] is ok
        failed = {entry["name"] for entry in found["checks"] if not entry["ok"]}
        assert failed == set(names)
        assert all(entry["remedy"] for entry in found["checks"] if not entry["ok"])

    return check


def asked(name: str, answer: Any, *says: str) -> Case:
    return Case(
        name,
        ["doctor", "--no-ray", "--json"],
        says,
        prepare=probe(answer),
        code=1,
        after=report(False, "fresh process"),
    )


JSON = ["doctor", "--no-ray", "--json"]
CASES = [
    Case("all well", JSON, prepare=probe((0, GOOD, "")), code=0, after=report(True)),
    Case(
        "a misspelt gram set",
        [*JSON, "--grams", "papre"],
        ("did you mean 'paper'",),
        prepare=probe((0, GOOD, "")),
        code=1,
        after=report(False, "papre"),
    ),
    Case(
        "a broken gram set",
        [*JSON, "--grams", "g.json"],
        ("not valid JSON",),
        {"g.json": "{"},
        probe((0, GOOD, "")),
        code=1,
        after=report(False, "g.json"),
    ),
    Case(
        "a gram set in a circle of links",
        [*JSON, "--grams", "g.json"],
        (),
        {"g.json": lambda path: path.symlink_to("g.json")},
        probe((0, GOOD, "")),
        code=1,
        after=report(False, "g.json"),
    ),
    Case("verl is not installed", JSON, ("pip install",), prepare=without("verl"), code=1, after=report(False, "verl")),
    Case("torch is not installed", JSON, ("torch",), prepare=without("torch"), code=1, after=report(False, "torch")),
    asked("verl does not import", (1, "", "Traceback\nImportError: no"), "ImportError: no"),
    asked("a process that says nothing", (0, "", ""), "no output"),
    asked("a process killed for its memory", (-9, "", ""), "no output"),
    asked("a process that says something else", (0, "hello\n", ""), "import verl"),
    asked("a process that says a list", (0, "[1]\n", ""), "[1]"),
    asked("a process that never ends", subprocess.TimeoutExpired("python", 600), "timed out"),
    asked("no memory for a process", OSError(12, "Cannot allocate memory"), "Cannot allocate memory"),
    Case(
        "a patch that does not fit",
        JSON,
        ("verl",),
        prepare=probe((0, GOOD.replace("in place", "not wrapped"), "")),
        code=1,
        after=report(False, "a"),
    ),
    Case(
        "plugins switched off",
        JSON,
        ("VERL_USE_EXTERNAL_PLUGINS=none",),
        prepare=probe((0, GOOD.replace("true", "false"), "")),
        code=1,
        env={"VERL_USE_EXTERNAL_PLUGINS": "none"},
        after=report(False, "fresh process"),
    ),
    Case("an option that is none", ["doctor", "--jsno"], ("--jsno",)),
]
