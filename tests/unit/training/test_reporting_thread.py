"""What a step reports is measured in a thread: exactly, without losing errors, and without holding on to the batch."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from hicra_verl.config import HicraConfig
from hicra_verl.grams import Gram, GramSet
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.metrics.forks import high_entropy_mask
from hicra_verl.metrics.step import StepMetrics
from hicra_verl.metrics.sums import TokenClasses
from hicra_verl.training.step import StepShaper

GRAMS = GramSet("test", (Gram("so", "deduction", ""), Gram("wait", "backtracing", "")))
TABLE: list[bytes | None] = [b" so", b" wait", b" x", b" y", None]


def large_batch(rows: int = 70, columns: int = 3001) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """More tokens than are handled at once, responses of all lengths, NaN where no token is the policy's own."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, len(TABLE), (rows, columns), generator=generator)
    mask = (torch.arange(columns) < torch.randint(0, columns, (rows, 1), generator=generator)).long()
    mask[3] = 1
    facts = {
        name: torch.where(mask != 0, torch.rand((rows, columns), generator=generator), float("nan"))
        for name in ("log_probs", "entropies")
    }
    return tokens, mask, {**facts, "scores": torch.ones(rows), "groups": ["p"] * rows}


def test_sums_by_class_and_advantages_against_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, mask, facts = large_batch()
    base = torch.randn(tokens.shape, generator=torch.Generator().manual_seed(1))
    seen = []
    for cores in (1, 2, 7):
        monkeypatch.setattr("os.sched_getaffinity", lambda process, cores=cores: set(range(cores)))
        step = StepShaper(HicraConfig(alpha=0.25), GRAMS, GramMatcher(GRAMS, TABLE))
        shaped = step.shape(base, tokens, mask, **facts)
        seen.append(step.take_metrics(None))
        seen[-1].pop("timing_s/hicra")
    assert seen[0] == seen[1] == seen[2]  # to the last bit, however many threads there are
    own = mask != 0
    planning = own & (tokens < 2)
    assert torch.equal(shaped, torch.where(planning, base + 0.25 * base.abs(), base))
    high = high_entropy_mask(facts["entropies"], own)
    expected = {
        "tokens_changed": float(planning.sum()),
        "planning_fraction_deduction": float((own & (tokens == 0)).sum() / own.sum().double()),
        "planning_high_entropy_fraction": float((high & planning).sum() / planning.sum().double()),
    }
    for kind, where in (("planning", planning), ("execution", own & ~planning)):
        expected[f"perplexity_{kind}"] = float((-facts["log_probs"][where].double().mean()).exp())
        expected[f"token_entropy_{kind}_nats"] = float(facts["entropies"][where].double().mean())
        expected[f"advantage_{kind}_base/mean"] = float(base[where].double().mean())
        expected[f"advantage_{kind}_shaped/mean"] = float(shaped[where].double().mean())
    for name, value in expected.items():
        assert seen[0][f"hicra/{name}"] == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("kind", ["random", "tied", "by column", "nan"])
@pytest.mark.parametrize("fraction", [0.001, 0.3, 0.9])
def test_high_entropy_of_a_large_batch_against_sorting(kind: str, fraction: float) -> None:
    rows, columns = 60, 4096
    entropy = torch.rand((rows, columns), generator=torch.Generator().manual_seed(2))
    own = torch.rand((rows, columns), generator=torch.Generator().manual_seed(3)) < 0.8
    if kind == "tied":
        entropy = (entropy * 3).floor()
    if kind == "by column":
        entropy = torch.arange(columns).float().expand(rows, columns) + entropy
    if kind == "nan":
        entropy[:, ::2] = float("nan")
    values = entropy[own]
    threshold = values.sort(descending=True).values[int(fraction * len(values)) - 1]
    assert torch.equal(high_entropy_mask(entropy, own, fraction), own & (entropy >= threshold))


def test_token_classes_of_nothing() -> None:
    nothing = torch.zeros((0, 5), dtype=torch.bool)
    assert TokenClasses(nothing, nothing).sums(torch.zeros((0, 5))) == {"planning": 0.0, "execution": 0.0}


def test_the_advantages_do_not_wait_for_the_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, done, plain = threading.Event(), [], StepMetrics.add

    def slow(*arguments: Any) -> None:
        assert goes_on.wait(30)
        plain(*arguments)
        done.append(threading.current_thread() is not threading.main_thread())

    monkeypatch.setattr(StepMetrics, "add", slow)
    step = StepShaper(HicraConfig(), GRAMS, GramMatcher(GRAMS, TABLE))
    for _ in range(2):
        step.shape(torch.ones(1, 2), torch.tensor([[0, 2]]), torch.ones(1, 2))
    assert done == []
    goes_on.set()
    assert step.take_metrics(None)["hicra/planning_fraction"] == 0.5
    assert done == [True, True]


def test_what_measuring_raises_is_raised_where_metrics_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise ZeroDivisionError("in the thread")

    step = StepShaper(HicraConfig(), GRAMS, GramMatcher(GRAMS, TABLE))
    with monkeypatch.context() as patch:
        patch.setattr(StepMetrics, "add", broken)
        step.shape(torch.ones(1, 2), torch.tensor([[0, 2]]), torch.ones(1, 2))
        with pytest.raises(ZeroDivisionError, match="in the thread"):
            step.take_metrics(None)


def test_nothing_of_a_measured_batch_is_kept() -> None:
    step = StepShaper(HicraConfig(), GRAMS, GramMatcher(GRAMS, TABLE))
    tokens, mask, facts = large_batch(rows=4)
    base = torch.ones(tokens.shape)
    shaped = step.shape(base, tokens, mask, **facts)
    held = [weakref.ref(one) for one in (base, shaped, tokens, facts["entropies"])]
    step._wait()
    del base, shaped, tokens, mask, facts
    gc.collect()
    assert [one() for one in held] == [None] * len(held)
    assert np.isfinite(step.take_metrics(None)["hicra/planning_fraction"])
