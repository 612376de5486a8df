"""`hicra recipes …` and `hicra stages`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hicra_verl.cli.app import app, fail
from hicra_verl.terminal import plain_console

recipes_app = typer.Typer(
    invoke_without_command=True, help="One script for every row of the paper's tables. Without a command: list them."
)
app.add_typer(recipes_app, name="recipes")

Overrides = Annotated[list[str] | None, typer.Argument(metavar="[OVERRIDE…]", help="Passed to the script.")]
PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


@recipes_app.callback()
def list_recipes(context: typer.Context) -> None:
    """List the rows, unless a command follows."""
    if context.invoked_subcommand is not None:
        return
    from hicra_verl.evaluation.benchmarks import TITLES
    from hicra_verl.recipes import RecipeError, all_recipes

    table = Table(title="recipes", title_justify="left")
    table.add_column("row", no_wrap=True)
    table.add_column("paper")
    table.add_column("does", no_wrap=True)
    try:
        for entry in all_recipes():
            numbers = " · ".join(f"{TITLES[name]} {value:.1f}" for name, value in entry.numbers)
            if entry.source == "review":
                numbers += " (authors, in review)"
            does = "trains" if entry.trains else "evaluates"
            table.add_row(entry.row, numbers or "in its figures only", does)
    except RecipeError as error:
        raise fail(str(error)) from error
    console = plain_console()
    console.print(table)
    console.print(
        "None has been run at full scale by us yet. Hardware: the paper used two to four nodes of 8 x A100-80G; hours "
        "and what the paper leaves open: recipes/README.md.",
    )


@recipes_app.command(context_settings=PASSED_ON)
def show(row: Annotated[str, typer.Argument(help="The row's name.")], overrides: Overrides = None) -> None:
    """Print the whole command that a row's script runs."""
    from hicra_verl.recipes import RecipeError, command, recipe

    try:
        print(command(recipe(row), overrides or []))
    except RecipeError as error:
        raise fail(str(error)) from error


@recipes_app.command(context_settings=PASSED_ON)
def run(row: Annotated[str, typer.Argument(help="The row's name.")], overrides: Overrides = None) -> None:
    """Run a row's script, in place of this process."""
    from hicra_verl.recipes import RecipeError, recipe

    try:
        script = str(recipe(row).script)
    except RecipeError as error:
        raise fail(str(error)) from error
    os.execvp("bash", ["bash", script, *(overrides or [])])


@app.command(context_settings=PASSED_ON)
def stages(
    plan: Annotated[Path, typer.Argument(help="The plan, such as recipes/shared/stages/paper.yaml.")],
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="A whole verl training command.")],
    stop: Annotated[bool, typer.Option("--stop", help="Obey the plan's stop rule; it is off otherwise.")] = False,
) -> None:
    """Run a verl training in stages (longer context once responses are cut off), going on after any crash.

    The plan says what each stage sets, which metric ends it, what may stop the run (with --stop), and which validation
    metric tells the best checkpoint, which is kept in best/ of the output folder. Each stage is an ordinary verl run
    that resumes from the last one's checkpoint. Run the same command again after a crash.
    """
    from hicra_verl.training.rules import StagesError
    from hicra_verl.training.supervisor import Supervisor

    try:
        code = Supervisor(plan, command, stop).run()
    except StagesError as error:
        raise fail(str(error)) from error
    raise typer.Exit(code)
