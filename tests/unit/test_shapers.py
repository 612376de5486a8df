"""Each shaper against a slow and obvious reference, token by token."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from hicra_verl.config import HicraConfig
from hicra_verl.extensions import SHAPERS, HicraConfigError
from hicra_verl.rollout import RolloutBatch

ALPHA = 0.2
WITH_ALPHA = ["hicra", "credit_only", "penalty_only", "scale", "released", "centred", "norm_matched"]


def made_up(seed: int) -> tuple[torch.Tensor, RolloutBatch]:
    """Two groups of four responses, of unequal lengths, with one advantage a response as GRPO gives it."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = 8, 9
    lengths = torch.randint(1, columns + 1, (rows,), generator=generator)
    own = torch.arange(columns) < lengths[:, None]
    scores = torch.randint(0, 2, (rows,), generator=generator).float()
    advantages = torch.randn(rows, 1, generator=generator) * own
    batch = RolloutBatch(
        torch.randint(0, 50, (rows, columns), generator=generator),
        own,
        own & (torch.rand(rows, columns, generator=generator) < 0.3),
        -3 * torch.rand(rows, columns, generator=generator),
        torch.rand(rows, columns, generator=generator),
        scores,
        [f"g{row // 4}" for row in range(rows)],
    )
    return advantages, batch


def places(batch: RolloutBatch) -> list[tuple[int, int]]:
    return [(row, column) for row, column in batch.response_mask.nonzero().tolist()]


def shape(
    name: str, advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch, **arguments: Any
) -> torch.Tensor:
    alpha = arguments.pop("alpha", ALPHA)
    shaped = SHAPERS.build(name, arguments, alpha=alpha).call(advantages, mask, batch)
    return torch.where(batch.response_mask, shaped, advantages)


def slow(name: str, advantages: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """The formulas as they are written, one token at a time."""
    assert batch.entropies is not None
    found = advantages.clone().double()
    own = places(batch)
    for at in own:
        a, chosen = float(advantages[at]), bool(mask[at])
        entropy = float(batch.entropies[at])
        found[at] = {
            "hicra": a + ALPHA * abs(a) * chosen,
            "centred": a + ALPHA * abs(a) * chosen,
            "norm_matched": a + ALPHA * abs(a) * chosen,
            "credit_only": a + ALPHA * a if chosen and a > 0 else a,
            "penalty_only": a - ALPHA * a if chosen and a < 0 else a,
            "scale": (1 + ALPHA) * a if chosen else a,
            "none": a,
            "mask_out": a if chosen else 0.0,
            "entropy_advantage": a + min(0.4 * entropy, abs(a) / 2) if chosen else a,
        }[name]
    if name == "centred":
        shift = sum(float(found[at] - advantages[at]) for at in own) / len(own)
        for at in own:
            found[at] -= shift
    if name == "norm_matched":
        norms = [math.sqrt(sum(float(values[at]) ** 2 for at in own)) for values in (advantages, found)]
        for at in own:
            found[at] *= norms[0] / norms[1]
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "name",
    [
        "hicra",
        "credit_only",
        "penalty_only",
        "scale",
        "none",
        "mask_out",
        "centred",
        "norm_matched",
        "entropy_advantage",
    ],
)
def test_against_the_slow_formula(name: str, seed: int) -> None:
    advantages, batch = made_up(seed)
    mask = batch.planning_mask
    found = shape(name, advantages, mask, batch)
    assert torch.allclose(found.double(), slow(name, advantages, mask, batch), atol=1e-6)
    assert torch.allclose(shape(name, advantages, mask.float(), batch), found, atol=1e-6), (
        "weights of 0 and 1 are a mask"
    )


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_alpha_zero_is_the_base_bit_for_bit(name: str) -> None:
    advantages, batch = made_up(1)
    advantages[0, 0] = -0.0
    shaped = shape(name, advantages, batch.planning_mask, batch, alpha=0.0)
    assert torch.equal(shaped.view(torch.int32), advantages.view(torch.int32))


