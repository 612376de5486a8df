"""The command line: everything outside training. Each command's module imports what it needs when it runs."""

from hicra_verl.cli import analysis, data, doctor, errors, evaluate, grams, judging, mining, precision, recipes, tag  # noqa: F401
from hicra_verl.cli.app import app, main

__all__ = ["app", "main"]
