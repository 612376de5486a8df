"""`hicra doctor`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text
from typer import Option

from hicra_verl.cli.app import GramsOption, app
from hicra_verl.doctor import Check
from hicra_verl.terminal import plain_console


def print_checks(title: str, checks: list[Check]) -> None:
    """A table of checks, each with what to do where it failed."""
    table = Table(title=title, title_justify="left")
    for column in ("", "what", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for check in checks:
        mark = Text("ok", "green") if check.ok else Text("no", "red")
        table.add_row(mark, Text(f"{check.group}: {check.name}"), Text(check.found), Text(check.remedy))
    plain_console().print(table)


@app.command()
def doctor(
    as_json: Annotated[bool, Option("--json", help="Print the report as JSON.")] = False,
    grams: GramsOption = "paper",
    ray: Annotated[
        bool,
        Option(
            help="Also ask a fresh Ray worker, which takes some seconds; --no-ray leaves it out.", show_default=False
        ),
    ] = True,
) -> None:
    """Say what is installed, registered and in force; exit 1 if a HICRA run would not work."""
    from hicra_verl import doctor as checks_of

    checks = checks_of.run_checks(grams, ray)
    ok = all(check.ok for check in checks)
    if as_json:
        print(checks_of.as_json(checks))
    else:
        print_checks("hicra doctor", checks)
        print("A HICRA run will work." if ok else "A HICRA run would not work: see the lines marked 'no'.")
    raise typer.Exit(0 if ok else 1)
