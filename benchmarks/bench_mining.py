"""Speed and memory of mining, as ratios and growth: `make bench` runs it after benchmarks/bench.py.

python benchmarks/bench_mining.py             counting, on one core; mining 10,000 and 100,000 solutions, on all
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("HICRA_TEST_DATA", ROOT.parent / "shared" / "data"))

SIZES = (10_000, 100_000)
PERTURBED = 0.03  # share of the words exchanged in each copy


def real_solutions() -> list[str]:
    """The responses of the real rollouts."""
    paths = sorted((DATA / "rollouts").glob("*.jsonl"))
    if not paths:
        raise SystemExit(f"real rollouts absent: {DATA / 'rollouts'}")
    return [json.loads(line)["response"] for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def perturbed(texts: list[str], count: int, path: Path) -> None:
    """Copies of the texts until there are so many, with other numbers and some words exchanged."""
    rng = random.Random(0)
    words = sorted({word for text in texts for word in re.findall(r"[a-z]{3,}", text)})
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            text = texts[number % len(texts)]
            if number >= len(texts):
                pieces = text.split(" ")
                for place in range(len(pieces)):
                    if rng.random() < PERTURBED and pieces[place].isalpha():
                        pieces[place] = rng.choice(words)
                text = re.sub(r"\d+", lambda _: str(rng.randrange(1000)), " ".join(pieces))
            stream.write(json.dumps({"response": text, "correct": True}) + "\n")


def measured(what: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, and MB that this process's memory grew to at most, in a process of its own (forked)."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        found = what()
        seconds = time.perf_counter() - started
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        os.write(write, json.dumps([seconds, grown, found]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        seconds, grown, found = json.loads(stream.read())
    os.waitpid(child, 0)
    return seconds, grown, found


def bench_counting(texts: list[str]) -> Table:
    """Document frequencies of all 3- to 5-grams, by us and by scikit-learn, on one core."""
    from sklearn.feature_extraction.text import CountVectorizer

    from hicra_verl.mining.counting import count_documents
    from hicra_verl.mining.ngrams import Words, find_ngrams

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    find_ngrams(texts[:10], Words())
    megabytes = sum(len(text.encode()) for text in texts) / 1e6

    def ours() -> list[int]:
        found = find_ngrams(texts, Words())
        return [len(found.key), len(count_documents(texts, Words())["key"])]

    def counting_alone() -> int:
        return len(count_documents(texts, Words())["key"])

    def theirs() -> list[int]:
        matrix = CountVectorizer(ngram_range=(3, 5), binary=True).fit_transform(texts)
        return [int(matrix.sum()), len(matrix.sum(axis=0).A1)]

    # Theirs also run over punctuation, numbers and formulas, so it finds more: compare n-grams found a second, too.
    occurrences, distinct = ours()
    table = Table(
        title=f"document frequency of 3- to 5-grams, one core, {len(texts):,} solutions", title_justify="left"
    )
    for column in ("", "solutions/s", "MB/s", "n-grams found/s", "distinct n-grams", "peak MB", "ratio of times"):
        table.add_column(column, justify="right" if column else "left")
    times = []
    for name, what in (("hicra mine", counting_alone), ("CountVectorizer", theirs)):
        runs = [measured(what) for _ in range(3)]
        seconds, grown, found = min(runs)
        times.append(seconds)
        held, kinds = (occurrences, distinct) if name == "hicra mine" else found
        table.add_row(
            name,
            f"{len(texts) / seconds:,.0f}",
            f"{megabytes / seconds:.1f}",
            f"{held / seconds:,.0f}",
            f"{kinds:,}",
            f"{grown:,.0f}",
            f"{seconds / times[0]:.1f}",
        )
    return table


def bench_mining(texts: list[str]) -> Table:
    """The whole command at two sizes: time, growth, peak memory of its largest process."""
    table = Table(title=f"hicra mine, {os.cpu_count()} cores, lexical embedder", title_justify="left")
    for column in ("solutions", "MB", "seconds", "growth", "peak MB of a process", "result"):
        table.add_column(column, justify="left" if column == "result" else "right")
    seconds_before = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            corpus, output = Path(folder) / f"{size}.jsonl", Path(folder) / f"{size}.json"
            perturbed(texts, size, corpus)
            words = [sys.executable, "-m", "hicra_verl.cli", "mine", str(corpus), "-o", str(output)]
            program = (
                "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
            )
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", program, *words, "--embedder", "lexical"],
                check=True,
                capture_output=True,
                text=True,
            )
            seconds = time.perf_counter() - started
            found = dict(json.loads(output.read_text())["provenance"])["found"]
            table.add_row(
                f"{size:,}",
                f"{corpus.stat().st_size / 1e6:.0f}",
                f"{seconds:.0f}",
                f"{seconds / seconds_before:.1f}x" if seconds_before else "",
                f"{float(done.stdout):,.0f}",
                f"{found['ngrams']:,} n-grams, {found['candidates']:,} candidates, {found['kept_clusters']:,} clusters",
            )
            seconds_before = seconds
    return table


def main() -> None:
    texts = real_solutions()
    console = Console(width=140)
    console.print(bench_mining(texts))
    console.print(bench_counting(texts))


if __name__ == "__main__":
    main()
