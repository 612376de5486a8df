"""From a data set's files to verl's parquet, with an account of everything left out."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hicra_verl.data.account import Account
from hicra_verl.data.files import find_files, read_rows, sha256
from hicra_verl.data.overlap import NEAR, NearIndex, key
from hicra_verl.data.problems import IMAGE
from hicra_verl.data.sources import DataError, Problem, Source, UnusableRow
from hicra_verl.data.templates import messages
from hicra_verl.data.vision import BY_LETTER

REPEATED = "repeated"
CONTRADICTING = "repeated with another answer"
IN_A_BENCHMARK = "in a benchmark"
ROWS_AT_ONCE = 512  # ours: with images, some 100 MB

Placed = tuple[str, Problem]
"""A problem and the row it is from, as ``"FILE, row N"``."""


def read_problems(source: Source, files: dict[str, Path], account: Account) -> Iterator[Placed]:
    """The problems of a data set's files; rows that cannot be used are counted in ``account.left_out``.

    Args:
        source: what they are.
        files: name in messages to file.
        account: where rows are counted.

    Raises:
        DataError: if a file has other columns than known, or a cell another type.
    """
    for label, path in files.items():
        layout = None
        for number, row in read_rows(path):
            where = f"{label}, row {number}"
            layout = layout or source.layout_of(list(row), str(path))
            account.rows += 1
            try:
                problem = _with_image_bytes(_usable(layout.read(row)), path.parent)
            except UnusableRow as error:
                account.leave_out(error.reason, where, str(error))
                continue
            except (KeyError, TypeError, IndexError, AttributeError) as error:
                raise DataError(f"{where}: unexpected content ({type(error).__name__}: {error})") from error
            yield where, problem


def _usable(problem: Problem) -> Problem:
    if not problem.text:
        raise UnusableRow("no problem")
    if not problem.answer:
        raise UnusableRow("no answer")
    marks = problem.text.count(IMAGE)
    if marks not in (0, len(problem.images)):
        raise UnusableRow("image marks unlike images", f"{marks} {IMAGE} for {len(problem.images)} images")
    return problem


def _with_image_bytes(problem: Problem, folder: Path) -> Problem:
    """Every image as ``{"bytes": …}``, also those given by path: verl's workers may not see this folder."""
    images = []
    for image in problem.images:
        content = image.get("bytes") or (_image_bytes(image["path"], folder) if image.get("path") else None)
        if not content:
            raise UnusableRow("image missing", "its cell is empty")
        images.append({"bytes": content})
    return replace(problem, images=tuple(images)) if images else problem


def _image_bytes(name: str, folder: Path) -> bytes:
    path, archive = folder / name, folder / "images.zip"
    if path.is_file():
        return path.read_bytes()
    if archive.is_file():
        opened = _archive(archive)
        for member in (name, name.removeprefix("images/")):
            if member in opened.NameToInfo:
                return opened.read(member)
    raise UnusableRow("image missing", f"{name} is neither beside the file nor in images.zip")


@lru_cache(maxsize=1)
def _archive(path: Path) -> zipfile.ZipFile:
    """Opened once: reading the table of its 40,000 members takes longer than reading a member."""
    return zipfile.ZipFile(path)


def without_repetitions(problems: Iterable[Placed], account: Account) -> Iterator[Placed]:
    """Each problem once, by its text (white space aside) and its images; the first row's answer counts."""
    seen: dict[str, str] = {}
    for where, problem in problems:
        identity = key(problem.text)
        if problem.images:
            identity += "\n" + hashlib.sha256(b"".join(image["bytes"] for image in problem.images)).hexdigest()
        first = seen.get(identity)
        if first is None:
            seen[identity] = problem.answer
            yield where, problem
        elif first == problem.answer:
            account.leave_out(REPEATED, where)
        else:
            account.leave_out(CONTRADICTING, where, f"{problem.answer}, and {first} before")


