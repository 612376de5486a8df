"""Taking samples, grading them, and keeping every one: a killed evaluation goes on where it stopped."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from hicra_verl.append_log import AppendLogError, read_log
from hicra_verl.evaluation.benchmarks import EvaluationError, Item
from hicra_verl.evaluation.engines import Completion, Engine, Request
from hicra_verl.grading.grade import start
from hicra_verl.grading.pool import GradingPool

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class Sample:
    """One graded sample: a line of ``samples/BENCHMARK.jsonl``."""

    uid: str
    sample: int
    seed: int
    response: str
    finish_reason: str
    tokens: int
    answer: str | None
    correct: bool
    grade: str


def seed_of(base_seed: int, uid: str, sample: int) -> int:
    """Each sample's own seed, so that it does not depend on what else is sampled, or when."""
    return zlib.crc32(f"{base_seed} {uid} {sample}".encode())


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a new evaluation, or compare them with those of the one to go on with.

    Raises:
        EvaluationError: if they differ: two settings must not share a result.
    """
    path = folder / SETTINGS_FILE
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        for name in sorted({*before, *settings}):
            if before.get(name) != settings.get(name):
                raise EvaluationError(
                    f"{folder} holds an evaluation with {name}={before.get(name)!r}, not {settings.get(name)!r}: give "
                    "another --output, or the same settings to go on with it"
                )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def load_samples(path: Path) -> list[Sample]:
    """The complete lines of a samples file; a last line cut short by a crash is removed from the file.

    Raises:
        AppendLogError: if any other line is not a sample.
    """
    samples = []
    for number, row in read_log(path):
        try:
            samples.append(Sample(**row))
        except TypeError as error:
            raise AppendLogError(
                f"{path}, line {number}: not a sample ({error}); remove the line to take it anew"
            ) from error
    return samples


def evaluate(
    items: Sequence[Item],
    samples_each: dict[str, int],
    engine: Callable[[], Engine],
    folder: Path,
    seed: int,
    pool: GradingPool,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Take and grade every sample that is not there yet.

    Args:
        items: the problems of one or several benchmarks.
        samples_each: samples a problem, by benchmark.
        engine: makes the engine; called only if a sample is missing.
        folder: the evaluation's folder; samples go to ``samples/BENCHMARK.jsonl``, each as soon as it is graded.
        seed: see ``seed_of``.
        pool: where algebra runs.
        progress: called with the number of samples just done.
    """
    there = {
        (name, sample.uid, sample.sample)
        for name in samples_each
        for sample in load_samples(samples_file(folder, name))
    }
    missing = [
        Request(item, number, seed_of(seed, item.uid, number))
        for item in items
        for number in range(samples_each[item.benchmark])
        if (item.benchmark, item.uid, number) not in there
    ]
    progress(sum(samples_each[item.benchmark] for item in items) - len(missing))
    if not missing:
        return
    (folder / "samples").mkdir(exist_ok=True)
    files: dict[str, IO[str]] = {}
    try:
        for completion in engine().generate(missing):
            name = completion.request.item.benchmark
            if name not in files:
                files[name] = samples_file(folder, name).open("a", encoding="utf-8")
            files[name].write(json.dumps(asdict(_graded(completion, pool)), ensure_ascii=False) + "\n")
            files[name].flush()
            progress(1)
    finally:
        for stream in files.values():
            stream.close()


def samples_file(folder: Path, benchmark: str) -> Path:
    """Where a benchmark's samples are kept."""
    return folder / "samples" / f"{benchmark}.jsonl"


def _graded(completion: Completion, pool: GradingPool) -> Sample:
    request, item = completion.request, completion.request.item
    result = start(completion.text, item.answer, item.kind, item.options, pool)()
    return Sample(
        item.uid,
        request.sample,
        request.seed,
        completion.text,
        completion.finish_reason,
        completion.tokens,
        result.answer,
        result.correct,
        result.reason,
    )
