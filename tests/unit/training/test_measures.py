"""The step's measures: a table by hand, and a slow independent implementation on random input."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
import torch
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from hicra_verl import metrics
from hicra_verl.config import HicraConfig
from hicra_verl.errors import HicraError
from hicra_verl.extensions import HicraConfigError
from hicra_verl.grams import Gram, GramSet
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.metrics.entropy import (
    conditional_entropy_nats,
    corrected_entropy_nats,
    entropy_nats,
    normalised_entropy,
)
from hicra_verl.metrics.groups import any_correct, pass_at_powers, without_signal
from hicra_verl.metrics.table import all_metrics, charts, metric_named, metrics_page, old_names, title_of
from hicra_verl.training.initial import FILE
from hicra_verl.training.step import StepShaper

# One word a token, so that the slow implementation below can work on lists of words.
WORDS = ["so", "but", "wait", "we", "can", "x", "y", "z", "7"]
TABLE: list[bytes | None] = [f" {word}".encode() for word in WORDS]
GRAMS = GramSet(
    "test",
    (
        Gram("so", "deduction", ""),
        Gram("but wait", "backtracing", ""),
        Gram("we can", "deduction", ""),
        Gram("wait we", "other", ""),
    ),
)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_entropies_against_scipy(counts: list[int]) -> None:
    expected = scipy.stats.entropy(counts) if sum(counts) else 0.0
    assert entropy_nats(counts) == pytest.approx(expected, abs=1e-12)
    seen, total = sum(count > 0 for count in counts), sum(counts)
    assert corrected_entropy_nats(counts) == pytest.approx(expected + ((seen - 1) / (2 * total) if total else 0))
    if len(counts) > 1:
        assert normalised_entropy(counts) == pytest.approx(expected / math.log(len(counts)), abs=1e-12)


@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 5)), st.integers(1, 20), max_size=20))
def test_conditional_entropy_is_joint_less_marginal(counts: dict[tuple[int, int], int]) -> None:
    marginal: Counter[int] = Counter()
    for (given_, _), count in counts.items():
        marginal[given_] += count
    joint = scipy.stats.entropy(list(counts.values())) if counts else 0.0
    first = scipy.stats.entropy(list(marginal.values())) if counts else 0.0
    assert conditional_entropy_nats(counts) == pytest.approx(joint - first, abs=1e-9)


def test_the_correction_corrects() -> None:
    """On small samples of a known distribution the corrected estimate is nearer its entropy."""
    rng = random.Random(0)
    plain, corrected = [], []
    for _ in range(300):
        sample = Counter(rng.randrange(20) for _ in range(60))
        plain.append(entropy_nats(list(sample.values())))
        corrected.append(corrected_entropy_nats(list(sample.values())))
    truth = math.log(20)
    assert abs(sum(corrected) / 300 - truth) < abs(sum(plain) / 300 - truth) / 2


def test_groups_by_hand() -> None:
    rows = {"a": [1, 0, 0, 0], "b": [1, 1, 1, 1], "c": [0, 0, 0, 0], "d": [-1, 1, 1, -1]}
    groups = {name: {str(place): float(score) for place, score in enumerate(scores)} for name, scores in rows.items()}
    assert pass_at_powers(groups) == {
        "1": pytest.approx((0.25 + 1 + 0 + 0.5) / 4),
        "2": pytest.approx((0.5 + 1 + 0 + 5 / 6) / 4),
        "4": pytest.approx((1 + 1 + 0 + 1) / 4),
    }
    assert any_correct(groups) == 0.75
    assert without_signal(groups) == 0.5
    assert pass_at_powers({}) == {}
    assert any_correct({}) is without_signal({}) is None


def shaper(folder: Path | None = None, resumed: bool = False, grams: GramSet = GRAMS, **how: object) -> StepShaper:
    settings = HicraConfig.from_mapping({"allow_no_match": True, **how})  # few made-up rows, some without a gram
    return StepShaper(settings, grams, GramMatcher(grams, TABLE), folder, resumed)


def batch(rows: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    ids = [[WORDS.index(word) for word in row.split()] for row in rows]
    width = max(1, *map(len, ids))
    tokens = torch.tensor([row + [5] * (width - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    return tokens, mask


def test_a_step_by_hand() -> None:
    tokens, mask = batch(["so x y z so 7 x y", "but wait we can x y z 7", "x y z x y z x y", "so x y z"])
    log_probs = torch.full(tokens.shape, -1.0)
    log_probs[0, 0] = -3.0  # a planning token
    entropy = torch.zeros(tokens.shape)
    entropy[0, :2] = torch.tensor([2.0, 1.0])  # one planning, one execution token
    facts = {
        "log_probs": log_probs,
        "entropies": entropy,
        "scores": torch.tensor([1.0, 0.0, 0.0, 0.0]),
        "groups": ["p", "p", "q", "q"],
    }
    step = shaper(entropy_fraction=0.1)  # 2 of 28 tokens
    step.shape(torch.ones(tokens.shape), tokens, mask, **facts)
    found = step.take_metrics(100.0)
    planning, execution = 7, 21  # so so | but wait we can | so
    expected = {
        "planning_fraction": 7 / 28,
        "planning_fraction_deduction": 5 / 28,  # so so, we can, so
        "planning_fraction_backtracing": 2 / 28,  # but wait
        "planning_fraction_other": 2 / 28,  # wait we: matched, though not counted
        "planning_fraction_branching": 0.0,
        "responses_without_planning_fraction": 1 / 4,
        "distinct_grams": 3.0,
        "semantic_entropy_nats": entropy_nats([3, 1, 1]),
        "semantic_entropy_normalised": entropy_nats([3, 1, 1]) / math.log(4),
        "semantic_entropy_corrected_nats": entropy_nats([3, 1, 1]) + 2 / 10,
        "semantic_entropy_correct_nats": 0.0,
        # so is followed by "x y z" twice and "7 x y" once; but wait by "we can x"; we can by "x y z".
        "conditional_entropy_nats": 3 / 5 * entropy_nats([2, 1]),
        "conditional_entropy_change_nats": 0.0,
        "perplexity_planning": math.exp((6 + 3) / planning),
        "perplexity_execution": math.exp(1.0),
        "perplexity_planning_relative": 1.0,
        "perplexity_execution_relative": 1.0,
        "token_entropy_planning_nats": 2 / planning,
        "token_entropy_execution_nats": 1 / execution,
        "high_entropy_planning_fraction": 1 / 2,
        "planning_high_entropy_fraction": 1 / planning,
        "pass@1": 0.25,
        "pass@2": 0.5,
        "any_correct": 0.5,
        "groups_without_signal_fraction": 0.5,
        "tokens_changed": 7.0,
        "advantage_planning_shaped/mean": 1.2,
        "advantage_execution_base/mean": 1.0,
    }
    for name, value in expected.items():
        assert found[f"hicra/{name}"] == pytest.approx(value), name
    assert found["hicra/step_time_fraction"] == found["timing_s/hicra"] / 100
    assert step.take_metrics(1.0) == {}


def slow_measures(rows: list[list[str]], facts: dict[str, Any], scores: list[float]) -> dict[str, float]:
    """The same, word by word, with regular expressions for the grams."""
    grams = [gram.text for gram in GRAMS]
    functions = {gram.text: gram.function for gram in GRAMS}
    counts: Counter[str] = Counter()
    correct: Counter[str] = Counter()
    pairs: dict[str, Counter[str]] = defaultdict(Counter)
    marked: dict[tuple[int, int], set[str]] = defaultdict(set)
    for number, row in enumerate(rows):
        text = " ".join(row)
        starts = [sum(len(word) + 1 for word in row[:place]) for place in range(len(row) + 1)]
        for gram in grams:
            for match in re.finditer(rf"(?=\b{gram}\b)", text):
                first = starts.index(match.start())
                for place in range(first, first + len(gram.split())):
                    marked[number, place].add(functions[gram])
        for match in re.finditer("|".join(rf"\b{gram}\b" for gram in sorted(grams, key=len, reverse=True)), text):
            counts[match.group()] += 1
            correct[match.group()] += scores[number] > 0
            after = text[match.end() :].split()[:3]
            if len(after) == 3:
                pairs[match.group()][" ".join(after)] += 1
    every = [(number, place) for number, row in enumerate(rows) for place in range(len(row))]
    planning, execution = [at for at in every if at in marked], [at for at in every if at not in marked]
    total = sum(sum(seen.values()) for seen in pairs.values())
    found = {
        "planning_fraction": len(planning) / max(1, len(every)),
        "semantic_entropy_nats": scipy.stats.entropy(list(counts.values())) if counts else 0.0,
        "semantic_entropy_correct_nats": scipy.stats.entropy(list(correct.values())) if sum(correct.values()) else 0.0,
        "distinct_grams": float(len(counts)),
        "conditional_entropy_nats": sum(
            sum(seen.values()) / total * scipy.stats.entropy(list(seen.values())) for seen in pairs.values()
        ),
    }
    for name in ("deduction", "backtracing", "other"):
        found[f"planning_fraction_{name}"] = sum(name in marked[at] for at in planning) / max(1, len(every))
    assert facts["log_probs"] is not None
    assert facts["entropies"] is not None
    for kind, where in (("planning", planning), ("execution", execution)):
        if where:
            found[f"perplexity_{kind}"] = math.exp(-sum(float(facts["log_probs"][at]) for at in where) / len(where))
            found[f"token_entropy_{kind}_nats"] = sum(float(facts["entropies"][at]) for at in where) / len(where)
    return found


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=14), min_size=1, max_size=6), st.integers(0, 10**6))
def test_measures_against_the_slow_ones(rows: list[list[str]], seed: int) -> None:
    tokens, mask = batch([" ".join(row) for row in rows])
    generator = torch.Generator().manual_seed(seed)
    log_probs, entropy = -torch.rand(tokens.shape, generator=generator), torch.rand(tokens.shape, generator=generator)
    scores = torch.randint(0, 2, (len(rows),), generator=generator).float()
    facts = {
        "log_probs": log_probs,
        "entropies": entropy,
        "scores": scores,
        "groups": [str(number // 2) for number in range(len(rows))],
    }
    step = shaper(measure_only=True)
    base = torch.rand(tokens.shape, generator=generator)
    assert step.shape(base, tokens, mask, **facts) is base
    found = step.take_metrics(None)
    if not found:
        assert not any(rows)
        return
    for name, value in slow_measures(rows, facts, scores.tolist()).items():
        assert found[f"hicra/{name}"] == pytest.approx(value, abs=1e-6), name
    assert "hicra/tokens_changed" not in found


def test_two_batches_make_one_step() -> None:
    rows = ["so x y z", "but wait x y z", "we can x 7 7", "x"]
    whole, halves = shaper(), shaper()
    for step, parts in ((whole, [rows]), (halves, [rows[:2], rows[2:]])):
        for part in parts:
            tokens, mask = batch(part)
            step.shape(torch.ones(tokens.shape), tokens, mask, log_probs=-torch.ones(tokens.shape))
    one, two = whole.take_metrics(1.0), halves.take_metrics(1.0)
    assert {name: value for name, value in one.items() if "tim" not in name} == pytest.approx(
        {name: value for name, value in two.items() if "tim" not in name}
    )


def test_a_resumed_run_continues_its_relative_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def one_step(step: StepShaper, nll: float) -> dict[str, float]:
        tokens, mask = batch(["so x y z"])
        step.shape(torch.ones(tokens.shape), tokens, mask, log_probs=torch.full(tokens.shape, -nll))
        return step.take_metrics(None)

    first = shaper(tmp_path)
    assert one_step(first, 1.0)["hicra/perplexity_planning_relative"] == 1.0
    assert one_step(first, 2.0)["hicra/perplexity_planning_relative"] == pytest.approx(math.e)
    assert set(json.loads((tmp_path / FILE).read_text())["values"]) >= {"perplexity_planning", "perplexity_execution"}
    assert one_step(shaper(tmp_path, resumed=True), 3.0)["hicra/perplexity_planning_relative"] == pytest.approx(
        math.e**2
    )
    # A new run in the same folder begins anew.
    assert one_step(shaper(tmp_path), 2.0)["hicra/perplexity_planning_relative"] == 1.0
    # Never a value relative to something else.
    other = GramSet("other", (Gram("so", "other", ""),))
    assert "hicra/perplexity_planning_relative" not in one_step(shaper(tmp_path, True, other), 2.0)
    (tmp_path / FILE).unlink()
    assert "hicra/perplexity_planning_relative" not in one_step(shaper(tmp_path, True), 2.0)
    assert "the run began with other grams" in (said := capsys.readouterr().out)
    assert "no values of the run's first step are kept" in said


@pytest.mark.parametrize(
    "kept", ["", "[1]", '{"grams": "x"}', '{"grams": "x", "values": {"a": "b"}}', "[" * 100_000, "\xff"]
)
def test_values_of_the_first_step_that_are_none(kept: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(kept.encode("latin-1"))
    with pytest.raises(HicraError, match="does not hold the values of the run's first step; remove the file"):
        shaper(tmp_path, resumed=True)


def test_measure_only_is_a_boolean() -> None:
    with pytest.raises(HicraConfigError, match="expected true or false"):
        HicraConfig.from_mapping({"measure_only": "yes"})


def one_step() -> dict[str, float]:
    tokens, mask = batch(["so x y z", "but wait x y z"])
    step = shaper()
    facts = {
        "log_probs": -torch.ones(tokens.shape),
        "entropies": torch.ones(tokens.shape),
        "scores": torch.tensor([1.0, 0.0]),
        "groups": ["a", "a"],
    }
    step.shape(torch.ones(tokens.shape), tokens, mask, **facts)
    return step.take_metrics(1.0)


def test_the_page_defines_every_metric() -> None:
    page = (ROOT / "hicra_verl" / "metrics" / "README.md").read_text(encoding="utf-8")
    assert page == metrics_page(), "make it again: python -m hicra_verl.documentation"
    for name in one_step():
        metric = metric_named(old_names().get(name, name))
        assert metric is not None, name
        assert f"`{re.sub('[{}]', '', metric.name)}`" in page


def test_renamed_metrics_keep_their_old_names_for_dashboards() -> None:
    found = one_step()
    for name in ("planning_high_entropy", "high_entropy_planning"):
        assert found[f"hicra/{name}_share"] == found[f"hicra/{name}_fraction"]


NEW_METRIC = """
from hicra_verl.metrics.table import Metric

