"""Processes that each hold a compiled gram set; with one, everything happens in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Self, TypeVar

from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.text_matcher import TextMatcher

Task = TypeVar("Task")
Result = TypeVar("Result")

_matcher: TextMatcher | None = None


def _begin(grams: GramSet) -> None:
    global _matcher
    _matcher = TextMatcher(grams)


def _with_matcher(function: Callable[[TextMatcher, Task], Result], task: Task) -> Result:
    assert _matcher is not None
    return function(_matcher, task)


class Workers:
    """Calls functions on many things.

    Args:
        processes: how many; 1 is this one.
        grams: the set that they match.
    """

    def __init__(self, processes: int, grams: GramSet) -> None:
        self._grams = grams
        self._pool = ProcessPoolExecutor(processes, initializer=_begin, initargs=(grams,)) if processes > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def matching(
        self,
        function: Callable[[TextMatcher, Task], Result],
        tasks: Sequence[Task],
        progress: Callable[[int, int], None],
    ) -> Iterator[Result]:
        """``each`` for a function that takes the matcher first."""
        if self._pool is None:
            _begin(self._grams)
        return self.each(_Bound(function), tasks, progress)

    def each(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], progress: Callable[[int, int], None]
    ) -> Iterator[Result]:
        """The results, in order.

        Args:
            function: of a module, so that another process finds it.
            tasks: what it is called with.
            progress: called with how many are done, and how many there are.
        """
        results = map(function, tasks) if self._pool is None else self._pool.map(function, tasks)
        for done, result in enumerate(results, 1):
            progress(done, len(tasks))
            yield result


class _Bound:
    """A function with the process's own matcher."""

    def __init__(self, function: Callable[[TextMatcher, Any], Any]) -> None:
        self._function = function

    def __call__(self, task: Any) -> Any:
        return _with_matcher(self._function, task)
