"""How every measure moves when only a part of the same rollouts is measured: ``make drift``.

A measure of the policy should not depend on how much of it was sampled. Real rollouts are measured as one training
step: all of them, and random parts of the responses, or of the prompts with their whole groups. Real rollouts come
without the policy's probabilities; a bigram model of the same texts stands in for it, because what is asked is how
means over tokens move with their number.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hicra_verl.config import HicraConfig
from hicra_verl.grams import load_grams
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.grams.token_bytes import token_bytes
from hicra_verl.training.step import StepShaper

ROOT = Path(__file__).resolve().parent.parent
TOKENIZERS = Path(os.environ.get("HICRA_TEST_TOKENIZERS", ROOT / "runs" / "tokenizers"))
DATA = Path(os.environ.get("HICRA_TEST_DATA", ROOT.parent / "shared" / "data"))
SHARES = (0.1, 0.25, 0.5)
SEEDS = 10
INSTEAD = {
    "semantic_entropy_nats": "semantic_entropy_corrected_nats",
    "semantic_entropy_normalised": "semantic_entropy_normalised_corrected",
    "semantic_entropy_correct_nats": "semantic_entropy_correct_corrected_nats",
    "distinct_grams": "distinct_grams_rarefied",
    "conditional_entropy_nats": "conditional_entropy_matched_nats",
    "any_correct": "pass@k",
    "groups_without_signal_fraction": "equal group sizes",
    "tokens_changed": "divide by tokens",
    "response_length/max": "equal batches; response_length/clip_ratio",
}
"""What does not drift, or must be equal between what is compared, for each measure that drifts."""


OF_GROUPS = ("pass@", "any_correct", "groups_without", "advantage_", "tokens_changed")
"""Measures of whole groups: their values are shown for parts of the prompts, the others' for parts of the responses."""


class Rollouts:
    """Responses as a step holds them.

    Args:
        rows: with ``uid``, ``response`` and ``correct``.
        token_ids: of each response.
        table: the tokenizer's bytes of each token.
        grams: the name of a gram set.
    """

    def __init__(
        self, rows: Sequence[dict[str, Any]], token_ids: list[list[int]], table: list[bytes | None], grams: str
    ) -> None:
        self.rows, self.ids, self.grams = rows, token_ids, load_grams(grams)
        self.matcher = GramMatcher(self.grams, table)
        after: dict[int, Counter[int]] = defaultdict(Counter)
        for ids in token_ids:
            for before, token in zip([-1, *ids], ids, strict=False):
                after[before][token] += 1
        totals = {before: sum(seen.values()) for before, seen in after.items()}
        entropy = {
            before: float(-sum(n / totals[before] * np.log(n / totals[before]) for n in seen.values()))
            for before, seen in after.items()
        }
        bigrams = [list(zip([-1, *ids], ids, strict=False)) for ids in token_ids]
        self.log_probs = [[float(np.log(after[b][token] / totals[b])) for b, token in pairs] for pairs in bigrams]
        self.entropies = [[entropy[before] for before, _ in pairs] for pairs in bigrams]

    def measure(self, chosen: Sequence[int]) -> dict[str, float]:
        """The metrics of a step that holds these rows alone."""
        lengths = torch.tensor([len(self.ids[row]) for row in chosen])

        def padded(values: Sequence[Sequence[float]], kind: torch.dtype) -> torch.Tensor:
            found = torch.zeros(len(chosen), int(lengths.max()), dtype=kind)
            for place, row in enumerate(chosen):
                found[place, : lengths[place]] = torch.tensor(values[row], dtype=kind)
            return found

        groups = [self.rows[row]["uid"] for row in chosen]
        scores = torch.tensor([float(self.rows[row]["correct"]) for row in chosen])
        by_group: dict[str, list[float]] = defaultdict(list)
        for group, score in zip(groups, scores.tolist(), strict=True):
            by_group[group].append(score)
        advantages = scores - torch.tensor([float(np.mean(by_group[group])) for group in groups])
        ids = padded(self.ids, torch.long)
        step = StepShaper(HicraConfig(allow_no_match=True), self.grams, self.matcher)
        step.shape(
            advantages[:, None].expand(ids.shape).contiguous(),
            ids,
            torch.arange(ids.shape[1])[None] < lengths[:, None],
            log_probs=padded(self.log_probs, torch.float32),
            entropies=padded(self.entropies, torch.float32),
            scores=scores,
            groups=groups,
            sessions=[str(row) for row in chosen],
        )
        found = {name.removeprefix("hicra/"): value for name, value in step.take_metrics(None).items()}
        found |= {
            "critic/score/mean": float(scores.mean()),
            "response_length/mean": float(lengths.float().mean()),
            "response_length/max": float(lengths.max()),
        }
        skipped = ("_relative", "_change_nats", "_share", "timing_s/hicra")  # of the first step; old names; a duration
        return {name: value for name, value in found.items() if not name.endswith(skipped)}

    def part(self, share: float, seed: int, by_group: bool) -> list[int]:
        """Random rows: a share of the responses, or of the groups with all that they hold."""
        names = [row["uid"] for row in self.rows] if by_group else list(range(len(self.rows)))
        units = sorted(set(names))
        kept = set(random.Random(seed).sample(units, round(share * len(units))))
        return [row for row, name in enumerate(names) if name in kept]


