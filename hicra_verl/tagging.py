"""Tag saved responses with their planning tokens: what ``hicra tag`` does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hicra_verl.errors import HicraError
from hicra_verl.grams.functions import token_functions as token_functions
from hicra_verl.grams.matcher import GramMatcher, Matches


class InputError(HicraError):
    """A row that cannot be tagged; the message names the file, the line, the field and the remedy."""


@dataclass
class Totals:
    """What the closing table shows."""

    responses: int = 0
    responses_without_planning: int = 0
    tokens: int = 0
    planning_tokens: int = 0
    by_gram: Counter[int] = field(default_factory=Counter)


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, row) of a JSONL file; blank lines are skipped.

    Raises:
        InputError: on a missing file, invalid UTF-8, a line that is not a JSON object, or a file without rows.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a JSONL file with one response a line")
    rows = 0
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw.decode("utf-8"))
            except UnicodeDecodeError as error:
                byte = raw[error.start]
                raise InputError(
                    f"{path}, line {number}: byte 0x{byte:02x} at position {error.start} is not valid UTF-8; "
                    "save the file as UTF-8"
                ) from error
            except json.JSONDecodeError as error:
                cut = "" if raw.endswith(b"\n") else " (the line has no end: was the file cut off?)"
                raise InputError(
                    f"{path}, line {number}, column {error.colno}: not valid JSON: {error.msg}{cut}; "
                    "remove or repair the line"
                ) from error
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {number}: expected a JSON object, got {type(row).__name__}")
            rows += 1
            yield number, row
    if not rows:
        raise InputError(f"{path}: the file holds no rows; expected one JSON object a line")


def row_token_ids(row: dict[str, Any], where: str, tokenizer: Any, text_field: str = "response") -> list[int]:
    """The row's ``token_ids``, or the tokens of its text.

    Raises:
        InputError: if the row has neither, or one of the wrong type.
    """
    if "token_ids" in row:
        ids = row["token_ids"]
        if not isinstance(ids, list) or not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
            raise InputError(f"{where}, field 'token_ids': expected a list of integers")
        return ids
    text = row.get(text_field)
    if not isinstance(text, str):
        raise InputError(
            f"{where}: expected the field {text_field!r} with text, or 'token_ids' with a list of integers; the row "
            f"has {', '.join(map(repr, row)) or 'nothing'}"
        )
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return list(ids)


def tag(token_ids: list[int], matcher: GramMatcher) -> tuple[Matches, dict[str, Any]]:
    """Tag one response.

    Returns:
        The matches, and the fields ``hicra tag`` adds to the row: ``token_ids``; ``planning_mask`` (0 or 1 a token);
        ``grams``, leftmost-longest, as ``[gram, first_token, end_token]``.
    """
    matches = matcher.match(np.array([token_ids], dtype=np.int64).reshape(1, -1))
    order = np.flatnonzero(matches.counted)
    order = order[np.lexsort((matches.first_token[order],))]
    grams = [
        [matcher.grams.grams[gram].text, first, end]
        for gram, first, end in zip(
            matches.gram[order].tolist(),
            matches.first_token[order].tolist(),
            matches.end_token[order].tolist(),
            strict=True,
        )
    ]
    mask = matches.planning_mask[0].astype(int).tolist()
    return matches, {"token_ids": token_ids, "planning_mask": mask, "grams": grams}


def add_to_totals(totals: Totals, matches: Matches) -> None:
    """Count one tagged response."""
    planning = int(matches.planning_mask.sum())
    totals.responses += 1
    totals.responses_without_planning += planning == 0
    totals.tokens += matches.planning_mask.shape[1]
    totals.planning_tokens += planning
    totals.by_gram.update(matches.gram[matches.counted].tolist())
