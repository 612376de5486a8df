"""Runs of real responses, as verl and HICRA leave them: what `hicra report` has to show, with all that it can show."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STEPS, PROMPTS, SAMPLES = 6, 4, 4
JUMP = 5
"""From this step on responses are longer: each is followed by a check of itself."""
CHECK = "\n\nWait, let me check that again.\n\n"
LIMIT = 250
"""Tokens; longer responses are clipped."""
TRACED = 6
"""Responses of each step that are kept token by token."""
JUDGED = "The response planned badly: it never checked its first step."

Rows = dict[int, list[dict[str, Any]]]


def tokens_of(text: str) -> list[str]:
    """Words with the space before them, and single other characters."""
    return re.findall(r"\s?\w+|\s+|[^\w\s]", text)


def make_real_run(
    folder: Path, rollouts: Sequence[dict[str, Any]], seed: int, jump: int = JUMP, skill: float = 0.0
) -> Rows:
    """Write a run.

    Args:
        folder: the run's.
        rollouts: real responses: ``problem``, ``ground_truth``, ``response``, ``correct``.
        seed: of what is drawn from them.
        jump: the step at which responses grow longer.
        skill: added to the chance of drawing a right response, which grows with the step.

    Returns:
        The training rows of each step, as dumped.
    """
    rng = random.Random(seed)
    by_problem: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in rollouts:
        by_problem[one["problem"]].append(one)
    mixed = [problem for problem, some in by_problem.items() if len({one["correct"] for one in some}) == 2]
    problems = (mixed or list(by_problem))[: 2 * PROMPTS]

    def draw(problem: str, step: int) -> dict[str, Any]:
        right = rng.random() < step / STEPS * 0.8 + skill
        fitting = [one for one in by_problem[problem] if one["correct"] == right] or by_problem[problem]
        return rng.choice(fitting)

    rows: Rows = {}
    for step in range(1, STEPS + 1):
        rows[step] = []
        start = PROMPTS * (step % 2) if len(problems) >= 2 * PROMPTS else 0
        for place, problem in enumerate(problems[start : start + PROMPTS]):
            for sample in range(SAMPLES):
                one = draw(problem, step)
                text = one["response"] + (CHECK + one["response"] if step >= jump else "")
                words = tokens_of(text)
                clipped = len(words) > LIMIT
                rows[step].append(
                    {
                        "input": f"user\n{problem}\nassistant\n",
                        "output": "".join(words[:LIMIT]) if clipped else text,
                        "gts": one["ground_truth"],
                        "score": float(one["correct"] and not clipped),
                        "step": step,
                        "uid": f"s{step}p{place}_{sample}_0",
                    }
                )
    _write(folder, rows, rng, seed)
    return rows


def _write(folder: Path, rows: Rows, rng: random.Random, seed: int) -> None:
    for name in ("rollouts", "validation", "hicra_traces"):
        (folder / name).mkdir(parents=True)
    metrics, judged, counts = [], [], []
    for step, some in rows.items():
        _lines(folder / "rollouts" / f"{step}.jsonl", some)
        traces = [_trace(row, rng) for row in some[:TRACED]]
        _lines(folder / "hicra_traces" / f"{step}.jsonl", traces)
        mean = sum(row["score"] for row in some) / len(some)
        lengths = [len(tokens_of(row["output"])) for row in some]
        data = {
            "critic/score/mean": mean,
            "response_length/mean": sum(lengths) / len(lengths),
            "actor/entropy": 1.0 - 0.05 * step + 0.02 * rng.random(),
        }
        if step % 3 == 0:
            data["val-core/gsm8k/acc/mean@1"] = mean
            held_out = [{**row, "uid": f"v{place}_0_0"} for place, row in enumerate(some[::SAMPLES])]
            _lines(folder / "validation" / f"{step}.jsonl", held_out)
        metrics.append({"step": step, "data": data})
        failures = [place for place, row in enumerate(some) if not row["score"]]
        judged += [
            {
                "rater": "judge #1", "of": "training", "step": step, "row": place, "letter": "BC"[n % 2],
                "category": ("Other errors", "Planning & Strategy")[n % 2], "answer": JUDGED,
            }
            for n, place in enumerate(failures[:3])
        ]  # fmt: skip
        sampled = {"step": step, "failures": len(failures), "sampled": len(failures[:3])}
        both = [len(failures) * share for share in (0.5, 0.4, 0.6)]
        counts.append({**sampled, "estimated": {"Planning & Strategy": both, "Other errors": both}})
    _lines(folder / "metrics.jsonl", metrics)
    (folder / "errors").mkdir()
    _lines(folder / "errors" / "judged.jsonl", judged)
    (folder / "errors" / "errors.json").write_text(json.dumps({"judges": {"judge #1": counts}}))
    (folder / "command.txt").write_text(
        f"python -m verl.trainer.main_ppo data.seed={seed} data.max_response_length={LIMIT} "
        "algorithm.adv_estimator=hicra data.train_batch_size=4 hub_token=HIDDENHIDDEN\n"
    )


def _trace(row: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    tokens = tokens_of(row["output"])
    function = ["deduction" if token.strip().lower() in ("so", "then") else None for token in tokens]
    base = round(row["score"] - 0.5, 3)
    entropy = [round(abs(rng.gauss(0, 0.6)), 4) for _ in tokens]
    return {
        "group": row["uid"].rsplit("_", 2)[0],
        "score": row["score"],
        "tokens": tokens,
        "function": function,
        "entropy_nats": entropy,
        "log_prob": [round(-0.8 * one, 4) for one in entropy],
        "probability_difference": [round(rng.gauss(0, 0.01), 5) for _ in tokens],
        "base_advantage": [base] * len(tokens),
        "advantage": [round(base + (0.2 * abs(base) if one else 0.0), 4) for one in function],
    }


def _lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
