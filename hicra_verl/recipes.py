"""The recipes: one script for every row of the paper's tables, and what is known about each."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hicra_verl.errors import HicraError, nearest
from hicra_verl.evaluation.table import paper_numbers

DYNAMICS_ROWS = {
    "llama31_8b_base_grpo": "Llama-3.1-8B-Base",
    "r1_distill_llama_8b_grpo": "DeepSeek-R1-Distill-Llama-8B",
}
"""Rows of the paper's figures on training dynamics that are in none of its tables."""

SMOKE_ROWS = {"qwen25_1_5b_grpo": "GRPO", "qwen25_1_5b_hicra": "HICRA"}
"""Not in the paper: a small model on one GPU, to see the whole cycle before a row of the paper."""


@dataclass(frozen=True)
class Recipe:
    """A row.

    Attributes:
        row: its name; the script is ``ROW.sh``.
        model: the model's printed name.
        method: the method's printed name.
        numbers: (benchmark, the paper's number) pairs, where it gives one.
        source: "paper"; "review" for numbers given by the authors in review; "smoke" for a row that is not the paper's.
        script: the script.
    """

    row: str
    model: str
    method: str
    numbers: tuple[tuple[str, float], ...]
    source: str
    script: Path

    @property
    def trains(self) -> bool:
        """False for rows that only evaluate a published checkpoint."""
        return 'train "$@"' in self.script.read_text(encoding="utf-8")


class RecipeError(HicraError):
    """There is no such recipe, or no recipes; the message says what to do."""


def folder() -> Path:
    """Where the scripts are: in the installed package, or in the checkout it is installed from."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "_recipes", package.parent / "recipes"):
        if (candidate / "shared" / "recipe.sh").exists():
            return candidate
    raise RecipeError("the recipes are not part of this installation; use a checkout of hicra_verl")


def all_recipes() -> list[Recipe]:
    """Every row, in the order of the paper's tables, then those of its figures only, then the smoke rows."""
    scripts = folder()
    found = []
    for table in paper_numbers()["tables"]:
        for row in table["rows"]:
            pairs = zip(table["benchmarks"], row["values"], strict=True)
            numbers = tuple((benchmark, value) for benchmark, value in pairs if value is not None)
            script = scripts / f"{row['row']}.sh"
            found.append(Recipe(row["row"], row["model"], row["method"], numbers, row["source"], script))
    for name, model in DYNAMICS_ROWS.items():
        found.append(Recipe(name, model, "GRPO", (), "paper", scripts / f"{name}.sh"))
    for name, method in SMOKE_ROWS.items():
        found.append(Recipe(name, "Qwen2.5-1.5B-Base", method, (), "smoke", scripts / f"{name}.sh"))
    return found


def recipe(row: str) -> Recipe:
    """The recipe of a row.

    Raises:
        RecipeError: if there is none, naming the nearest.
    """
    known = {entry.row: entry for entry in all_recipes()}
    if row not in known:
        raise RecipeError(f"{row}: no such recipe; {nearest(row, list(known))}")
    return known[row]


def words(entry: Recipe, overrides: list[str]) -> list[str]:
    """The whole command that the row's script would run, word by word."""
    return shlex.split(command(entry, overrides))


def command(entry: Recipe, overrides: list[str]) -> str:
    """The whole command that the row's script would run, quoted for a shell.

    Raises:
        RecipeError: if the script fails.
    """
    done = subprocess.run(
        ["bash", str(entry.script), *overrides],
        env={**os.environ, "RECIPE_DRY_RUN": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RecipeError(f"{entry.script}: {done.stderr.strip()}")
    return done.stdout.strip()