def test_credit_and_penalty_make_hicra() -> None:
    advantages, batch = made_up(2)
    mask = batch.planning_mask
    parts = sum(shape(name, advantages, mask, batch) - advantages for name in ("credit_only", "penalty_only"))
    assert torch.allclose(shape("hicra", advantages, mask, batch) - advantages, parts, atol=1e-7)


def test_centred_keeps_the_mean_and_norm_matched_the_norm() -> None:
    advantages, batch = made_up(3)
    own = batch.response_mask
    shaped = shape("centred", advantages, batch.planning_mask, batch, alpha=0.9)
    assert float(shaped[own].mean()) == pytest.approx(float(advantages[own].mean()), abs=1e-6)
    shaped = shape("norm_matched", advantages, batch.planning_mask, batch, alpha=0.9)
    assert float(shaped[own].norm()) == pytest.approx(float(advantages[own].norm()), rel=1e-6)


def test_mask_out_divided_by_kept_tokens() -> None:
    advantages, batch = made_up(0)
    mask = batch.planning_mask
    found = shape("mask_out", advantages, mask, batch, per_kept_token=True)
    assert torch.allclose(found, advantages * mask * (int(batch.response_mask.sum()) / int(mask.sum())))
    nothing = torch.zeros_like(batch.planning_mask)
    assert not shape("mask_out", advantages, nothing, batch, per_kept_token=True).any()


@pytest.mark.parametrize("seed", range(5))
def test_released_trainer(seed: int) -> None:
    advantages, batch = made_up(seed)
    assert batch.entropies is not None
    assert batch.groups is not None
    found = shape("released", advantages, batch.planning_mask, batch)
    lengths = batch.response_mask.sum(dim=1).tolist()
    for row, column in places(batch):
        group = [other for other in range(8) if batch.groups[other] == batch.groups[row]]
        a = float(advantages[row, column])
        positive = [other for other in group if float(advantages[other, 0]) > 0]
        long = lengths[row] > sum(lengths[other] for other in group) / len(group)
        ranked = sorted(batch.entropies[row, : lengths[row]].tolist())
        place = 0.7 * (len(ranked) - 1)  # the quantile between two neighbours
        low = int(place)
        threshold = ranked[low] + (place - low) * (ranked[min(low + 1, len(ranked) - 1)] - ranked[low])
        uncertain = float(batch.entropies[row, column]) > threshold + 1e-7
        chosen = bool(positive) and (bool(batch.planning_mask[row, column]) or (a > 0 and long and uncertain))
        assert float(found[row, column]) == pytest.approx(
            a * (1 + ALPHA * (a > 0) - ALPHA * (a < 0)) if chosen else a, abs=1e-6
        )


