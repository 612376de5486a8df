"""`hicra tag`."""

from __future__ import annotations

from bad_input import Case

CASES = [
    Case("no such file", ["tag", "absent.jsonl", "--tokenizer", "x"], ("absent.jsonl", "no such file")),
]
