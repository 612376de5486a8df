"""The one kind of error that a person is meant to read."""

from __future__ import annotations

import difflib
from pathlib import Path


class HicraError(ValueError):
    """Something that the user can put right. The command line prints it and exits with 2; nothing else does.

    Args:
        problem: what is wrong, in one clause.
        file: the file it is in.
        line: the line there, counted from 1; or the name of a place, such as ``row 7``.
        field: the field or setting.
        remedy: what to do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: Path | str | None = None,
        line: int | str | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem, self.file, self.line, self.field, self.remedy = problem, file, line, field, remedy
        super().__init__(problem)

    def __str__(self) -> str:
        line = f"line {self.line}" if isinstance(self.line, int) else self.line
        field = None if self.field is None else f"field {self.field!r}"
        place = ", ".join(str(part) for part in (self.file, line, field) if part is not None)
        whole = f"{place}: {self.problem}" if place else self.problem
        return f"{whole}; {self.remedy}" if self.remedy else whole


def nearest(word: str, candidates: list[str]) -> str:
    """A "did you mean" clause for ``word``, followed by all candidates."""
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(sorted(candidates))}."
