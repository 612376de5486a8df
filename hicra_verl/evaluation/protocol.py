"""What `hicra eval` does, from the words of its command line to the figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hicra_verl.evaluation.benchmarks import SAMPLES, EvaluationError, Item, digest, load_benchmarks
from hicra_verl.evaluation.engines import EndpointEngine, RayVllmEngine, VllmEngine
from hicra_verl.evaluation.run import check_settings, evaluate, finished_samples, only_one
from hicra_verl.evaluation.sampling import Engine, Sampling
from hicra_verl.evaluation.summary import as_table, summarise, write_summary
from hicra_verl.grading.pool import GradingPool
from hicra_verl.grams import load_grams
from hicra_verl.tables import Table
from hicra_verl.version import __version__


@dataclass(frozen=True)
class Evaluation:
    """What is asked for: the options of `hicra eval`, whose help says what each means."""

    benchmarks: Sequence[str]
    model: str
    output: Path
    sampling: Sampling
    data: Path = Path("data")
    template: str = "qwen"
    row: str | None = None
    samples: int | None = None
    limit: int | None = None
    seed: int = 0
    grams: str = "paper"
    base_url: str | None = None
    replicas: int = 0
    gpus_each: int = 1
    vllm_arguments: dict[str, Any] = field(default_factory=dict)
    concurrency: int = 64
    timeout_s: float = 3600

    def __post_init__(self) -> None:
        if not -(2**63) <= self.seed < 2**63:
            raise EvaluationError("expected a whole number of 64 bits", field="--seed")

    def engine(self) -> Engine:
        """What generates."""
        if self.base_url is not None:
            from hicra_verl.endpoint import Endpoint

            return EndpointEngine(Endpoint(self.base_url, self.model, self.concurrency, self.timeout_s), self.sampling)
        if self.replicas:
            return RayVllmEngine(self.replicas, self.gpus_each, self.model, self.sampling, self.vllm_arguments)
        return VllmEngine(self.model, self.sampling, self.vllm_arguments)

    def settings(self, items: Sequence[Item]) -> dict[str, Any]:
        """What every sample in a folder has in common; no address of a server, which may hold a password."""
        return {
            "model": self.model,
            "row": self.row,
            "template": self.template,
            "sampling": vars(self.sampling),
            "samples": self.samples,
            "limit": self.limit,
            "seed": self.seed,
            "hicra_verl": __version__,
            "problems": {name: digest(item for item in items if item.benchmark == name) for name in self.benchmarks},
        }


def run_evaluation(asked: Evaluation, progress: Callable[[int, int], None] = lambda count, total: None) -> Table:
    """Take and grade the samples that are missing, and write the summary.

    Args:
        asked: what is asked for.
        progress: told how many samples were just done, and of how many.

    Returns:
        The figures.

    Raises:
        HicraError: if it cannot go on; every sample so far is kept, and the same call takes the missing ones.
    """
    gram_set = load_grams(asked.grams)
    items = load_benchmarks(asked.benchmarks, asked.data / asked.template, asked.limit)
    settings = asked.settings(items)
    one = asked.sampling.temperature == 0
    each = {name: asked.samples or (1 if one else SAMPLES.get(name, 1)) for name in asked.benchmarks}
    total = sum(each[item.benchmark] for item in items)
    with only_one(asked.output):
        check_settings(asked.output, settings)
        with GradingPool() as pool:
            evaluate(items, each, asked.engine, asked.output, asked.seed, pool, lambda count: progress(count, total))
        taken = finished_samples(items, each, asked.output)
        figures = {name: summarise(found, gram_set) for name, found in taken.items()}
        notes = write_summary(asked.output, f"{gram_set.name} ({gram_set.sha256[:12]})", figures)
    return as_table(figures, notes)


def key_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """``key=value`` words; a value that is JSON is read as such.

    Raises:
        EvaluationError: if a word has no ``=``, or two have the same key.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise EvaluationError(f"{option} {pair}: expected KEY=VALUE")
        if key in found:
            raise EvaluationError(f"{option} {pair}: {key} is set twice")
        try:
            found[key] = json.loads(value)
        except (RecursionError, ValueError):
            found[key] = value
    return found


@contextmanager
def sample_bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar of samples on stderr; yields what ``run_evaluation`` takes."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    from hicra_verl.terminal import plain_console

    columns = ("samples", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), "left:", TimeRemainingColumn())
    with Progress(*columns, console=plain_console(stderr=True)) as bar:
        task = bar.add_task("samples", total=None)
        yield lambda count, total: bar.update(task, advance=count, total=total)
