"""A problem as every data set is read into, and what can be wrong with a row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hicra_verl.errors import HicraError
from hicra_verl.grading.answers import Kind, last_boxed

Row = Mapping[str, Any]

IMAGE = "<image>"  # where a picture stands in a prompt; verl puts the row's pictures there in order


class DataError(HicraError):
    """Data that cannot be used; the message names the file, the row or column, and the remedy."""


class UnusableRow(ValueError):
    """One row that cannot be used.

    Attributes:
        reason: in a few words, the same for all rows of which it is true.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason = reason


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        text: the problem; ``<image>`` stands where its pictures do, or nowhere: then they come first.
        answer: the expected content of the box; several parts are joined by commas, as published.
        kind: how answers compare.
        options: a multiple-choice problem's options, else None.
        images: each a dict with ``bytes`` or ``path``, as verl takes them.
        identity: the source's own name for the problem, "" if it has none.
        version: which of a problem's versions this is, in the source's words; "" where there is one.
        solution: a worked solution, "" where the source has none.
    """

    text: str
    answer: str
    kind: Kind = "math"
    options: tuple[str, ...] | None = None
    images: tuple[dict[str, Any], ...] = ()
    identity: str = ""
    version: str = ""
    solution: str = ""


def as_text(value: Any) -> str:
    """A cell as text: lists joined by commas, whole floats without their zero, nothing for null."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(as_text(part) for part in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def as_answer(value: Any) -> str:
    """An answer without its delimiters (``$2^{3}$``, ``\\boxed{8}``), otherwise as published."""
    text = as_text(value)
    boxed = last_boxed(text)
    text = text if boxed is None else boxed
    inner = text.strip("$")
    return inner.strip() if text.startswith("$") and text.endswith("$") and "$" not in inner else text
