"""Prompt templates. The paper prints none; all are ours. A model's own chat template is applied by verl on top."""

from __future__ import annotations

TEMPLATES = {
    # The instruction that Qwen's model cards recommend, in the user's turn.
    "qwen": "{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
    # Also legible without a chat template (Llama-3.1-8B-Base has none).
    "llama": "Solve this problem step by step, and put your final answer within \\boxed{{}}.\n\n"
    "Problem: {problem}\n\nSolution:",
    # Images stand where <image> does: verl replaces each occurrence.
    "vision": "{images}{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
}


def messages(template: str, problem: str, images: int = 0) -> list[dict[str, str]]:
    """The prompt of one problem, as chat messages.

    Args:
        template: a key of ``TEMPLATES``.
        problem: the problem's text; may hold ``<image>`` itself.
        images: how many images belong to it.
    """
    missing = max(0, images - problem.count("<image>"))
    text = TEMPLATES[template].format(problem=problem, images="<image>" * missing)
    return [{"role": "user", "content": text}]
