"""The formula against a table computed by hand; the settings and their error messages; the measurements."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hicra_verl.advantage import shape_advantages
from hicra_verl.config import HicraConfig
from hicra_verl.extensions import HicraConfigError
from hicra_verl.grams import Gram, GramSet
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.metrics import entropy_nats
from hicra_verl.metrics.forks import high_entropy_mask
from hicra_verl.training.step import StepShaper

BY_HAND = [  # A, planning, A' at alpha 0.25
    (2.0, True, 2.5),
    (2.0, False, 2.0),
    (-2.0, True, -1.5),
    (-2.0, False, -2.0),
    (0.0, True, 0.0),
]


def test_formula_by_hand() -> None:
    base, mask, expected = (list(column) for column in zip(*BY_HAND, strict=True))
    shaped = shape_advantages(torch.tensor([base]), torch.tensor([mask]), 0.25)
    assert shaped.tolist() == [expected]


@given(st.lists(st.tuples(st.floats(-10, 10, width=32), st.booleans()), min_size=1), st.floats(0, 0.99))
def test_formula_on_random_input(rows: list[tuple[float, bool]], alpha: float) -> None:
    base = torch.tensor([value for value, _ in rows])
    mask = torch.tensor([planning for _, planning in rows])
    shaped = shape_advantages(base, mask, alpha)
    for value, planning, got in zip(base.tolist(), mask.tolist(), shaped.tolist(), strict=True):
        assert got == pytest.approx(value + alpha * abs(value) if planning else value, rel=1e-6, abs=4e-6)
    assert torch.equal(shaped[~mask], base[~mask])
    assert torch.equal(shape_advantages(base, mask, 0), base)


def test_formula_refuses_other_shapes_and_masks() -> None:
    with pytest.raises(ValueError, match="one shape"):
        shape_advantages(torch.zeros(2, 3), torch.zeros(2, 2, dtype=torch.bool), 0.2)
    with pytest.raises(ValueError, match="bool"):
        shape_advantages(torch.zeros(2), torch.zeros(2, dtype=torch.long), 0.2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alhpa": 0.3}, r"algorithm.hicra.alhpa: no such setting; did you mean 'alpha'"),
        ({"gram": "x"}, r"did you mean 'grams'"),
        ({"alpha": 1.0}, r"algorithm.hicra.alpha=1.0: expected a number with 0 <= alpha < 1"),
        ({"alpha": "high"}, r"algorithm.hicra.alpha='high'"),
        ({"alpha": True}, r"algorithm.hicra.alpha=True"),
        ({"alpha": math.nan}, r"algorithm.hicra.alpha=nan"),
        ({"base": "hicra"}, r"cannot be its own base"),
        ({"base": None}, r"algorithm.hicra.base=None"),
        ({"grams": ""}, r"algorithm.hicra.grams=''"),
        (0.3, r"algorithm.hicra=0.3: expected settings"),
    ],
)
def test_wrong_settings(settings: object, message: str) -> None:
    with pytest.raises(HicraConfigError, match=message):
        HicraConfig.from_mapping(settings)  # type: ignore[arg-type]


def test_defaults_are_the_papers() -> None:
    assert HicraConfig.from_mapping(None) == HicraConfig(alpha=0.2, base="grpo", grams="paper")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], 0.0),
        ([0, 0], 0.0),
        ([5], 0.0),
        ([1, 1], math.log(2)),
        ([2, 1, 1], 1.5 * math.log(2)),
        ([3, 0, 3], math.log(2)),
    ],
)
def test_entropy_by_hand(counts: list[int], expected: float) -> None:
    assert entropy_nats(counts) == pytest.approx(expected)


def test_step_metrics_by_hand() -> None:
    """Two responses of three tokens and a padding row; tokens: 0 = "so", 1 = " x", 2 = " wait"."""
    grams = GramSet("test", (Gram("so", "other", ""), Gram("wait", "other", "")))
    shaper = StepShaper(HicraConfig(alpha=0.5), grams, GramMatcher(grams, [b"so", b" x", b" wait"]))
    responses = torch.tensor([[0, 1, 2], [1, 1, 0], [1, 0, 0]])
    response_mask = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0]])
    advantages = torch.tensor([[2.0, 2.0, 2.0], [-1.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
    shaped = shaper.shape(advantages, responses, response_mask)
    assert shaped.tolist() == [[3.0, 2.0, 3.0], [-1.0, -1.0, 0.0], [0.0, 0.0, 0.0]]
    metrics = shaper.take_metrics(step_s=100.0)
    assert metrics["hicra/planning_fraction"] == pytest.approx(2 / 5)
    assert metrics["hicra/tokens_changed"] == 2
    assert metrics["hicra/semantic_entropy_nats"] == pytest.approx(math.log(2))
    assert metrics["hicra/responses_without_planning_fraction"] == pytest.approx(1 / 2)
    assert metrics["hicra/advantage_planning_base/mean"] == 2.0
    assert metrics["hicra/advantage_planning_shaped/mean"] == 3.0
    assert metrics["hicra/advantage_execution_base/mean"] == pytest.approx(0.0)
    assert metrics["hicra/advantage_execution_shaped/mean"] == pytest.approx(0.0)
    assert metrics["hicra/step_time_fraction"] == pytest.approx(metrics["timing_s/hicra"] / 100)
    assert shaper.take_metrics(step_s=100.0) == {}


def test_step_refuses_other_shapes() -> None:
    grams = GramSet("test", (Gram("so", "other", ""),))
    shaper = StepShaper(HicraConfig(), grams, GramMatcher(grams, [b"so"]))
    with pytest.raises(ValueError, match=r"must have one shape \(B, T\)"):
        shaper.shape(torch.zeros(2, 3), torch.zeros(2, 2, dtype=torch.long), torch.ones(2, 3))


def test_no_planning_mean_is_invented() -> None:
    grams = GramSet("test", (Gram("so", "other", ""),))
    shaper = StepShaper(HicraConfig(allow_no_match=True), grams, GramMatcher(grams, [b"x"]))
    base = torch.tensor([[0.1, -0.2]])
    assert torch.equal(shaper.shape(base, torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2)), base)
    metrics = shaper.take_metrics(None)
    assert "hicra/advantage_planning_base/mean" not in metrics
    assert "hicra/step_time_fraction" not in metrics
    assert all(np.isfinite(value) for value in metrics.values())


def test_a_set_that_matches_nothing_is_refused_in_the_first_batch_only() -> None:
    grams = GramSet("french", (Gram("so", "other", ""),))

    def shape(shaper: StepShaper, token: int) -> None:
        shaper.shape(torch.ones(1, 3), torch.full((1, 3), token), torch.ones(1, 3))

    with pytest.raises(HicraConfigError, match=r"french .* matches nothing in the first batch: 3 tokens in 1 resp"):
        shape(StepShaper(HicraConfig(), grams, GramMatcher(grams, [b"so", b"x"])), 1)
    begun = StepShaper(HicraConfig(), grams, GramMatcher(grams, [b"so ", b"x"]))
    shape(begun, 0)
    shape(begun, 1)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=3, max_size=3),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([0.1, 0.3, 0.5, 0.9]),
)
def test_high_entropy_mask_against_sorting(rows: list[list[tuple[int, bool]]], share: float) -> None:
    entropy = torch.tensor([[float(value) for value, _ in row] for row in rows])
    own = torch.tensor([[mine for _, mine in row] for row in rows])
    values = sorted((value for row in rows for value, mine in row if mine), reverse=True)
    kept = int(share * len(values))
    expected = [[mine and kept > 0 and value >= values[kept - 1] for value, mine in row] for row in rows]
    assert high_entropy_mask(entropy, own, share).tolist() == expected


def test_the_bonus_on_high_entropy_tokens() -> None:
    grams = GramSet("test", (Gram("so", "other", ""),))
    shaper = StepShaper(HicraConfig(selector="high_entropy"), grams, GramMatcher(grams, [b"so", b"x"]))
    base = torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 9.0]])
    entropy = torch.tensor([[9.0, 8.0, 0.1, 0.1, 0.1], [7.0, 0.1, 0.1, 0.1, 9.9]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    shaped = shaper.shape(base, torch.zeros(2, 5, dtype=torch.long), mask, entropies=entropy)
    # Nine own tokens, of which 30% are two: those of entropy 9 and 8; the 9.9 is not the policy's.
    assert torch.equal(shaped != base, torch.tensor([[True, True, False, False, False], [False] * 5]))
    assert shaped[0, :2].tolist() == pytest.approx([1.2, -0.8])
    with pytest.raises(ValueError, match="which this trainer does not keep"):
        shaper.shape(base, torch.zeros(2, 5, dtype=torch.long), mask)
    with pytest.raises(ValueError, match="must have one shape"):
        high_entropy_mask(entropy, mask[:1].bool())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tokens": "planing"}, "did you mean 'planning'?"),
        ({"entropy_share": 1.0}, "0 < entropy_fraction < 1"),
        ({"entropy_share": True}, "expected a number"),
    ],
)
def test_wrong_token_settings(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(HicraConfigError, match=re.escape(message)):
        HicraConfig.from_mapping(wrong)
