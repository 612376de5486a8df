"""The recipes: one script for every row of the paper's tables, and what is known about each."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hicra_verl.errors import HicraError, nearest
from hicra_verl.evaluation.benchmarks import TITLES
from hicra_verl.evaluation.results import OWN_ROW, row_name
from hicra_verl.evaluation.table import paper_numbers
from hicra_verl.records import read_json

DYNAMICS_ROWS = {
    "llama31_8b_base_grpo": "Llama-3.1-8B-Base",
    "r1_distill_llama_8b_grpo": "DeepSeek-R1-Distill-Llama-8B",
}
"""Rows of the paper's figures on training dynamics that are in none of its tables."""

SMOKE_ROWS = {"qwen25_1_5b_grpo": "GRPO", "qwen25_1_5b_hicra": "HICRA"}
"""Not in the paper: a small model on one GPU, to see the whole cycle before a row of the paper."""


STATUS_FIELDS = ("commit", "date", "log")
"""What is recorded of a row that has been run at full scale."""


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
        status: "not yet", or when, at which commit and where it has been run at full scale.
    """

    row: str
    model: str
    method: str
    numbers: tuple[tuple[str, float], ...]
    source: str
    script: Path
    status: str = "not yet"

    @property
    def trains(self) -> bool:
        """False for rows that only evaluate a published checkpoint."""
        return 'train "$@"' in self.script.read_text(encoding="utf-8")

    @property
    def printed(self) -> str:
        """The paper's numbers, by the benchmarks' titles."""
        return " · ".join(f"{TITLES[name]} {value:.1f}" for name, value in self.numbers)


class RecipeError(HicraError):
    """There is no such recipe, or no recipes; the message says what to do."""


def folder() -> Path:
    """Where the scripts are: in the installed package, or in the checkout it is installed from."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "_recipes", package.parent / "recipes"):
        if (candidate / "shared" / "recipe.sh").exists():
            return candidate
    raise RecipeError("the recipes are not part of this installation; use a checkout of hicra_verl")


def statuses(scripts: Path) -> dict[str, str]:
    """What ``status.json`` beside the scripts records: row to when, at which commit and where it has been run.

    Raises:
        RecipeError: if a row lacks one of the three.
    """
    file = scripts / "status.json"
    found = {}
    for row, run in read_json(file, "it maps a row to its commit, date and log").items():
        fields = run if isinstance(run, dict) else {}
        for name in STATUS_FIELDS:
            if not isinstance(fields.get(name), str) or not fields[name]:
                raise RecipeError("is missing, or is no text", file=file, field=f"{row}.{name}")
        found[row] = f"{fields['date']}, commit {fields['commit']}, log {fields['log']}"
    return found


def in_words(entry: Recipe) -> str:
    """A row's numbers: whose they are, and on which benchmarks."""
    if entry.source == "smoke":
        return "smoke: one GPU, one evening; not the paper's"
    return f"{entry.printed or 'in its figures only'}{' (authors, in review)' if entry.source == 'review' else ''}"


def all_recipes() -> list[Recipe]:
    """Every row, in the order of the paper's tables, then those of its figures only, then the smoke rows."""
    scripts = folder()
    status = statuses(scripts)
    rows: list[tuple[str, str, str, tuple[tuple[str, float], ...], str]] = []
    for table in paper_numbers()["tables"]:
        for row in table["rows"]:
            pairs = zip(table["benchmarks"], row["values"], strict=True)
            numbers = tuple((benchmark, value) for benchmark, value in pairs if value is not None)
            rows.append((row["row"], row["model"], row["method"], numbers, row["source"]))
    rows += [(name, model, "GRPO", (), "paper") for name, model in DYNAMICS_ROWS.items()]
    rows += [(name, "Qwen2.5-1.5B-Base", method, (), "smoke") for name, method in SMOKE_ROWS.items()]
    return [Recipe(*row, scripts / f"{row[0]}.sh", status.get(row[0], "not yet")) for row in rows]


def recipe(row: str) -> Recipe:
    """The recipe of a row.

    Raises:
        RecipeError: if there is none, naming the nearest.
    """
    known = {entry.row: entry for entry in all_recipes()}
    if row not in known:
        raise RecipeError(f"{row[:60]}: no such recipe; {nearest(row, list(known))}")
    return known[row]


def method_names() -> dict[str, str]:
    """Names that METHOD takes beside the files in ``shared/methods``: each with the setting it is a value of."""
    from hicra_verl.extensions import SELECTORS, SHAPERS

    return {name: registry.setting for registry in (SELECTORS, SHAPERS) for name in registry.names()}


def method_setting(name: str) -> str:
    """The word that makes a HICRA run one of a registered selector or shaper.

    Raises:
        RecipeError: if there is none of that name, with all names.
    """
    known = method_names()
    if name not in known:
        files = [path.stem for path in (folder() / "shared" / "methods").glob("*.sh")]
        raise RecipeError(f"METHOD={name[:60]}: no such method; {nearest(name, sorted({*files, *known}))}")
    return f"algorithm.hicra.{known[name]}={name}"


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
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise RecipeError(done.stderr.strip() or f"ended with code {done.returncode}", file=entry.script)
    return done.stdout.strip()


def row_name_of(word: str) -> str:
    """The row of the tables that ``hicra eval --row`` names: a recipe's, or one of one's own.

    Raises:
        RecipeError: if it is neither.
    """
    name = row_name(word, [entry.row for entry in all_recipes()])
    if name == word:
        try:
            recipe(word)
        except RecipeError as error:
            raise RecipeError(f"--row {error} For a row of your own: --row {OWN_ROW}{word}") from error
    return name
