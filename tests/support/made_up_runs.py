"""A finished run as verl and HICRA leave it, with made-up responses."""

from __future__ import annotations

import json
import random
from pathlib import Path

PHRASES = ["so", "but wait", "let's try a different approach", "we can see that", "now", "x = 7", "2 + 2", "the answer"]


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choice(PHRASES) + rng.choice([",", ".", "", " and"]) for _ in range(rng.randint(3, 12)))


def make_run(folder: Path, steps: int = 6, seed: int = 0, prompts: int = 4, size: int = 4) -> Path:
    """A run's folder as verl leaves it."""
    rng = random.Random(seed)
    (folder / "rollouts").mkdir(parents=True)
    rows = []
    for step in range(1, steps + 1):
        dump = [
            {
                "input": f"problem {prompt}",
                "output": sentence(rng),
                "gts": "7",
                "score": float(rng.random() < step / steps),
                "step": step,
                "uid": f"{prompt}-{step}_{sample}_0",
            }
            for prompt in range(prompts)
            for sample in range(size)
        ]
        (folder / "rollouts" / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in dump))
        data = {
            "critic/score/mean": step / steps,
            "response_length/mean": 30.0 + step,
            "hicra/perplexity_planning_relative": 1 - step / 50,
            "hicra/perplexity_execution_relative": 1 - step / 100,
            "hicra/token_entropy_planning_nats": 1.0,
            "hicra/planning_high_entropy_share": 0.6,
            "hicra/high_entropy_planning_share": 0.05,
        }
        if step % 3 == 0:
            data["val-core/x/acc/mean@1"] = step / 10
        rows.append({"step": step, "data": data})
    (folder / "hicra_traces").mkdir()
    for step in (1, steps):
        trace = {
            "group": "g",
            "score": 1.0,
            "tokens": ["so", " x", " <b>"],
            "function": ["deduction", None, None],
            "entropy_nats": [1.0, None, 0.2],
            "advantage": [1.2, -1.0, float(step)],
        }
        (folder / "hicra_traces" / f"{step}.jsonl").write_text(json.dumps(trace) + "\n")
    (folder / "validation").mkdir()
    for step in (0, steps):
        held_out = [{"input": f"held out {n}", "output": sentence(rng), "gts": "7", "score": 1.0} for n in range(3)]
        (folder / "validation" / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held_out))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
