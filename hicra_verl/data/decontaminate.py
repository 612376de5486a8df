"""Deduplicate training data and take the benchmarks out of it: to the letter, or nearly."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from hicra_verl.data.problems import IMAGE, Problem
from hicra_verl.data.report import Report

IN_A_BENCHMARK = "in a benchmark"

Placed = tuple[str, Problem]
"""A problem and the row it is from, as ``"FILE, row N"``."""

SHINGLE_TOKENS = 3  # ours
NEAR = 0.7  # ours: share of token triples in common (Jaccard) from which two problems count as one

# Numbers, words (LaTeX commands too), and the signs that carry meaning: x < 5 is not x > 5. Dollar signs and their
# like, braces, marks of images and punctuation come and go between copies of a problem, and are left out.
_DELIMITER = re.compile(r"\\[()\[\]]|" + IMAGE)
_TOKEN = re.compile(r"\d+(?:\.\d+)?|\w+|[-+*/^=<>!|%()\[\]±×÷·≤≥≠∈∪∩√−]")


def tokens(problem: str) -> list[str]:
    """The problem's words, numbers and operators, case aside."""
    return _TOKEN.findall(_DELIMITER.sub(" ", problem.casefold()))


def shingles(problem: str) -> frozenset[str]:
    """The problem's token triples; of a shorter problem, all its tokens as one."""
    found = tokens(problem)
    starts = range(max(1, len(found) - SHINGLE_TOKENS + 1))
    return frozenset(" ".join(found[start : start + SHINGLE_TOKENS]) for start in starts)


class NearIndex:
    """Problems that others are compared with; every comparison is exact (no sampling or hashing).

    Args:
        problems: the texts.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self._sizes: list[int] = []
        self._holders: dict[str, list[int]] = defaultdict(list)
        for number, problem in enumerate(problems):
            found = shingles(problem)
            self._sizes.append(len(found))
            for shingle in found:
                self._holders[shingle].append(number)

    def nearest(self, problem: str) -> tuple[float, int] | None:
        """The most similar problem: (Jaccard similarity of token triples, its index); None if nothing is shared."""
        found = shingles(problem)
        common = Counter(holder for shingle in found for holder in self._holders.get(shingle, ()))
        if not common:
            return None
        similarity = {number: count / (len(found) + self._sizes[number] - count) for number, count in common.items()}
        best = max(similarity, key=lambda number: (similarity[number], -number))
        return similarity[best], best


def deduplicate(problems: Iterable[Placed], report: Report) -> Iterator[Placed]:
    """Each problem once, by its text (white space aside) and its images; the first row's answer counts."""
    seen: dict[str, str] = {}
    for where, problem in problems:
        identity = " ".join(problem.text.split())
        if problem.images:
            identity += "\n" + hashlib.sha256(b"".join(image["bytes"] for image in problem.images)).hexdigest()
        first = seen.get(identity)
        if first is None:
            seen[identity] = problem.answer
            yield where, problem
        elif first == problem.answer:
            report.leave_out("repeated", where)
        else:
            report.leave_out("repeated with another answer", where, f"{problem.answer}, and {first} before")


def decontaminate(problems: Iterable[Placed], benchmarks: dict[str, list[str]], report: Report) -> Iterator[Placed]:
    """Leave out what is in a benchmark, to the letter or nearly (``NEAR``), and record it.

    Args:
        problems: training problems.
        benchmarks: benchmark name to its problems' texts.
        report: where what is left out is recorded.
    """
    names = [name for name, texts in benchmarks.items() for _ in texts]
    index = NearIndex(text for texts in benchmarks.values() for text in texts)
    for where, problem in problems:
        nearest = index.nearest(problem.text)
        if nearest is not None and nearest[0] >= NEAR:
            report.leave_out(IN_A_BENCHMARK, where, names[nearest[1]])
            report.in_a_benchmark.append(
                {"problem": problem.text, "benchmark": names[nearest[1]], "similarity": round(nearest[0], 3)}
            )
        else:
            yield where, problem
