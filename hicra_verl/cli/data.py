"""`hicra data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hicra_verl.cli.app import app, fail
from hicra_verl.errors import nearest
from hicra_verl.terminal import plain_console

CHECK = "check"


@app.command()
def data(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[check] [NAME…]",
            help="Data sets; none lists them. After the word check, the hub is only asked what it holds of them, or "
            "of all: which files would be read, how large, and what has changed since the pinned commit.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder; files go to OUTPUT/TEMPLATE/NAME.parquet.")
    ] = Path("data"),
    template: Annotated[str, typer.Option("--template", help="Prompt template: qwen, llama or vision.")] = "qwen",
    origin: Annotated[
        Path | None, typer.Option("--from", help="A local copy (folder or file) instead of the hub.")
    ] = None,
    revision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]REV",
            help="The hub's commit, tag or branch instead of the pinned one; with several names, which it is for. "
            "`main` is the newest.",
        ),
    ] = None,
    any_count: Annotated[
        bool,
        typer.Option(
            "--any-count", help="Accept another number of rows than published, and benchmarks with unusable rows."
        ),
    ] = False,
) -> None:
    """Write training and benchmark data in verl's format.

    Repetitions are removed from training data, and whatever is in a benchmark already written to the same folder (to
    the letter, or with 70% of its token triples in common): prepare the benchmarks first. Beside each file, NAME.json
    says where it is from and what was left out, why; OUTPUT/revisions.json keeps the commits for the next time.
    """
    from hicra_verl.data.hub import locked
    from hicra_verl.data.sources import SOURCES, DataError
    from hicra_verl.data.templates import TEMPLATES

    checking = bool(names) and names is not None and names[0] == CHECK
    wanted = (names or [])[1:] or list(SOURCES) if checking else names
    if not wanted:
        _list_sources()
        return
    for name in wanted:
        if name not in SOURCES:
            raise fail(f"{name}: no such data set; {nearest(name, [*SOURCES, CHECK])}")
    try:
        revisions = {name: SOURCES[name].revision for name in wanted} | locked(output) | _asked(revision or [], wanted)
    except DataError as error:
        raise fail(str(error)) from error
    if checking:
        if origin is not None:
            raise fail("--from: `hicra data check` asks the hub; leave one of the two out")
        failed = _check(wanted, revisions)
    else:
        if template not in TEMPLATES:
            raise fail(f"--template {template}: {nearest(template, list(TEMPLATES))}")
        failed = _write(wanted, revisions, output, template, origin, any_count)
    if len(wanted) > 1 and failed:
        fail(f"{len(failed)} of {len(wanted)} failed: {', '.join(failed)}")
    if failed:
        raise typer.Exit(2)


def _asked(revisions: list[str], names: list[str]) -> dict[str, str]:
    """``NAME=REV`` or, of a single data set, ``REV``."""
    asked = {}
    for given in revisions:
        name, separator, commit = given.rpartition("=")
        if not separator and len(names) > 1:
            raise fail(f"--revision {given}: for which of {', '.join(names)}? Give NAME={given}")
        if separator and name not in names:
            raise fail(f"--revision {given}: {name} is not among {', '.join(names)}")
        asked[name or names[0]] = commit
    return asked


def _write(
    names: list[str],
    revisions: dict[str, str | None],
    output: Path,
    template: str,
    origin: Path | None,
    any_count: bool,
) -> list[str]:
    """Write them, benchmarks first; one that fails does not keep the others back. Returns those that failed."""
    from hicra_verl.data import hub
    from hicra_verl.data import prepare as steps
    from hicra_verl.data.sources import SOURCES, DataError

    folder = output / template
    console = plain_console()
    failed: list[str] = []
    for name in sorted(names, key=lambda name: SOURCES[name].training):
        source = SOURCES[name]
        missing = [name for name in failed if not SOURCES[name].training and not (folder / f"{name}.parquet").exists()]
        if source.training and missing:
            fail(
                f"{name}: not written, since it would not be cleared of {', '.join(missing)}; run this again with both"
            )
            failed.append(name)
            continue
        try:
            files, commit = origin, None
            if files is None:
                console.print(f"{name}: fetching {source.hub} from the hub")
                files, commit = hub.fetch(name, source, revisions.get(name))
            against = [other for other, known in SOURCES.items() if not known.training]
            benchmarks = steps.benchmark_texts(folder, against) if source.training else {}
            account = steps.prepare(name, source, files, folder, template, benchmarks, any_count, commit)
            if commit is not None:
                hub.lock(output, name, commit)
        except (DataError, OSError) as error:
            fail(str(error))
            failed.append(name)
            continue
        console.print(f"{folder / name}.parquet: {account.problems:,} problems of {account.rows:,} rows")
        for reason, count in account.left_out.items():
            console.print(f"  {count:,} {reason} (the first: {account.examples[reason][0]})")
        if source.training:
            console.print(f"  cleared of: {', '.join(account.cleared_of) or 'no benchmark, since none is written yet'}")
    return failed


def _check(names: list[str], revisions: dict[str, str | None]) -> list[str]:
    """Print what the hub holds; returns those of which nothing could be read."""
    from hicra_verl.data.hub import list_files
    from hicra_verl.data.sources import SOURCES, DataError

    table = Table(title="hicra data check", title_justify="left")
    for column in ("name", "commit", "would be read", "size", "newest commit"):
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold")
    failed, total = [], 0
    for name in names:
        source = SOURCES[name]
        try:
            found = list_files(name, source, revisions.get(name))
        except DataError as error:
            fail(str(error))
            failed.append(name)
            continue
        total += found.bytes
        chosen = {**found.files, **found.extra}
        lines = [f"{path} ({_size(size)})" for path, size in chosen.items()]
        newest = "this one" if found.newest == found.revision else found.newest[:12]
        newest += ", with other content" if found.changed else "" if newest == "this one" else ", the same content"
        table.add_row(
            name,
            found.revision[:12],
            "\n".join([*lines, f"and not {found.others} other files"]),
            _size(found.bytes),
            newest,
        )
    plain_console().print(table)
    plain_console().print(f"{len(names) - len(failed)} of {len(names)} data sets can be read: {_size(total)} to fetch")
    return failed


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _list_sources() -> None:
    from hicra_verl.data.sources import SOURCES

    table = Table(title="hicra data", title_justify="left")
    for column in ("name", "for", "hub", "rows (published)", "commit"):
        table.add_column(column, justify="right" if column.startswith("rows") else "left")
    for name, source in SOURCES.items():
        count = "" if source.rows is None else f"{source.rows:,}"
        purpose = "training" if source.training else "evaluation"
        table.add_row(name, purpose, source.hub, count, (source.revision or "the newest")[:12])
    plain_console().print(table)
