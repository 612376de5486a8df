"""What a command does with bad input and faults, as rows of one table; ``tests/contract/test_bad_inputs.py`` runs them.

A row says what a person typed, in which folder, and what they must get: no traceback, the right exit code, words that
help, and nothing lost. Rows stand in ``tests/contract/cases/``, one module a command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Content = str | bytes | Callable[[Path], Any]
"""What a file holds; or a function that makes it, given its path."""


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        name: what is wrong, in a few words; unique within its module.
        words: what follows ``hicra`` on the command line. ``{tmp}`` stands for the case's own folder, which is also the
            working folder, so relative names do.
        says: texts that must stand in what is printed, in any order; runs of white space count as one space.
        files: made in the case's folder beforehand, by name (folders above them are made, too).
        prepare: what else has to be done beforehand, given the case's folder; may return a function to undo it.
        code: the exit code.
        kept: files whose bytes must be the same afterwards.
        absent: files that must not be there afterwards.
        after: further assertions, given the case's folder and what was printed.
        env: environment variables; None takes one away.
        stdin: what is typed.
        file_limit: bytes that any file may grow to, as a nearly full disk would allow.
    """

    name: str
    words: list[str]
    says: tuple[str, ...] = ()
    files: Mapping[str, Content] = field(default_factory=dict)
    prepare: Callable[[Path], Callable[[], None] | None] | None = None
    code: int = 2
    kept: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    after: Callable[[Path, str], None] | None = None
    env: Mapping[str, str | None] = field(default_factory=dict)
    stdin: str = ""
    file_limit: int | None = None
