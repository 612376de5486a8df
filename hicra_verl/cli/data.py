"""`hicra data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from hicra_verl.cli.app import app
from hicra_verl.cli.door import print_error
from hicra_verl.terminal import plain_console


@app.command()
def data(
    names: Annotated[
        list[str] | None,
        Argument(
            metavar="[check] [NAME…]",
            help="Data sets; none lists them. After the word check, the hub is only asked what it holds of them, or "
            "of all: which files would be read, how large, and what has changed since the pinned commit.",
        ),
    ] = None,
    output: Annotated[Path, Option("-o", "--output", help="Folder; files go to OUTPUT/TEMPLATE/NAME.parquet.")] = Path(
        "data"
    ),
    template: Annotated[str, Option("--template", help="Prompt template: qwen, llama or vision.")] = "qwen",
    origin: Annotated[
        Path | None,
        Option("--from", help="A local copy instead of the hub: a folder; or a file, then no pictures beside it."),
    ] = None,
    revision: Annotated[
        list[str] | None,
        Option(
            metavar="[NAME=]REV",
            help="The hub's commit, tag or branch instead of the pinned one; with several names, which it is for. "
            "`main` is the newest.",
        ),
    ] = None,
    any_count: Annotated[
        bool,
        Option("--any-count", help="Accept another number of rows than published, and benchmarks with unusable rows."),
    ] = False,
) -> None:
    """Write training and benchmark data in verl's format.

    Training data is deduplicated. It is also decontaminated: a problem is left out if a benchmark in the same folder
    holds it, to the letter or with 70% of its token triples in common. So prepare the benchmarks first. Pictures are
    read from the data set's own files only. Beside each file, NAME.json says where it is from, what was left out, and
    why; OUTPUT/revisions.json keeps the commits for the next time.
    """
    from hicra_verl.data import sets

    if not names:
        sets.list_sets().print()
    elif names[0] == sets.CHECK:
        if origin is not None:
            raise typer.BadParameter("`hicra data check` asks the hub; leave one of the two out", param_hint="--from")
        sets.check_sets(names[1:], output, revision or [], lambda found: found.print(), print_error)
    else:
        say = plain_console().print
        sets.write_sets(names, output, template, revision or [], origin, any_count, say, print_error)
