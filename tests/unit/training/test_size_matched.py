"""Measures that do not move with the size of the sample: against slow references, and on parts of the same texts."""

from __future__ import annotations

import importlib.util
import math
import random
import re
import sys
from typing import Any

import numpy as np
import pytest
from conftest import FIXTURES, ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from hicra_verl.analysis.recompute import measure
from hicra_verl.grams import Gram, GramSet, load_grams
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.grams.token_bytes import load_tokenizer
from hicra_verl.metrics.entropy import conditional_entropy_nats
from hicra_verl.metrics.size_matched import BUDGET, matched_entropies_nats, procedural, rarefied
from hicra_verl.verl_formats.dumps import Rollout

GRAMS = GramSet("test", tuple(Gram(text, "other", "") for text in ("so", "but wait", "we can", "naïve")))
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=60)


def table(
    pairs: list[tuple[int, int]],
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], dict[tuple[int, int], int]]:
    counts = {pair: pairs.count(pair) for pair in dict.fromkeys(pairs)}
    return np.array([gram for gram, _ in counts], dtype=int), np.array(list(counts.values()), dtype=int), counts


@given(PAIRS)
def test_a_draw_of_all_pairs_is_the_plain_entropy(pairs: list[tuple[int, int]]) -> None:
    given_, counts, by_pair = table(pairs)
    draws = matched_entropies_nats(given_, counts, budget=max(1, len(pairs)), draws=2)
    assert draws == pytest.approx([conditional_entropy_nats(by_pair)] * 2 if pairs else [], abs=1e-9)
    assert matched_entropies_nats(given_, counts, budget=len(pairs) + 1) == []


@given(PAIRS.filter(lambda pairs: len(pairs) > 20), st.randoms())
def test_the_order_of_the_pairs_does_not_matter(pairs: list[tuple[int, int]], rng: random.Random) -> None:
    mixed = rng.sample(pairs, len(pairs))
    assert matched_entropies_nats(*table(pairs)[:2], budget=20) == matched_entropies_nats(*table(mixed)[:2], budget=20)


def test_draws_against_drawing_from_a_list() -> None:
    rng = random.Random(0)
    pairs = [(rng.randrange(3), int(rng.paretovariate(0.7))) for _ in range(400)]
    slow = [conditional_entropy_nats(table(rng.sample(pairs, 100))[2]) for _ in range(400)]
    fast = matched_entropies_nats(*table(pairs)[:2], budget=100, draws=400)
    assert np.mean(fast) == pytest.approx(np.mean(slow), abs=0.02)
    assert np.std(fast) == pytest.approx(np.std(slow), rel=0.2)


@given(st.lists(st.integers(0, 40), max_size=20), st.integers(1, 60))
def test_rarefaction_against_counting_subsets(counts: list[int], budget: int) -> None:
    total = sum(counts)
    if total < budget:
        assert rarefied(counts, budget) is None
        return
    missed = [math.comb(total - count, budget) / math.comb(total, budget) for count in counts]
    assert rarefied(counts, budget) == pytest.approx(sum(1 - one for one in missed), abs=1e-6)


WORDS = st.sampled_from(
    ["so", "but", "wait", "we", "can", "naïve", "über", "soso", "x", "7", "+", "—", "\\(", "so,", "_"]
)


@settings(max_examples=200)
@given(st.lists(st.lists(WORDS, min_size=3, max_size=3).map(" ".join), max_size=12))
def test_procedural_words_one_window_at_a_time(windows: list[str]) -> None:
    found = procedural([window.encode() for window in windows], GRAMS)
    gram = re.compile("|".join(rf"(?<!\w){text.text}(?!\w)" for text in GRAMS))
    slow = [not gram.search(window) and all(re.search(r"\w", word) for word in window.split()) for window in windows]
    assert found.tolist() == slow


def test_more_windows_than_are_matched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hicra_verl.metrics.size_matched._WINDOWS", 2)
    windows = [b"so x y", b"x y z", b"x = 7", b"x y z", b"x we can"]
    assert procedural(windows, GRAMS).tolist() == [False, True, False, True, False]


