"""The colours of every figure and page, in one place."""

from __future__ import annotations

from typing import NamedTuple

from hicra_verl.grams.gramset import FUNCTIONS

INK, SOFT = "#1d2730", "#64707c"
BLUE, RED, GREEN, AMBER = "#2a6f97", "#c1121f", "#588157", "#b5750b"
VIOLET, PINK, TEAL = "#7b2cbf", "#d81159", "#1b998b"

PLANNING, EXECUTION, OTHER = RED, BLUE, SOFT
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#5b5b5b", "#e69f00", "#000000")
"""Of methods and runs, in the order they are given: Okabe and Ito's for the colour-blind, grey for yellow."""


class Shade(NamedTuple):
    """How a function is shown: white text on ``strong``, dark text on ``pale``, or underlined; each tells it apart."""

    strong: str
    pale: str
    underline: str


_SHADES = (
    Shade(BLUE, "#cfe8ff", "solid"),
    Shade(GREEN, "#d5ecd0", "dashed"),
    Shade(RED, "#ffd0d6", "double"),
    Shade(AMBER, "#ffe2b8", "dotted"),
)
FUNCTION_SHADES = dict(zip(FUNCTIONS, _SHADES, strict=True))


def function_rules(rule: str) -> str:
    """A style sheet's rules, one a function: ``rule`` with ``{name}``, ``{strong}``, ``{pale}``, ``{underline}``."""
    return "".join(
        rule.replace("{name}", name)
        .replace("{strong}", shade.strong)
        .replace("{pale}", shade.pale)
        .replace("{underline}", shade.underline)
        for name, shade in FUNCTION_SHADES.items()
    )
