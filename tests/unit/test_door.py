"""The command line as a shell meets it: pipes, narrow encodings, too little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from typer.main import get_command
from typer.testing import CliRunner

from hicra_verl import grams
from hicra_verl.cli import app
from hicra_verl.cli.door import PANELS
from hicra_verl.documentation import commands_below


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``$HICRA`` is the command."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HICRA": f"{sys.executable} -m hicra_verl.cli", **environment}
    return subprocess.run(["bash", "-c", line], env=variables, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("output", ["/dev/stdout | cat", "/dev/stderr 2>&1 | cat", ">(cat) | cat"])
def test_an_output_may_be_a_pipe(output: str) -> None:
    assert shell("$HICRA table --format html -o /dev/stdout | cat").stdout.count("</table>") > 1
    ended = shell(f"$HICRA grams drop paper --fraction 0.5 -o {output}")
    assert "cannot be written" not in ended.stdout + ended.stderr
    assert json.loads(ended.stdout[ended.stdout.index("{") : ended.stdout.rindex("}") + 1])["grams"]


@pytest.mark.parametrize("words", ["--help", "recipes", "stages --help", "absent-commänd"])
def test_a_terminal_of_few_letters(words: str) -> None:
    ended = shell(f"$HICRA {words}", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "Traceback" not in ended.stderr
    assert ended.returncode == (2 if "absent" in words else 0)
    assert (ended.stdout + ended.stderr).isascii()


@pytest.mark.parametrize("said", ["", "Unable to allocate 8.00 TiB"])
def test_too_little_memory_is_one_message(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    def fill(*_: object) -> None:
        raise MemoryError(said)

    monkeypatch.setattr(grams, "load_grams", fill)
    ended = CliRunner().invoke(app, ["grams", "show"])
    assert ended.exit_code == 1
    assert "the memory does not suffice" in ended.output
    assert said in ended.output


def test_help_has_an_order() -> None:
    placed = [name for names in PANELS.values() for name in names]
    assert sorted(placed) == sorted(get_command(app).commands)  # type: ignore[attr-defined]
    printed = CliRunner().invoke(app, ["--help"]).output
    places = [printed.index(f"─ {panel} ─") for panel in PANELS]
    assert places == sorted(places)
    assert "─ Commands ─" not in printed


def test_arguments_are_named_in_capitals_and_defaults_in_words() -> None:
    for name, command in commands_below("hicra", get_command(app)):
        for each in command.params:
            if each.param_type_name == "argument":
                assert (each.metavar or "").lower() != (each.metavar or ""), f"{name}: {each.name}"
            else:
                assert not (isinstance(each.default, tuple) and each.show_default), f"{name}: {each.name}"