METRICS = [
    Metric(
        "hicra/planning_tokens_per_response",
        "planning tokens per response",
        "tokens",
        "planning tokens / responses",
        "ours",
        lambda step: step.planning_tokens / step.responses if step.tokens else None,
        chart="Planning tokens per response",
    )
]
"""


def test_a_new_metric_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logged, explained, drawn and named for people: all from the entry."""
    name = "hicra/planning_tokens_per_response"
    assert name not in one_step()
    (tmp_path / "per_response.py").write_text(NEW_METRIC)
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    all_metrics.cache_clear()
    try:
        assert one_step()[name] == 1.5  # so | but wait
        assert f"| `{name}` | tokens | planning tokens / responses | ours | |" in metrics_page()
        assert charts([name]) == {"Planning tokens per response": [(name, "planning tokens per response")]}
        assert title_of(name) == "planning tokens per response (tokens)"
    finally:
        all_metrics.cache_clear()


def test_traces_keep_what_the_actor_receives(tmp_path: Path) -> None:
    tokens, mask = batch(["so x y", "but wait x", "x"])
    config = HicraConfig(traces=2)
    texts = lambda ids: [WORDS[token] for token in ids]  # noqa: E731
    step = StepShaper(config, GRAMS, GramMatcher(GRAMS, TABLE), tmp_path, token_texts=texts)
    facts = {
        "entropies": torch.full(tokens.shape, 0.5),
        "log_probs": torch.full(tokens.shape, 0.5).log(),
        "rollout_log_probs": torch.full(tokens.shape, 0.25).log(),
        "scores": torch.tensor([1.0, 0.0, 0.0]),
        "groups": ["a", "a", "b"],
    }
    step.shape(torch.ones(tokens.shape), tokens, mask, **facts)
    step.write(7)
    step.write(8)  # nothing since: no file
    assert [path.name for path in (tmp_path / "hicra_traces").iterdir()] == ["7.jsonl"]
    rows = [json.loads(line) for line in (tmp_path / "hicra_traces" / "7.jsonl").read_text().splitlines()]
    known = {"log_prob": [-0.6931] * 3, "probability_difference": [0.25] * 3, "base_advantage": [1.0] * 3}
    assert rows == [
        {
            "group": "a",
            "score": 1.0,
            "tokens": ["so", "x", "y"],
            "function": ["deduction", None, None],
            "entropy_nats": [0.5] * 3,
            **known,
            "advantage": [1.2, 1.0, 1.0],
        },
        {
            "group": "a",
            "score": 0.0,
            "tokens": ["but", "wait", "x"],
            "function": ["backtracing", "backtracing", None],
            "entropy_nats": [0.5] * 3,
            **known,
            "advantage": [1.2, 1.2, 1.0],
        },
    ]
    with pytest.raises(HicraConfigError, match="expected a number with 0 <= traces"):
        HicraConfig.from_mapping({"traces": -1})
