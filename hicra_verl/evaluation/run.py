"""Taking samples, grading them, and keeping every one: a killed evaluation goes on where it stopped."""

from __future__ import annotations

import errno
import fcntl
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hicra_verl.append_log import AppendLogError, appending, read_log
from hicra_verl.endpoint import REFUSED
from hicra_verl.evaluation.benchmarks import EvaluationError, Item
from hicra_verl.evaluation.sampling import Completion, Engine, Request
from hicra_verl.files import make_folder, write_json
from hicra_verl.grading.grade import REASONS, Grade, grade
from hicra_verl.grading.pool import GradingPool
from hicra_verl.records import InputError, read_json

SETTINGS_FILE = "settings.json"
LOCK_FILE = ".lock"


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


_TYPES = {name: get_args(kind) or (kind,) for name, kind in get_type_hints(Sample).items()}


def seed_of(base_seed: int, uid: str, sample: int) -> int:
    """Each sample's own seed, so that it does not depend on what else is sampled, or when."""
    return zlib.crc32(f"{base_seed} {uid} {sample}".encode())


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder, so that no second evaluation writes into it; it ends with the process, however that ends.

    Raises:
        EvaluationError: if another one holds it.
    """
    with (make_folder(folder) / LOCK_FILE).open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "wait for it to end, or give another --output"
            raise EvaluationError("another evaluation is writing here", file=folder, remedy=remedy) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):  # a file system without locks
                raise
        os.register_at_fork(after_in_child=stream.close)  # an engine's process that outlives this one holds nothing
        yield


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a new evaluation, or compare them with those of the one to go on with.

    Args:
        folder: the evaluation's.
        settings: of the evaluation; ``problems`` holds the digest of each benchmark's problems, and others may follow.

    Raises:
        EvaluationError, InputError: if they differ: two settings, or two sets of problems, must not share a result; or
            if what is there cannot be read.
    """
    path = folder / SETTINGS_FILE
    before: dict[str, Any] = {}
    known: dict[str, Any] = {}
    if path.exists():
        before = read_json(path, "restore it, or give another --output: without it, no one knows what its samples are")
        known = before.get("problems") or {}
        if not isinstance(known, dict):
            raise InputError("expected an object", file=path, field="problems", remedy="give another --output")
        for name in sorted({*before, *settings} - {"problems"}):
            if before.get(name) != settings.get(name):
                raise EvaluationError(
                    f"{folder} holds an evaluation with {name}={before.get(name)!r}, not {settings.get(name)!r}: give "
                    "another --output, or the same settings to go on with it"
                )
        for name, found in settings["problems"].items():
            if known.get(name, found) != found:
                raise EvaluationError(
                    f"{folder} holds samples of other problems called {name}: the data has changed since; give another "
                    "--output, or the same data to go on with it"
                )
    together = {**settings, "problems": {**known, **settings["problems"]}}
    if before != together:
        write_json(path, together)


def load_samples(path: Path) -> list[Sample]:
    """The samples of a file; of those taken again after a refusal, the last.

    A last line cut short by a crash is removed from the file.

    Raises:
        AppendLogError: if any other line is not a sample, or one was taken twice.
    """
    return distinct_samples(path, read_log(path))


def distinct_samples(path: Path, rows: Iterable[tuple[int, dict[str, Any]]]) -> list[Sample]:
    """The samples of a file's numbered rows; see ``load_samples``."""
    samples: dict[tuple[str, int], Sample] = {}
    for number, row in rows:
        wrong = [name for name, value in row.items() if not _fits(name, value)]
        wrong += [f"no {name}" for name in _TYPES if name not in row and name != "refusal"]
        if wrong:
            problem, remedy = f"not a sample ({', '.join(wrong)})", "remove the line to take it anew"
            raise AppendLogError(problem, file=path, line=number, remedy=remedy)
        sample = Sample(**row)
        before = samples.get((sample.uid, sample.sample))
        if before is not None and before.finish_reason != REFUSED:
            problem = f"sample {sample.sample} of {sample.uid} is there twice: did two evaluations write here at once?"
            raise AppendLogError(problem, file=path, line=number, remedy="remove one of the two lines")
        samples[sample.uid, sample.sample] = sample
    return list(samples.values())


def by_problem(samples: Iterable[Sample]) -> dict[str, list[int]]:
    """Problem to [samples, correct samples]."""
    counts: dict[str, list[int]] = {}
    for sample in samples:
        of_problem = counts.setdefault(sample.uid, [0, 0])
        of_problem[0] += 1
        of_problem[1] += sample.correct
    return counts


def _fits(name: str, value: Any) -> bool:
    """Whether a field of a sample may hold this."""
    if type(value) not in _TYPES.get(name, ()) or (name == "grade" and value not in (*REASONS, REFUSED)):
        return False
    return type(value) is not int or 0 <= value < 2**53


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
    make_folder(folder / "samples")
    with ExitStack() as logs:
        append: dict[str, Callable[[dict[str, Any]], None]] = {}
        for completion in engine().generate(missing):
            name = completion.request.item.benchmark
            if name not in append:
                append[name] = logs.enter_context(appending(samples_file(folder, name)))
            append[name](asdict(_graded(completion, pool)))
            progress(1)


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
        found = Grade(False, REFUSED, None)
    else:
        found = grade(completion.text, item.answer, item.kind, item.options, pool)
    asked, taken = (item.uid, request.sample, request.seed), (completion.text, completion.finish_reason)
    return Sample(
        *asked, *taken, completion.tokens, found.answer, found.correct, found.reason, refusal=completion.refusal
    )
