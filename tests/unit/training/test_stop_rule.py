"""How often the shipped stop rule is wrong, and how soon it is right, on simulated validations.

Its two numbers were chosen on curves drawn from other seeds than these.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT

from hicra_verl.training.rules import Falls
from hicra_verl.training.stages import load_plan

RUNS, VALIDATIONS = 1000, 50


def shipped() -> Falls:
    rule = load_plan(ROOT / "recipes" / "shared" / "stages" / "paper.yaml").stop
    assert isinstance(rule, Falls)
    return rule


def noise(seed: int, carried: float, length: int = VALIDATIONS) -> np.ndarray:
    """(runs, validations) of variance 1; each keeps the share ``carried`` of the one before."""
    fresh = np.random.default_rng(seed).normal(size=(RUNS, length))
    values = fresh.copy()
    for step in range(1, length):
        values[:, step] = carried * values[:, step - 1] + (1 - carried**2) ** 0.5 * fresh[:, step]
    return values


def stops(curves: np.ndarray) -> list[int | None]:
    """The validation after which each run is stopped, None for one that is not."""
    rule, ends = shipped(), []
    for curve in curves.tolist():
        ends.append(next((end for end in range(1, len(curve) + 1) if rule.fires(curve[:end])), None))
    return ends


@pytest.mark.parametrize("carried", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("shape", ["flat", "rises, then flat", "rises slowly"])
def test_noise_alone_stops_fewer_than_two_runs_in_a_hundred(carried: float, shape: str) -> None:
    time = np.arange(VALIDATIONS)
    trend = {"flat": 0 * time, "rises, then flat": 10 * np.minimum(time / 15, 1), "rises slowly": 0.2 * time}[shape]
    false = sum(end is not None for end in stops(trend + noise(1, carried)))
    assert false < 0.02 * RUNS


@pytest.mark.parametrize("sd", [0.003, 0.015, 0.1])
def test_the_level_of_the_noise_does_not_matter(sd: float) -> None:
    curves = noise(2, 0.0)
    assert sum(end is not None for end in stops(0.4 + sd * curves)) < 0.02 * RUNS


def test_grades_of_a_few_problems_do_not_stop_a_run() -> None:
    """AIME24 as it is: 30 problems, 32 samples each, the same chances of success at every validation."""
    draw = np.random.default_rng(3)
    chances = draw.beta(0.3, 0.7, size=(RUNS, 1, 30))
    curves = draw.binomial(32, np.repeat(chances, VALIDATIONS, axis=1)).mean(axis=2) / 32
    assert sum(end is not None for end in stops(curves)) < 0.02 * RUNS


@pytest.mark.parametrize("carried", [0.0, 0.5])
@pytest.mark.parametrize(("start", "rise"), [(12, 0), (12, 8), (30, 0), (30, 10)])
def test_a_falling_run_is_stopped_within_ten_validations(start: int, rise: float, carried: float) -> None:
    """Falling: by 1.5 times the noise a validation, about two points of AIME24 every ten steps."""
    time = np.arange(start + 10)
    trend = rise * np.minimum(time / start, 1) - 1.5 * np.maximum(time - start + 1, 0)
    ends = stops(trend + noise(4, carried, start + 10))
    assert sum(end is not None and end > start for end in ends) > 0.98 * RUNS
