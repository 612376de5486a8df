"""The public names: importing the package is light, and each name is there when it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hicra_verl
from hicra_verl import __all__ as names

HEAVY = ("torch", "verl", "transformers", "numpy", "ray", "typer", "ahocorasick_rs")


def heavy_after(code: str) -> set[str]:
    """Which heavy packages a fresh process has imported after ``code``."""
    probe = f"import sys\n{code}\nprint(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_light() -> None:
    assert heavy_after("import hicra_verl, hicra_verl.plugin; dir(hicra_verl); hicra_verl.__version__") == set()


def test_a_name_brings_what_it_needs_and_no_more() -> None:
    assert heavy_after("from hicra_verl import HicraConfig, HicraError, SELECTORS, SHAPERS, needs, Between") == set()
    assert heavy_after("from hicra_verl import RolloutBatch, load_grams, shape_advantages") <= {"numpy"}


@pytest.mark.parametrize("name", names)
def test_every_name_is_there(name: str) -> None:
    assert getattr(hicra_verl, name) is not None
    assert name in dir(hicra_verl)


def test_no_other_name_is_made_up() -> None:
    with pytest.raises(ImportError, match="shape_advantage"):
        from hicra_verl import shape_advantage  # type: ignore[attr-defined]  # noqa: F401
    with pytest.raises(AttributeError, match="has no attribute 'shapes'"):
        hicra_verl.shapes  # noqa: B018


def test_type_checkers_know_the_same_names() -> None:
    tree = ast.parse(Path(hicra_verl.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    known = {
        (node.module.removeprefix("hicra_verl."), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.asname == alias.name
    }
    assert known == {(module, name) for name, module in hicra_verl._MODULE_OF_NAME.items()}
    assert (Path(hicra_verl.__file__).parent / "py.typed").is_file()
