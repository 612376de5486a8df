"""From a data set's files to verl's parquet, with an account of everything left out."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hicra_verl.data.overlap import NEAR, NearIndex, key
from hicra_verl.data.sources import DataError, Problem, Source
from hicra_verl.data.templates import messages
from hicra_verl.version import __version__


@dataclass
class Account:
    """What became of a data set's rows; written beside the parquet file.

    Attributes:
        name: the data set.
        hub: its name on the hub.
        template: the prompt template.
        inputs: file name to sha256.
        rows: rows read.
        repeated: rows whose problem had been read before.
        contradicting: of these, those with another answer (the first one is kept).
        in_a_benchmark: problems left out because a benchmark holds them, as ``{"problem", "benchmark", "similarity"}``.
        unusable: rows without a problem or an answer, as messages.
        problems: what is left, and written.
        published: the published number of problems, None if unknown.
        output_sha256: of the parquet file.
    """

    name: str
    hub: str
    template: str
    inputs: dict[str, str]
    rows: int = 0
    repeated: int = 0
    contradicting: int = 0
    in_a_benchmark: list[dict[str, Any]] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    problems: int = 0
    published: int | None = None
    output_sha256: str = ""
    hicra_verl: str = __version__


def sha256(path: Path) -> str:
    """The file's hash (64 hex digits)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(source: Source, revision: str | None) -> Path:
    """Download a data set's files from the hub (or find them in its cache); returns their folder."""
    from huggingface_hub import snapshot_download

    patterns = [source.files, *([source.extra_files] if source.extra_files else [])]
    return Path(snapshot_download(source.hub, repo_type="dataset", revision=revision, allow_patterns=patterns))


def find_files(name: str, source: Source, origin: Path) -> list[Path]:
    """The data set's files in a local copy: by the hub's layout, or by the data set's own name.

    Raises:
        DataError: if there are none.
    """
    if origin.is_file():
        return [origin]
    found = sorted(origin.glob(source.files)) or sorted(origin.glob(f"{name}.*"))
    if not found:
        raise DataError(f"{origin}: holds neither {source.files} (the hub's layout of {source.hub}) nor {name}.jsonl")
    return found


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a .parquet, .jsonl or .json file, numbered from 1, one batch in memory at a time.

    Raises:
        DataError: if the file or a line of it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            number = 0
            for batch in pq.ParquetFile(path).iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        elif path.suffix == ".json":
            yield from enumerate(json.loads(path.read_text(encoding="utf-8")), 1)
        elif path.suffix == ".jsonl":
            with path.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        try:
                            yield number, json.loads(line.decode("utf-8"))
                        except ValueError as error:
                            raise DataError(
                                f"{path}, line {number}: not valid JSON ({error}); is it cut short?"
                            ) from error
        else:
            raise DataError(f"{path}: expected a .parquet, .jsonl or .json file")
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not valid JSON ({error})") from error


def read_problems(source: Source, files: Iterable[Path], account: Account) -> Iterator[Problem]:
    """The problems of a data set's files; rows without a problem or an answer are recorded in ``account.unusable``."""
    for path in files:
        layout = None
        for number, row in read_rows(path):
            where = f"{path.name}, row {number}"
            layout = layout or source.layout_of(list(row), str(path))
            account.rows += 1
            try:
                problem = layout.read(row)
            except (KeyError, TypeError, IndexError) as error:
                raise DataError(f"{where}: unexpected content ({type(error).__name__}: {error})") from error
            except DataError as error:
                account.unusable.append(f"{where}: {error}")
                continue
            if not problem.text or not problem.answer or problem.answer == "None":
                account.unusable.append(f"{where}: no {'answer' if problem.text else 'problem'}")
                continue
            yield _with_image_bytes(problem, path.parent)


def _with_image_bytes(problem: Problem, folder: Path) -> Problem:
    """Put the bytes of images that are given by path into the row: verl's workers may not see this folder."""
    if not any("path" in image and "bytes" not in image for image in problem.images):
        return problem
    images = []
    for image in problem.images:
        if "bytes" not in image:
            image = {"bytes": _image_bytes(image["path"], folder)}
        images.append(image)
    return Problem(problem.text, problem.answer, problem.kind, problem.options, tuple(images), problem.identity)


def _image_bytes(name: str, folder: Path) -> bytes:
    path, archive = folder / name, folder / "images.zip"
    if path.is_file():
        return path.read_bytes()
    if archive.is_file():
        with zipfile.ZipFile(archive) as opened:
            for member in (name, name.removeprefix("images/")):
                if member in opened.NameToInfo:
                    return opened.read(member)
    raise DataError(f"{folder}: the image {name} is neither there nor in images.zip")


