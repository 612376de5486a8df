"""The rule-based reward: does the last ``\\boxed{…}`` of a response hold the expected answer?

Use it from verl with ``reward.custom_reward_function.path=pkg://hicra_verl.reward``.
"""

from __future__ import annotations

from typing import Any


def last_boxed(text: str) -> str | None:
    """The content of the last complete ``\\boxed{…}``, braces balanced and outer white space removed; None if none."""
    start = text.rfind("\\boxed{")
    while start >= 0:
        depth = 0
        for end in range(start + len("\\boxed"), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                return text[start + len("\\boxed{") : end].strip()
        start = text.rfind("\\boxed{", 0, start)  # the last one was never closed
    return None


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any] | None = None, **_: Any
) -> dict[str, float]:
    """verl's reward signature: 1.0 if the last boxed answer is the expected one, to the character; else 0.0.

    Args:
        data_source: unused; verl passes it.
        solution_str: the decoded response.
        ground_truth: the expected content of the box.
        extra_info: unused; verl passes it.
    """
    answer = last_boxed(solution_str)
    correct = float(answer is not None and answer == str(ground_truth).strip())
    return {"score": correct, "acc": correct, "boxed": float(answer is not None)}
