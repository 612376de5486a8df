"""The command line: everything outside training. Each command's module imports what it needs when it runs."""

from hicra_verl.cli import analysis, data, doctor, errors, evaluate, grams, judging, mining, precision, recipes, tag
from hicra_verl.cli.app import app as app
from hicra_verl.cli.app import main as main

__all__ = [
    "analysis",
    "app",
    "data",
    "doctor",
    "errors",
    "evaluate",
    "grams",
    "judging",
    "main",
    "mining",
    "precision",
    "recipes",
    "tag",
]
