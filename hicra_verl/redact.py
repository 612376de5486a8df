"""Keys and passwords taken out of what is shown: recorded commands, settings, URLs."""

from __future__ import annotations

import re

HIDDEN = "[hidden]"
_NAME = r"(?:[\w.+-]*[._-])?(?:(?:api|access|secret|private)[_-]?key|auth[_-]?token|token|passwd|password|secret)"
_VALUE = r"(?:'[^']*'|\"[^\"]*\"|[^\s,;'\"}]+)"
_RULES = (
    # name=value, name: value, {"name": "value"}; --name value. A name such as max_prompt_tokens is none of these.
    (re.compile(rf"(?i)(?<![\w.-])([+~-]*{_NAME}[\"']?\s*[=:]\s*){_VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)(?<!\S)(--{_NAME}\s+){_VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)(\bbearer\s+)[\w.~+/=-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?<=//)[^/\s@'\"]+@"), f"{HIDDEN}@"),  # https://user:password@host
    (re.compile(r"\b(?:sk-|hf_|ghp_|glpat-|xox[bp]-)[\w-]{12,}"), HIDDEN),  # keys known by their looks
)


def redact(text: str) -> str:
    """The text with the values of keys, tokens and passwords replaced by ``HIDDEN``."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
