"""Threads for work that leaves Python's lock free most of the time: array operations, and the automaton."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 8  # more would wait for each other's Python


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The function's results in the items' order, made by as many threads as this process may use cores, up to 8."""
    threads = min(len(os.sched_getaffinity(0)), _MOST, len(items))
    if threads <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads, thread_name_prefix="hicra") as pool:
        return list(pool.map(function, items))