def without_benchmarks(
    problems: Iterable[Placed], benchmarks: dict[str, list[str]], account: Account
) -> Iterator[Placed]:
    """Leave out what is in a benchmark, to the letter or nearly (``overlap.NEAR``), and record it.

    Args:
        problems: training problems.
        benchmarks: benchmark name to its problems' texts.
        account: where what is left out is recorded.
    """
    names = [name for name, texts in benchmarks.items() for _ in texts]
    index = NearIndex(text for texts in benchmarks.values() for text in texts)
    for where, problem in problems:
        nearest = index.nearest(problem.text)
        if nearest is not None and nearest[0] >= NEAR:
            account.leave_out(IN_A_BENCHMARK, where, names[nearest[1]])
            account.in_a_benchmark.append(
                {"problem": problem.text, "benchmark": names[nearest[1]], "similarity": round(nearest[0], 3)}
            )
        else:
            yield where, problem


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
        },
    }
    if problem.images:
        row["images"] = [dict(image) for image in problem.images]
    return row


def benchmark_texts(folder: Path, benchmarks: Iterable[str]) -> dict[str, list[str]]:
    """The problems of the benchmarks that have been written to ``folder``, without what our loaders add to them."""
    import pyarrow.parquet as pq

    texts = {}
    for name in benchmarks:
        path = folder / f"{name}.parquet"
        if path.exists():
            found = pq.read_table(path, columns=["extra_info"])["extra_info"].to_pylist()
            texts[name] = [extra["problem"].removesuffix(BY_LETTER).rstrip() for extra in found]
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
) -> Account:
    """Write ``output/NAME.parquet`` and ``NAME.json``, the account.

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
    found = find_files(name, source, origin)
    files = {path.relative_to(origin).as_posix() if origin.is_dir() else path.name: path for path in found}
    inputs = {label: sha256(path) for label, path in files.items()}
    account = Account(name, source.hub, revision, template, inputs, published_rows=source.rows)
    problems = read_problems(source, files, account)
    if source.training:
        account.cleared_of = list(benchmarks)
        problems = without_benchmarks(without_repetitions(problems, account), benchmarks, account)
    target = output / f"{name}.parquet"
    unfinished = target.with_suffix(".part")
    try:
        account.problems = _write(problems, account, unfinished, source.training)
        _check_counts(source, account, any_count)
        account.output_sha256 = sha256(unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    target.with_suffix(".json").write_text(json.dumps(asdict(account), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return account


def _check_counts(source: Source, account: Account, any_count: bool) -> None:
    if source.rows is not None and account.rows not in (source.rows, *source.rows_elsewhere) and not any_count:
        raise DataError(
            f"{account.name}: {account.rows:,} rows in {', '.join(account.inputs)}, but {source.rows:,} were "
            "published. If the difference is meant, add --any-count."
        )
    if not source.training and account.left_out and not any_count:
        unusable = sum(account.left_out.values())
        raise DataError(
            f"{account.name}: a benchmark counts as a whole, and {unusable:,} of its {account.rows:,} rows cannot be "
            f"used ({_reasons(account)}). To do without them, add --any-count."
        )
    if not account.problems:
        raise DataError(f"{account.name}: no problem is left of {account.rows:,} rows ({_reasons(account)})")


def _reasons(account: Account) -> str:
    return "; ".join(f"{account.examples[reason][0]}, {count:,} such" for reason, count in account.left_out.items())


def _write(problems: Iterable[Placed], account: Account, target: Path, training: bool) -> int:
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
        "extra_info": pa.struct({**extra, "options": pa.list_(text), "version": text}),
    }
    writer, rows = None, []
    try:
        for number, (where, problem) in enumerate(problems):
            if writer is None:  # the first row tells whether a data set has images
                if problem.images:
                    columns["images"] = pa.list_(pa.struct({"bytes": pa.binary()}))
                target.parent.mkdir(parents=True, exist_ok=True)
                writer = pq.ParquetWriter(target, pa.schema(columns))
            rows.append(_row(problem, account, number, training, where, "images" in columns))
            if len(rows) == ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, writer.schema))
                rows.clear()
        if writer is not None:
            writer.write_table(pa.Table.from_pylist(rows, writer.schema))
    finally:
        if writer is not None:
            writer.close()
    return number + 1


def _row(
    problem: Problem, account: Account, number: int, training: bool, where: str, with_images: bool
) -> dict[str, Any]:
    if problem.images and not with_images:
        raise DataError(f"{account.name}: {where} has images, unlike the first row")
    try:
        row = verl_row(problem, account.name, number, account.template, training)
    except DataError as error:
        raise DataError(f"{error} ({where})") from error
    return {**row, "images": row.get("images", [])} if with_images else row
