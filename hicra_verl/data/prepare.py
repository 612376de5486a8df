"""From a data set's files to verl's parquet, with a report of everything left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from hicra_verl.data.decontaminate import Placed, decontaminate, deduplicate
from hicra_verl.data.files import find_files, read_rows
from hicra_verl.data.images import image_bytes
from hicra_verl.data.problems import IMAGE, DataError, Problem, UnusableRow
from hicra_verl.data.report import Report
from hicra_verl.data.sources import Source
from hicra_verl.data.templates import messages
from hicra_verl.data.vision import BY_LETTER
from hicra_verl.errors import HicraError
from hicra_verl.files import make_folder, sha256_of, write_json, writing
from hicra_verl.records import InputError, open_parquet

ROWS_AT_ONCE = 512  # ours: with images, some 100 MB


def read_problems(source: Source, files: dict[str, Path], report: Report, alone: bool = False) -> Iterator[Placed]:
    """The problems of a data set's files; rows that cannot be used are counted in ``report.left_out``.

    Args:
        source: what they are.
        files: name in messages to file.
        report: where rows are counted.
        alone: only the file was given, so what is beside it is not the data set's.

    Raises:
        DataError: if a file has other columns than known, or a cell another type.
    """
    for label, path in files.items():
        layout = None
        for record in read_rows(path):
            where = f"{label}, row {record.line}"
            layout = layout or source.layout_of(list(record.data), str(path))
            report.rows += 1
            try:
                problem = _usable(layout.read(record.data), None if alone else path.parent, source.kind)
            except UnusableRow as error:
                report.leave_out(error.reason, where, str(error))
                continue
            except (KeyError, TypeError, IndexError, AttributeError, ValueError, ArithmeticError) as error:
                if isinstance(error, HicraError):
                    if isinstance(error, DataError) and error.file is None:
                        error.file, error.line = label, f"row {record.line}"
                    raise
                raise DataError(f"{where}: unexpected content ({type(error).__name__}: {error})") from error
            yield where, problem


def _usable(problem: Problem, folder: Path | None, kind: str) -> Problem:
    """The problem with every image as ``{"bytes": …}``: verl's workers may not see this folder."""
    if not problem.text:
        raise UnusableRow("no problem")
    if not problem.answer:
        raise UnusableRow("no answer")
    marks = problem.text.count(IMAGE)
    if marks not in (0, len(problem.images)):
        raise UnusableRow("image marks unlike images", f"{marks} {IMAGE} for {len(problem.images)} images")
    texts = (problem.text, problem.answer, *(problem.options or ()), problem.identity, problem.version)
    if re.search("[\ud800-\udfff]", "".join(texts)):
        raise UnusableRow("half of a character", "was an emoji cut in two?")
    if not problem.images:
        if kind == "vision":
            raise UnusableRow("image missing", "its cell is empty")
        return problem
    return replace(problem, images=tuple({"bytes": image_bytes(image, folder)} for image in problem.images))


def verl_row(problem: Problem, name: str, number: int, template: str, training: bool) -> dict[str, Any]:
    """One row as verl's data loader and ``hicra_verl.reward`` take it.

    Raises:
        DataError: if the prompt would have another number of ``<image>`` than the problem has images.
    """
    prompt = messages(template, problem.text, len(problem.images))
    marks = sum(message["content"].count(IMAGE) for message in prompt)
    if marks != len(problem.images):
        raise DataError(
            f"{name}, problem {number}: {marks} {IMAGE} in the prompt for {len(problem.images)} images; "
            "--template vision has a place for images"
        )
    row: dict[str, Any] = {
        "data_source": name,
        "prompt": prompt,
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {
            "split": "train" if training else "test",
            "index": number,
            "uid": f"{name}-{problem.identity or number}",
            "problem": problem.text,
            "answer_kind": problem.kind,
            "options": None if problem.options is None else list(problem.options),
            "version": problem.version,
            "solution": problem.solution.encode("utf-8", "replace").decode(),
        },
    }
    if problem.images:
        row["images"] = [dict(image) for image in problem.images]
    return row