def without_repetitions(problems: Iterable[Problem], account: Account) -> Iterator[Problem]:
    """Each problem once, by its words and its images; the first row's answer counts."""
    seen: dict[str, str] = {}
    for problem in problems:
        images = hashlib.sha256(b"".join(image.get("bytes", b"") for image in problem.images)).hexdigest()
        identity = f"{key(problem.text)}\n{images}" if problem.images else key(problem.text)
        if identity in seen:
            account.repeated += 1
            account.contradicting += seen[identity] != problem.answer
        else:
            seen[identity] = problem.answer
            yield problem


def without_benchmarks(
    problems: Iterable[Problem], benchmarks: dict[str, list[str]], account: Account
) -> Iterator[Problem]:
    """Leave out what is in a benchmark, to the letter or nearly (``overlap.NEAR``), and record it.

    Args:
        problems: training problems.
        benchmarks: benchmark name to its problems' texts.
        account: where what is left out is recorded.
    """
    names = [name for name, texts in benchmarks.items() for _ in texts]
    index = NearIndex(text for texts in benchmarks.values() for text in texts)
    for problem in problems:
        nearest = index.nearest(problem.text)
        if nearest is not None and nearest[0] >= NEAR:
            account.in_a_benchmark.append(
                {"problem": problem.text, "benchmark": names[nearest[1]], "similarity": round(nearest[0], 3)}
            )
        else:
            yield problem


def verl_row(problem: Problem, name: str, number: int, template: str, training: bool) -> dict[str, Any]:
    """One row as verl's data loader and ``hicra_verl.reward`` take it."""
    row: dict[str, Any] = {
        "data_source": name,
        "prompt": messages(template, problem.text, len(problem.images)),
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {
            "split": "train" if training else "test",
            "index": number,
            "uid": f"{name}-{problem.identity or number}",
            "problem": problem.text,
            "answer_kind": problem.kind,
            "options": None if problem.options is None else list(problem.options),
        },
    }
    if problem.images:
        row["images"] = [dict(image) for image in problem.images]
    return row


def benchmark_texts(folder: Path, benchmarks: Iterable[str]) -> dict[str, list[str]]:
    """The problems of the benchmarks that have been written to ``folder``."""
    import pyarrow.parquet as pq

    texts = {}
    for name in benchmarks:
        path = folder / f"{name}.parquet"
        if path.exists():
            texts[name] = [extra["problem"] for extra in pq.read_table(path)["extra_info"].to_pylist()]
    return texts


def prepare(
    name: str,
    source: Source,
    origin: Path,
    output: Path,
    template: str,
    benchmarks: dict[str, list[str]],
    any_count: bool = False,
) -> Account:
    """Write ``output/NAME.parquet`` and ``NAME.json``, the account.

    Args:
        name: the data set's short name.
        source: what it is.
        origin: folder of its files, or one file.
        output: where to write.
        template: a key of ``templates.TEMPLATES``.
        benchmarks: problems that training data must not hold.
        any_count: write even if the number of problems is not the published one.

    Raises:
        DataError: if the files cannot be used, or hold another number of problems than published.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = find_files(name, source, origin)
    account = Account(
        name, source.hub, template, {path.name: sha256(path) for path in files}, published=source.published
    )
    problems = read_problems(source, files, account)
    if source.training:
        problems = without_repetitions(problems, account)
    # The published number counts problems before any comparison with benchmarks.
    kept = list(problems)
    if source.published is not None and len(kept) != source.published and not any_count:
        raise DataError(
            f"{name}: {len(kept):,} problems in {', '.join(path.name for path in files)}, but {source.published:,} "
            f"were published ({account.rows:,} rows, {account.repeated:,} repetitions, {len(account.unusable):,} "
            "unusable). If the difference is meant, add --any-count."
        )
    if source.training:
        kept = list(without_benchmarks(kept, benchmarks, account))
    if not kept:
        raise DataError(f"{name}: no problem is left of {account.rows:,} rows; first unusable: {account.unusable[:1]}")
    account.problems = len(kept)
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{name}.parquet"
    unfinished = target.with_suffix(".part")
    rows = [verl_row(problem, name, number, template, source.training) for number, problem in enumerate(kept)]
    pq.write_table(pa.Table.from_pylist(rows), unfinished)
    account.output_sha256 = sha256(unfinished)
    unfinished.replace(target)
    target.with_suffix(".json").write_text(json.dumps(asdict(account), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return account
