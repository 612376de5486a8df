"""`hicra data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hicra_verl.cli.app import app, fail
from hicra_verl.config import nearest
from hicra_verl.terminal import plain_console


@app.command()
def data(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", help="Data sets; none lists them.")] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder; files go to OUTPUT/TEMPLATE/NAME.parquet.")
    ] = Path("data"),
    template: Annotated[str, typer.Option("--template", help="Prompt template: qwen, llama or vision.")] = "qwen",
    origin: Annotated[
        Path | None, typer.Option("--from", help="A local copy (folder or file) instead of the hub.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="The hub's revision (commit or tag).")] = None,
    any_count: Annotated[
        bool, typer.Option("--any-count", help="Accept another number of problems than published.")
    ] = False,
) -> None:
    """Write training and benchmark data in verl's format.

    Repetitions are removed from training data, and whatever is in a benchmark already written to the same folder (to
    the letter, or with 70% of its word triples in common): prepare the benchmarks first. Beside each file, NAME.json
    says where it is from and what was left out.
    """
    from hicra_verl.data import prepare as steps
    from hicra_verl.data.sources import SOURCES, DataError
    from hicra_verl.data.templates import TEMPLATES

    if not names:
        _list_sources()
        return
    for name in names:
        if name not in SOURCES:
            raise fail(f"{name}: no such data set; {nearest(name, list(SOURCES))}")
    if template not in TEMPLATES:
        raise fail(f"--template {template}: {nearest(template, list(TEMPLATES))}")
    folder = output / template
    console = plain_console()
    for name in sorted(names, key=lambda name: SOURCES[name].training):  # benchmarks first
        source = SOURCES[name]
        try:
            if origin is None:
                console.print(f"{name}: fetching {source.hub} from the hub")
            files = origin or steps.fetch(source, revision)
            against = [other for other, known in SOURCES.items() if not known.training]
            benchmarks = steps.benchmark_texts(folder, against) if source.training else {}
            account = steps.prepare(name, source, files, folder, template, benchmarks, any_count)
        except DataError as error:
            raise fail(str(error)) from error
        except OSError as error:  # the hub cannot be reached
            raise fail(f"{name}: {error}; --from takes a local copy of {source.hub}") from error
        console.print(f"{folder / name}.parquet: {account.problems:,} problems of {account.rows:,} rows")
        left_out = {
            "repetitions": account.repeated,
            "of these with another answer": account.contradicting,
            f"also in a benchmark ({', '.join(benchmarks) or 'none written yet'})": len(account.in_a_benchmark),
            "without problem or answer": len(account.unusable),
        }
        for reason, count in left_out.items():
            if count or (source.training and reason.startswith("also")):
                console.print(f"  {count:,} {reason}")


def _list_sources() -> None:
    from hicra_verl.data.sources import SOURCES

    table = Table(title="hicra data", title_justify="left")
    for column in ("name", "for", "hub", "problems (published)"):
        table.add_column(column, justify="right" if column.startswith("problems") else "left")
    for name, source in SOURCES.items():
        count = "" if source.published is None else f"{source.published:,}"
        table.add_row(name, "training" if source.training else "evaluation", source.hub, count)
    plain_console().print(table)
