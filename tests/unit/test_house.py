"""What holds the structure together: sizes, one of each, and no import upward."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "hicra_verl"
MODULES = sorted(PACKAGE.rglob("*.py"))
MODULE_LINES = 300
FUNCTION_LINES = 60


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_sizes(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= FUNCTION_LINES, node.name


def test_one_base_of_errors() -> None:
    """Every error of the package is a HicraError, so the command's door knows them all."""
    bases: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                bases[node.name] = [ast.unparse(base) for base in node.bases]
    assert bases.pop("HicraError") == ["ValueError"]

    def root(name: str) -> str:
        return root(bases[name][0]) if name in bases else name

    assert {root(name) for name in bases} == {"HicraError"}


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found.append((name, node))
    return found


def test_one_writer_of_files() -> None:
    """Files are written by ``files.py``; elsewhere they are only appended to, or read."""
    offenders = []
    for path in MODULES:
        if path == PACKAGE / "files.py":
            continue
        for name, call in calls(path):
            modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            modes += [
                word.value.value
                for word in call.keywords
                if word.arg == "mode" and isinstance(word.value, ast.Constant) and isinstance(word.value.value, str)
            ]
            writes = name in ("write_text", "write_bytes") and isinstance(call.func, ast.Attribute)
            if writes or (name == "open" and any(mode.strip("bt+") in ("w", "x") for mode in modes)):
                offenders.append(f"{path.relative_to(PACKAGE)}:{call.lineno}")
    assert offenders == []


def test_commands_hold_no_error_handling() -> None:
    """Errors rise to the command's door; a command that catches them would need to know what to do instead."""
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        if path.name != "door.py":
            caught = [
                ast.unparse(node.type)
                for node in ast.walk(tree(path))
                if isinstance(node, ast.ExceptHandler) and node.type
            ]
            assert not [name for name in caught if "HicraError" in name or "OSError" in name], path.name
