"""What `hicra data` does: list the known data sets, ask the hub about them, and write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.filesize import decimal

from hicra_verl.data import hub
from hicra_verl.data.prepare import benchmark_texts, prepare
from hicra_verl.data.problems import DataError
from hicra_verl.data.sources import SOURCES
from hicra_verl.data.templates import TEMPLATES
from hicra_verl.errors import HicraError, nearest
from hicra_verl.files import make_folder
from hicra_verl.tables import Table

CHECK = "check"
Say = Callable[[str], None]


def check_names(names: Sequence[str]) -> None:
    """Refuse data sets that are not known, or named twice.

    Raises:
        DataError: if there is one.
    """
    for place, name in enumerate(names):
        if name not in SOURCES:
            raise DataError(f"{name}: no such data set; {nearest(name, [*SOURCES, CHECK])}")
        if name in names[:place]:
            raise DataError(f"{name}: named twice", remedy="name it once")


def choose_commits(names: Sequence[str], output: Path, revisions: Sequence[str]) -> dict[str, str | None]:
    """Which commit each data set is read at: as asked for, as the folder has it, as pinned; None for the newest.

    Args:
        names: the data sets.
        output: the folder that may hold ``revisions.json``.
        revisions: ``NAME=REV`` or, of a single data set, ``REV``.

    Raises:
        DataError: if a revision is for none of them, or two are for one.
    """
    asked: dict[str, str] = {}
    for given in revisions:
        name, separator, commit = given.rpartition("=")
        if not separator and len(names) > 1:
            raise DataError(f"--revision {given}: for which of {', '.join(names)}? Give NAME={given}")
        if separator and name not in names:
            raise DataError(f"--revision {given}: {name} is not among {', '.join(names)}")
        if not commit or (name or names[0]) in asked:
            raise DataError(f"--revision {given}: expected one commit, tag or branch for {name or names[0]}")
        asked[name or names[0]] = commit
    return {name: SOURCES[name].revision for name in names} | hub.locked(output) | asked


def write_sets(
    names: Sequence[str],
    output: Path,
    template: str,
    revisions: Sequence[str] = (),
    origin: Path | None = None,
    any_count: bool = False,
    say: Say = print,
    complain: Say = print,
) -> None:
    """Write data sets to ``output/template``, benchmarks first; one that fails does not keep the others back.

    Args:
        names: the data sets.
        output: the folder.
        template: a key of ``TEMPLATES``.
        revisions: see ``choose_commits``.
        origin: a local copy instead of the hub.
        any_count: see ``prepare``.
        say: told what was done.
        complain: told what failed, if there are several sets.

    Raises:
        HicraError: if one failed.
    """
    check_names(names)
    if template not in TEMPLATES:
        raise DataError(f"--template {template}: {nearest(template, list(TEMPLATES))}")
    commits = choose_commits(names, output, revisions)
    folder = make_folder(make_folder(output) / template)

    def write(name: str, failed: list[str]) -> None:
        lacking = [name for name in failed if not SOURCES[name].training and not (folder / f"{name}.parquet").exists()]
        if SOURCES[name].training and lacking:
            raise DataError(
                f"{name}: not written, since it would not be cleared of {', '.join(lacking)}; run this again with both"
            )
        _write_set(name, output, template, commits.get(name), origin, any_count, say)

    _raise_if(_each(sorted(names, key=lambda name: SOURCES[name].training), write, complain), names)


def _each(names: Sequence[str], act: Callable[[str, list[str]], None], complain: Say) -> list[str]:
    """Do something for each, given those that failed before; returns those that failed. A single one raises."""
    failed: list[str] = []
    for name in names:
        try:
            act(name, failed)
        except (HicraError, OSError) as error:
            if len(names) == 1:
                raise
            complain(str(error))
            failed.append(name)
    return failed


def _raise_if(failed: Sequence[str], names: Sequence[str]) -> None:
    if failed:
        raise DataError(f"{len(failed)} of {len(names)} failed: {', '.join(failed)}")


def _write_set(
    name: str, output: Path, template: str, revision: str | None, origin: Path | None, any_count: bool, say: Say
) -> None:
    source, folder = SOURCES[name], output / template
    files, commit = origin, None
    if files is None:
        say(f"{name}: fetching {source.hub} from the hub")
        files, commit = hub.fetch(name, source, revision)
    others = [other for other, known in SOURCES.items() if not known.training]
    benchmarks = benchmark_texts(folder, others) if source.training else {}
    report = prepare(name, source, files, folder, template, benchmarks, any_count, commit)
    if commit is not None:
        hub.lock(output, name, commit)
    say(f"{folder / name}.parquet: {report.problems:,} problems of {report.rows:,} rows")
    for reason, count in report.left_out.items():
        say(f"  {count:,} {reason} (the first: {report.examples[reason][0]})")
    if source.training:
        say(f"  cleared of: {', '.join(report.cleared_of) or 'no benchmark, since none is written yet'}")


def check_sets(
    names: Sequence[str], output: Path, revisions: Sequence[str], show: Callable[[Table], None], complain: Say = print
) -> None:
    """Show what the hub holds of data sets (of all, if none is named), without fetching it.

    Args:
        names, output, revisions, complain: see ``write_sets``.
        show: given the table.

    Raises:
        DataError: if one cannot be read, or is not known.
    """
    check_names(names)
    names = names or [name for name, source in SOURCES.items() if source.hub]
    commits = choose_commits(names, output, revisions)
    rows, total = [], 0

    def check(name: str, failed: list[str]) -> None:
        nonlocal total
        found = hub.list_files(name, SOURCES[name], commits.get(name))
        total += found.bytes
        lines = [f"{path} ({decimal(size)})" for path, size in found.files.items()]
        newest = "this one" if found.newest == found.revision else found.newest[:12]
        newest += ", with other content" if found.changed else "" if newest == "this one" else ", the same content"
        listed = "\n".join([*lines, f"and not {found.others} other files"])
        rows.append((name, found.revision[:12], listed, newest, decimal(found.bytes)))

    failed = _each(names, check, complain)
    columns = ("name", "commit", "would be read", "newest commit", "size")
    note = f"{len(rows)} of {len(names)} data sets can be read: {decimal(total)} to fetch"
    show(Table("hicra data check", columns, rows, (note,), words=4))
    _raise_if(failed, names)


def list_sets() -> Table:
    """The known data sets."""
    rows = [
        (
            name,
            ("training" if source.training else "evaluation") + (", pictures" if source.kind == "vision" else ""),
            source.hub,
            (source.revision or "the newest")[:12],
            "" if source.rows is None else f"{source.rows:,}",
        )
        for name, source in SOURCES.items()
    ]
    return Table("hicra data", ("name", "for", "hub", "commit", "rows (published)"), rows, words=4)