def benchmark_texts(folder: Path, benchmarks: Iterable[str]) -> dict[str, list[str]]:
    """The problems of the benchmarks that have been written to ``folder``, without what our loaders add to them."""
    texts = {}
    for name in benchmarks:
        path = folder / f"{name}.parquet"
        if path.exists():
            try:
                with open_parquet(path) as file:
                    found = file.read(columns=["extra_info"])["extra_info"].to_pylist()
                texts[name] = [extra["problem"].removesuffix(BY_LETTER).rstrip() for extra in found]
            except (InputError, KeyError, TypeError, AttributeError) as error:
                problem = f"is not as `hicra data {name}` writes it, and training data must not hold what is in it"
                raise DataError(problem, file=path, remedy="write it anew, or remove it") from error
    return texts


def prepare(
    name: str,
    source: Source,
    origin: Path,
    output: Path,
    template: str,
    benchmarks: dict[str, list[str]],
    any_count: bool = False,
    revision: str | None = None,
) -> Report:
    """Write ``output/NAME.parquet`` and ``NAME.json``, the report.

    Args:
        name: the data set's short name.
        source: what it is.
        origin: folder of its files, or one file.
        output: where to write.
        template: a key of ``templates.TEMPLATES``.
        benchmarks: problems that training data must not hold.
        any_count: write even if there are more or fewer rows than published, or a benchmark's rows cannot all be used.
        revision: the commit that the files are of.

    Raises:
        DataError: if the files cannot be used, hold another number of rows than published, or are a benchmark's and
            would not give all its problems.
    """
    files = find_files(name, source, origin)
    inputs = {label: sha256_of(path) for label, path in files.items()}
    report = Report(name, source.hub, revision, template, inputs, published_rows=source.rows)
    problems = read_problems(source, files, report, alone=origin.is_file())
    if source.training:
        report.cleared_of = list(benchmarks)
        problems = decontaminate(deduplicate(problems, report), benchmarks, report)
    first = list(islice(problems, 1))
    target = make_folder(output) / f"{name}.parquet"
    with writing(target, binary=True) as stream:
        with_images = any(problem.images for _, problem in first)
        report.problems = _write(chain(first, problems), report, stream, source.training, with_images)
        _check_counts(source, report, any_count)
    report.output_sha256 = sha256_of(target)
    write_json(target.with_suffix(".json"), asdict(report))
    return report


def _check_counts(source: Source, report: Report, any_count: bool) -> None:
    if source.rows is not None and report.rows not in (source.rows, *source.rows_elsewhere) and not any_count:
        raise DataError(
            f"{report.name}: {report.rows:,} rows in {', '.join(report.inputs)}, but {source.rows:,} were "
            "published. If the difference is meant, add --any-count."
        )
    if not source.training and report.left_out and not any_count:
        unusable = sum(report.left_out.values())
        raise DataError(
            f"{report.name}: a benchmark counts as a whole, and {unusable:,} of its {report.rows:,} rows cannot be "
            f"used ({_reasons(report)}). To do without them, add --any-count."
        )
    if not report.problems:
        raise DataError(f"{report.name}: no problem is left of {report.rows:,} rows ({_reasons(report)})")


def _reasons(report: Report) -> str:
    return "; ".join(f"{report.examples[reason][0]}, {count:,} such" for reason, count in report.left_out.items())


def _write(problems: Iterable[Placed], report: Report, stream: IO[bytes], training: bool, with_images: bool) -> int:
    """Write the rows as they come, a few in memory at a time; returns their number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), -1
    extra = {"split": text, "index": pa.int64(), "uid": text, "problem": text, "answer_kind": text}
    columns = {
        "data_source": text,
        "prompt": pa.list_(pa.struct({"role": text, "content": text})),
        "ability": text,
        "reward_model": pa.struct({"style": text, "ground_truth": text}),
        "extra_info": pa.struct({**extra, "options": pa.list_(text), "version": text, "solution": text}),
    }
    if with_images:
        columns["images"] = pa.list_(pa.struct({"bytes": pa.binary()}))
    rows = []
    with pq.ParquetWriter(stream, pa.schema(columns)) as writer:
        for number, (where, problem) in enumerate(problems):
            rows.append(_row(problem, report, number, training, where, with_images))
            if len(rows) == ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, writer.schema))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, writer.schema))
    return number + 1


def _row(
    problem: Problem, report: Report, number: int, training: bool, where: str, with_images: bool
) -> dict[str, Any]:
    if problem.images and not with_images:
        raise DataError(f"{report.name}: {where} has images, unlike the first row")
    try:
        row = verl_row(problem, report.name, number, report.template, training)
    except DataError as error:
        raise DataError(f"{error} ({where})") from error
    return {**row, "images": row.get("images", [])} if with_images else row