def drift(
    rollouts: Rollouts, shares: Sequence[float], seeds: int, by_group: bool
) -> dict[str, dict[float, list[float]]]:
    """Each measure's values at each share, one a seed; at share 1, the one of all rollouts."""
    found: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for share in (*shares, 1.0):
        for seed in range(seeds if share < 1 else 1):
            for name, value in rollouts.measure(rollouts.part(share, seed, by_group)).items():
                found[name][share].append(value)
    return found


def change(values: dict[float, list[float]], share: float) -> tuple[float, float] | None:
    """How far the mean at a share lies from the whole's value, and its standard error, as fractions of that value.

    None where either is left out.
    """
    seen, whole = values[share], values[1.0]
    if len(seen) < 2 or not whole:
        return None
    unit = abs(whole[0]) or 1.0
    return (float(np.mean(seen)) - whole[0]) / unit, float(np.std(seen, ddof=1)) / len(seen) ** 0.5 / unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rollouts", nargs="*", type=Path, help="JSONL with uid, response, correct")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZERS / "qwen3")
    parser.add_argument("--grams", default="paper")
    words = parser.parse_args()
    files = words.rollouts or sorted((DATA / "rollouts").glob("*.jsonl"))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(words.tokenizer)
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    ids = [tokenizer(row["response"], add_special_tokens=False)["input_ids"] or [0] for row in rows]
    rollouts = Rollouts(rows, ids, token_bytes(tokenizer), words.grams)
    by_response, by_group = (drift(rollouts, SHARES, SEEDS, whole) for whole in (False, True))
    groups = len({row["uid"] for row in rows})
    print(f"{len(rows)} responses in {groups} groups, {sum(map(len, ids))} tokens of {words.tokenizer.name}, ", end="")
    print(f"grams {words.grams}; {SEEDS} seeds a share")
    shares = " | ".join(f"{share:.0%}" for share in (*SHARES, 1.0))
    print(f"| measure | {shares} | 10% of responses | 10% of prompts | instead |")
    print("|---|" + "---|" * (len(SHARES) + 4))
    for name in sorted(by_response):
        values = (by_group if name.startswith(OF_GROUPS) else by_response)[name]
        cells = []
        for share in (*SHARES, 1.0):
            spread = f" ± {np.std(values[share], ddof=1):.1g}" if len(values[share]) > 1 else ""
            cells.append(f"{np.mean(values[share]):.3g}{spread}" if values[share] else "")
        moved = [change(each[name], SHARES[0]) for each in (by_response, by_group)]
        cells += ["" if one is None else f"{one[0]:+.1%} ± {one[1]:.1%}" for one in moved]
        print(f"| `{name}` | {' | '.join(cells)} | {INSTEAD.get(name, '')} |")


if __name__ == "__main__":
    main()