@pytest.mark.parametrize("seed", range(5))
def test_gtpo(seed: int) -> None:
    advantages, batch = made_up(seed)
    assert batch.entropies is not None
    assert batch.scores is not None
    found = shape("gtpo", advantages, batch.response_mask, batch)
    rewards: dict[tuple[int, bool], dict[tuple[int, int], float]] = {}
    for row, column in places(batch):
        right = bool(batch.scores[row] > 0)
        peers = [
            other
            for other in range(8)
            if other // 4 == row // 4 and bool(batch.scores[other] > 0) == right and batch.response_mask[other, column]
        ]
        weight = [float(batch.entropies[other, column]) for other in peers]
        if not right:
            weight = [1 / value for value in weight]
        bonus = 0.1 * len(peers) * weight[peers.index(row)] / sum(weight)
        rewards.setdefault((row // 4, right), {})[row, column] = 1 + bonus if right else -1 - bonus
    for tokens in rewards.values():
        mean = sum(tokens.values()) / len(tokens)
        spread = math.sqrt(sum((value - mean) ** 2 for value in tokens.values()) / len(tokens))
        for at, value in tokens.items():
            assert float(found[at]) == pytest.approx((value - mean) / spread if spread > 1e-9 else 0.0, abs=1e-4)


@pytest.mark.parametrize("length", [1, 50, 117, 500, 1000, 2045])
@pytest.mark.parametrize("score", [0.0, 1.0])
def test_gtpo_of_one_response_teaches_nothing(length: int, score: float) -> None:
    """A set of one has equal rewards; rounding must not make a spread of it."""
    own, entropies = (
        torch.ones(1, length).bool(),
        torch.rand(1, length, generator=torch.Generator().manual_seed(length)),
    )
    batch = RolloutBatch(own.long(), own, own, None, entropies, torch.tensor([score]), ["g"])
    assert not shape("gtpo", torch.ones(1, length), own, batch).any()


def test_gtpo_takes_a_group_without_tokens() -> None:
    own = torch.zeros(1, 3).bool()
    batch = RolloutBatch(own.long(), own, own, None, torch.zeros(1, 3), torch.zeros(1), ["padding"])
    assert not shape("gtpo", torch.zeros(1, 3), own, batch).any()


def test_gtpo_touches_selected_tokens_only() -> None:
    advantages, batch = made_up(0)
    found = shape("gtpo", advantages, batch.planning_mask, batch)
    assert torch.equal(found[~batch.planning_mask], advantages[~batch.planning_mask])


@pytest.mark.parametrize(("target", "blame"), [(0.9, 1.0), (0.9, 0.9), (0.1, 0.9)])
def test_stare(target: float, blame: float) -> None:
    advantages, batch = made_up(4)
    assert batch.entropies is not None
    assert batch.log_probs is not None
    found = shape("stare", advantages, batch.response_mask, batch, fraction=0.2, target=target, blame=blame)
    own = places(batch)
    expected = {at: float(advantages[at]) for at in own}
    if sum(float(batch.entropies[at]) for at in own) / len(own) < target:
        for sign, weight in ((1, 1.1), (-1, blame)):
            tokens = [at for at in own if sign * float(advantages[at]) > 0]
            tokens.sort(key=lambda at: float(batch.log_probs[at]))  # type: ignore[index]
            for at in tokens[: max(1, math.ceil(0.2 * len(tokens)))]:
                expected[at] *= weight
    for at, value in expected.items():
        assert float(found[at]) == pytest.approx(value, abs=1e-6)


def test_stares_weights_move_and_are_kept() -> None:
    advantages, batch = made_up(4)
    built = SHAPERS.build("stare", {"adapt": 0.1, "target": 0.9}, alpha=ALPHA)
    assert built.stateful
    for _ in range(9):
        built.call(advantages, batch.response_mask, batch)
    assert built.metrics() == {"gate": 1.0, "credit": 1.5, "blame": 1.0}, "O1 has no blame to adapt"
    again = SHAPERS.build("stare", {"adapt": 0.1, "target": 0.1, "blame": 0.9}, alpha=ALPHA)
    again.call.load_state_dict({"credit": 1.5, "blame": 0.5})
    again.call(advantages, batch.response_mask, batch)
    assert again.metrics() == {"gate": 0.0, "credit": 1.4, "blame": pytest.approx(0.6)}
    fixed = SHAPERS.build("stare", {"credit": 1.4}, alpha=ALPHA)
    fixed.call.load_state_dict({"credit": 1.1, "blame": 1.0})
    assert fixed.metrics()["credit"] == 1.4, "without adapt the settings stand"


def test_which_tokens_a_shaper_sees_by_itself() -> None:
    for shaping, selector in {"hicra": "grams", "mask_out": "high_entropy", "gtpo": "all", "stare": "all"}.items():
        assert HicraConfig(shaping=shaping).extensions()[0].name == selector
    assert HicraConfig(shaping="gtpo", selector="grams").extensions()[0].name == "grams"


def test_alpha_is_refused_where_it_has_no_part() -> None:
    with pytest.raises(HicraConfigError, match=r"algorithm.hicra.alpha=0.3: the shaping gtpo has no alpha"):
        HicraConfig(shaping="gtpo", alpha=0.3).extensions()
    with pytest.raises(HicraConfigError, match=r"shaping_args.alpha: set algorithm.hicra.alpha instead"):
        HicraConfig(shaping_args={"alpha": 0.3}).extensions()
    with pytest.raises(HicraConfigError, match=r"shaping='hicar': did you mean 'hicra'\?"):
        HicraConfig(shaping="hicar").extensions()
