"""Taking samples, grading them, and keeping every one: a killed evaluation goes on where it stopped."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from hicra_verl.append_log import AppendLogError, read_log
from hicra_verl.endpoint import REFUSED
from hicra_verl.evaluation.benchmarks import EvaluationError, Item
from hicra_verl.evaluation.engines import Completion, Engine, Request
from hicra_verl.grading.grade import start
from hicra_verl.grading.pool import GradingPool

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class Sample:
    """One graded sample: a line of ``samples/BENCHMARK.jsonl``.

    A request that the engine refused is one too: wrong, with ``finish_reason`` and ``grade`` "refused", and what the
    engine said in ``refusal``.
    """

    uid: str
    sample: int
    seed: int
    response: str
    finish_reason: str
    tokens: int
    answer: str | None
    correct: bool
    grade: str
    refusal: str | None = None


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
    """The samples of a file; of those taken again after a refusal, the last.

    A last line cut short by a crash is removed from the file.

    Raises:
        AppendLogError: if any other line is not a sample.
    """
    samples: dict[tuple[str, int], Sample] = {}
    for number, row in read_log(path):
        try:
            sample = Sample(**row)
        except TypeError as error:
            raise AppendLogError(
                f"{path}, line {number}: not a sample ({error}); remove the line to take it anew"
            ) from error
        samples[sample.uid, sample.sample] = sample
    return list(samples.values())


def evaluate(
    items: Sequence[Item],
    samples_each: dict[str, int],
    engine: Callable[[], Engine],
    folder: Path,
    seed: int,
    pool: GradingPool,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Take and grade every sample that is not there yet, or was refused when it was asked for.

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
        if sample.finish_reason != REFUSED
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


def finished_samples(items: Sequence[Item], samples_each: dict[str, int], folder: Path) -> dict[str, list[Sample]]:
    """The samples by benchmark, exactly those that were asked for.

    Raises:
        EvaluationError: if one is missing, one belongs to no problem, or all of a benchmark's were refused.
    """
    found = {}
    for name, each in samples_each.items():
        samples = load_samples(samples_file(folder, name))
        taken = {(sample.uid, sample.sample) for sample in samples}
        asked = {(item.uid, number) for item in items if item.benchmark == name for number in range(each)}
        if asked - taken:
            raise EvaluationError(
                f"{folder}: {len(asked - taken)} of {len(asked)} samples of {name} have no answer (first: "
                f"{min(asked - taken)[0]}); run the same command again to ask for them"
            )
        if taken - asked:
            raise EvaluationError(
                f"{samples_file(folder, name)}: holds {len(taken - asked)} samples that belong to no problem of "
                f"{name} (first: {min(taken - asked)[0]}): the data has changed since; give another --output"
            )
        if all(sample.finish_reason == REFUSED for sample in samples):
            raise EvaluationError(
                f"{name}: each of the {len(samples)} requests was refused: {samples[0].refusal} Change what it asks "
                "for; the same command asks again"
            )
        found[name] = samples
    return found


def samples_file(folder: Path, benchmark: str) -> Path:
    """Where a benchmark's samples are kept."""
    return folder / "samples" / f"{benchmark}.jsonl"


def _graded(completion: Completion, pool: GradingPool) -> Sample:
    request, item = completion.request, completion.request.item
    if completion.finish_reason == REFUSED:
        message = completion.refusal
        return Sample(item.uid, request.sample, request.seed, "", REFUSED, 0, None, False, REFUSED, message)
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
