"""The turns of an agent's response: what the policy wrote, and what tools answered."""

from __future__ import annotations

import re
from typing import Any

# verl decodes without special tokens, so of a chat template's marks only the role's line may be left.
_TOOL = re.compile(
    r"(?:(?:<\|im_start\|>|\n)(?:user|tool)\n)?(?:<tool_response>(?:(?!<tool_response>).)*?(?:</tool_response>|\Z)\s*)+"
    r"(?:<\|im_end\|>\s*)?(?:(?:<\|im_start\|>)?assistant\n)?",
    re.DOTALL,
)


def turns_of(text: str) -> list[tuple[int, int, str]]:
    """Where each turn begins and ends, in UTF-16 units, and whose it is; empty for a response of one turn."""
    if "<tool_response>" not in text:
        return []
    spans = [match.span() for match in _TOOL.finditer(text)]
    found, place = [], 0
    for start, end in spans:
        found += [(place, start, "assistant"), (start, end, "tool")]
        place = end
    found.append((place, len(text), "assistant"))
    return [(_units(text, start), _units(text, end), role) for start, end, role in found if end > start]


def turn_count(turns: list[tuple[int, int, str]], fields: dict[str, Any]) -> int:
    """Turns of the policy, as they are seen in its text; where none are, as the dump says."""
    said = fields.get("num_turns", fields.get("__num_turns__"))  # verl counts every message, the prompt's too
    if not turns and isinstance(said, int | float) and not isinstance(said, bool) and 2 <= said < 512:
        return int(said) // 2
    return min(255, max(1, sum(role == "assistant" for _, _, role in turns)))


def _units(text: str, place: int) -> int:
    return place if text.isascii() else len(text[:place].encode("utf-16-le", "replace")) // 2
