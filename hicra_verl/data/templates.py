"""Prompt templates. All are ours: the paper prints no prompts and says where else they are, which we could not read.

A model's own chat template is applied by verl on top.
"""

from __future__ import annotations

from hicra_verl.data.problems import IMAGE

TEMPLATES = {
    # ours: the instruction that Qwen's model cards recommend, in the user's turn.
    "qwen": "{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
    # ours: also legible without a chat template (Llama-3.1-8B-Base has none).
    "llama": "Solve this problem step by step, and put your final answer within \\boxed{{}}.\n\n"
    "Problem: {problem}\n\nSolution:",
    # ours: as "qwen"; images stand where <image> does, since verl replaces each occurrence.
    "vision": "{images}{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
}


def messages(template: str, problem: str, images: int = 0) -> list[dict[str, str]]:
    """The prompt of one problem, as chat messages.

    Args:
        template: a key of ``TEMPLATES``.
        problem: the problem's text; may hold ``<image>`` itself.
        images: how many images belong to it; those without a mark in the text come before it.
    """
    missing = max(0, images - problem.count(IMAGE))
    text = TEMPLATES[template].format(problem=problem, images=IMAGE * missing)
    return [{"role": "user", "content": text}]
