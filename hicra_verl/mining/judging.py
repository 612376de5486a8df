"""A person judges phrases, or a model does: what is judged, and the judgements, every one saved at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hicra_verl.append_log import appending, read_log
from hicra_verl.errors import HicraError
from hicra_verl.grams.gramset import GramSet
from hicra_verl.mining.contexts import Context, find_contexts
from hicra_verl.mining.corpus import ANY_SOLUTION, open_corpus


class JudgingError(HicraError):
    """Judgements that cannot be read; the message names the file, the line and the remedy."""


@dataclass(frozen=True)
class Choice:
    """One possible judgement: the key that makes it, what is saved, and what the page says."""

    key: str
    value: str
    label: str


@dataclass(frozen=True)
class Phrase:
    """What is judged: its name in the saved judgements, its text, a remark, and some of its uses."""

    name: str
    text: str
    remark: str
    contexts: Sequence[Context]


def load_phrases(grams: GramSet, corpus: Sequence[Path] | None, field: str | None, uses: int) -> list[Phrase]:
    """A set's grams with some of their uses in a corpus, which are none without one."""
    contexts: list[list[Context]] = [[] for _ in grams]
    if corpus:
        contexts = find_contexts(grams, open_corpus(corpus, field, ANY_SOLUTION).texts(), uses)
    return [Phrase(gram.text, gram.text, gram.source, found) for gram, found in zip(grams, contexts, strict=True)]


class Judgements:
    """Judgements in a JSONL file; of several about one phrase the last counts.

    Args:
        path: the file; it need not be there yet.
        allowed: the values that count.
    """

    def __init__(self, path: Path, allowed: Sequence[str]) -> None:
        self.path = path
        self.allowed = tuple(allowed)
        self.latest: dict[str, str] = {}
        self._lock = threading.Lock()
        for number, row in read_log(path):
            if not isinstance(row.get("name"), str) or row.get("value") not in (*self.allowed, None):
                problem = f"expected a name, and a value of {', '.join(self.allowed)}"
                raise JudgingError(problem, file=path, line=number, remedy="remove the line")
            self._set(row["name"], row["value"])

    def _set(self, name: str, value: str | None) -> None:
        if value is None:
            self.latest.pop(name, None)
        else:
            self.latest[name] = value

    def record(self, name: str, value: str | None) -> None:
        """Save one judgement, None to take it back; it is on the disk when this returns.

        Raises:
            AppendLogError: if it cannot be saved.
        """
        with self._lock:
            with appending(self.path, sync=True) as append:
                append({"name": name, "value": value})
            self._set(name, value)

    def take_over(self, values: Mapping[str, str], source: Path, replace: bool) -> None:
        """Save judgements from elsewhere.

        Args:
            values: by name.
            source: the file that they are from.
            replace: whether they count more than what is saved.

        Raises:
            JudgingError: if they may not replace what is saved, but differ from it.
        """
        if not replace:
            for name, value in values.items():
                if self.latest.get(name, value) != value:
                    problem = f"item {name} is {value} here, but {self.latest[name]} in {self.path}"
                    raise JudgingError(problem, file=source, remedy="remove one of the two files")
        for name, value in values.items():
            if self.latest.get(name) != value:
                self.record(name, value)
