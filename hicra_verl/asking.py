"""One question after another to a model, each answer kept as it comes: none is asked for, or paid for, twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from hicra_verl.append_log import AppendLogError, appending, read_log
from hicra_verl.endpoint import REFUSED, Answer, Endpoint, Question
from hicra_verl.errors import HicraError


class RefusedError(HicraError):
    """Some questions were refused; what could be answered is kept and used."""


class Answers:
    """The answers in a JSONL file, by the question's key; kept line by line, so that a kill loses none.

    An answer without any text is not kept, and of no use where it stands in the file: it is asked for again.

    Args:
        path: the file; it need not be there yet, but its folder must.
        model: if given, the only model whose answers may be in the file.

    Attributes:
        kept: the answers by key.
        refused: of the questions asked, those that the server would not take: what it said, by key.

    Raises:
        AppendLogError: on a line that is no answer, or another model's.
    """

    def __init__(self, path: Path, model: str | None = None) -> None:
        self.path = path
        self.kept: dict[str, Answer] = {}
        self.refused: dict[str, str] = {}
        for line, row in read_log(path):
            key, text = row.get("key"), row.get("text")
            if not isinstance(key, str):
                remedy = "remove the line to ask again"
                raise AppendLogError("expected an answer, with its key", file=path, line=line, remedy=remedy)
            if model is not None and row.get("model") != model:
                problem = f"answers of {row.get('model')}, not of {model}"
                raise AppendLogError(problem, file=path, line=line, remedy="give another file, or that model")
            if isinstance(text, str) and text.strip():
                self.kept[key] = Answer(text, "", 0, 0)

    def ask(
        self,
        endpoint: Endpoint,
        questions: Mapping[str, Question],
        usable: Callable[[str, str], bool] = lambda key, text: True,
    ) -> Iterator[tuple[str, Answer]]:
        """Yield (key, answer) as they come, what is kept already first; refused questions are left to ``refused``.

        Args:
            endpoint: the model.
            questions: by key; the same key must mean the same question.
            usable: whether a key's text is an answer to its question; what is kept but is none is asked for again.

        Raises:
            EndpointError: if the server does not answer; everything it has said is kept.
        """
        missing = [key for key in questions if key not in self.kept or not usable(key, self.kept[key].text)]
        for key in [key for key in questions if key not in set(missing)]:
            yield key, self.kept[key]
        with appending(self.path) as append:
            for place, answer in endpoint.ask_all((questions[key] for key in missing), keep_refusals=True):
                key = missing[place]
                if answer.finish_reason == REFUSED:
                    self.refused[key] = answer.text
                    continue
                if answer.text.strip():
                    append({"model": endpoint.model, "key": key, **vars(answer)})
                self.kept[key] = answer
                yield key, answer

    def check_refusals(self, done: str) -> None:
        """Say at a command's end that questions were refused.

        Args:
            done: what became of the others.

        Raises:
            RefusedError: if any was.
        """
        if self.refused:
            said = next(iter(self.refused.values()))
            raise RefusedError(
                f"{len(self.refused)} questions were refused (the first: {said})",
                remedy=f"{done}; the same command asks for the missing ones again",
            )