def drift_program() -> Any:
    spec = importlib.util.spec_from_file_location("drift", ROOT / "benchmarks" / "drift.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["drift"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_up_rollouts(program: Any, count: int) -> Any:
    """Responses whose grams and words are as unevenly frequent as in real ones."""
    rng = random.Random(0)
    texts = [gram.text for gram in load_grams("paper")]
    rng.shuffle(texts)
    rows = []
    for number in range(count):
        pieces = []
        for _ in range(rng.randint(2, 6)):
            pieces.append(texts[min(int(rng.paretovariate(0.6)) - 1, len(texts) - 1)])
            pieces += [f"w{min(int(rng.paretovariate(0.5)), 20_000)}" for _ in range(rng.randint(4, 9))]
        rows.append({"uid": str(number // 4), "response": " ".join(pieces), "correct": rng.random() < 0.4})
    ids = [list(row["response"].encode()) for row in rows]
    return program.Rollouts(rows, ids, [bytes([value]) for value in range(256)], "paper")


BOUNDS = {  # largest change from all responses to 10% of them that is tolerated, as a fraction
    "conditional_entropy_matched_nats": 0.02,
    "distinct_grams_rarefied": 0.02,
    "semantic_entropy_corrected_nats": 0.02,
    "semantic_entropy_normalised_corrected": 0.02,
    "semantic_entropy_correct_corrected_nats": 0.03,
    "planning_fraction": 0.02,
    "token_entropy_planning_nats": 0.02,
    "perplexity_execution": 0.02,
}


def test_a_tenth_of_the_responses_measures_the_same() -> None:
    program = drift_program()
    rollouts = made_up_rollouts(program, 2800)
    found = program.drift(rollouts, [0.1], 6, by_group=False)
    moved = {name: program.change(values, 0.1) for name, values in found.items()}
    for name, bound in BOUNDS.items():
        assert abs(moved[name][0]) < bound, (name, moved[name])
    # What these stand beside moves far more.
    assert moved["conditional_entropy_nats"][0] < -0.15
    assert moved["distinct_grams"][0] < -0.15
    for plain, corrected in (
        ("semantic_entropy_nats", "semantic_entropy_corrected_nats"),
        ("semantic_entropy_correct_nats", "semantic_entropy_correct_corrected_nats"),
    ):
        assert abs(moved[corrected][0]) < 0.7 * abs(moved[plain][0])
    assert set(program.INSTEAD) <= set(found) | {"response_length/max"}
    # Of whole groups, Pass@k and the fraction without signal do not move.
    groups = program.drift(rollouts, [0.1], 6, by_group=True)
    for name in ("pass@1", "pass@2", "pass@4", "any_correct", "groups_without_signal_fraction"):
        change, error = program.change(groups[name], 0.1)
        assert abs(change) < max(0.03, 3 * error), name


def test_texts_give_what_tokens_give() -> None:
    """Tokens of a real tokenizer's kind, and texts alone: the same windows, in the same draws."""
    program = drift_program()
    rows = made_up_rollouts(program, 600).rows
    tokenizer, token_table = load_tokenizer(str(FIXTURES / "tokenizers" / "byte_level"))
    ids = [tokenizer(row["response"], add_special_tokens=False)["input_ids"] for row in rows]
    live = program.Rollouts(rows, ids, token_table, "paper").measure(range(len(rows)))
    rollouts = [
        Rollout("p", row["response"], "", float(row["correct"]), row["uid"], str(number))
        for number, row in enumerate(rows)
    ]
    saved, _ = measure(rollouts, TextMatcher(load_grams("paper")))
    for name in ("conditional_entropy_matched_nats", "conditional_entropy_matched_sd", "distinct_grams_rarefied"):
        assert live[name] == saved[name] > 0


def test_fewer_pairs_than_the_budget_have_no_value() -> None:
    program = drift_program()
    found = made_up_rollouts(program, 40).measure(range(40))
    assert found["conditional_entropy_nats"] > 0
    assert not {"conditional_entropy_matched_nats", "conditional_entropy_matched_sd", "distinct_grams_rarefied"} & set(
        found
    )
    assert BUDGET == 500  # the page's table is of that
