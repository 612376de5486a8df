r"""The rule-based reward: does the last ``\boxed{…}`` of a response hold the expected answer?

Use it from verl with ``reward.custom_reward_function.path=pkg://hicra_verl.reward``.
"""

from __future__ import annotations

from typing import Any

from hicra_verl.grading import grade

COUNTED = ("boxed", "answer_unparsed", "answer_timed_out", "grading_failed")
"""What a score says besides itself; verl logs their means in validation, this plugin in training (V1 trainer)."""


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str | list[str],
    extra_info: dict[str, Any] | None = None,
    **_: Any,
) -> dict[str, float]:
    """verl's reward signature: 1.0 if the boxed answer is the expected one, as text, number or by algebra; else 0.0.

    Args:
        data_source: unused; verl passes it.
        solution_str: the decoded response.
        ground_truth: the expected content of the box; of several, any one will do.
        extra_info: may hold ``answer_kind`` (``math``, ``choice``, ``number``) and ``options``, as `hicra data` writes.
    """
    extra = extra_info or {}
    options = extra.get("options")
    result = grade(
        solution_str,
        ground_truth if isinstance(ground_truth, str) else [str(answer) for answer in ground_truth],
        kind=extra.get("answer_kind") or "math",
        options=None if options is None else [str(option) for option in options],
    )
    correct = float(result.correct)
    return {
        "score": correct,
        "acc": correct,
        "boxed": float(result.answer is not None),
        "answer_unparsed": float(result.reason == "unparsed"),
        "answer_timed_out": float(result.reason == "timed_out"),
        "grading_failed": float(result.reason == "failed"),
    }
