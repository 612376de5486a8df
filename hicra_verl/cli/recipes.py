"""`hicra recipes …` and `hicra stages`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from hicra_verl.cli.app import app
from hicra_verl.tables import Table

recipes_app = typer.Typer(
    invoke_without_command=True, help="One script for every row of the paper's tables. Without a command: list them."
)
app.add_typer(recipes_app, name="recipes")

RowArgument = Annotated[str, Argument(metavar="ROW", help="The row's name.")]
Overrides = Annotated[list[str] | None, Argument(metavar="[OVERRIDE…]", help="Passed to the script.")]
PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


@recipes_app.callback()
def list_recipes(context: typer.Context) -> None:
    """List the rows, unless a command follows."""
    if context.invoked_subcommand is not None:
        return
    from hicra_verl.recipes import all_recipes, in_words

    rows = [
        (entry.row, in_words(entry), "trains" if entry.trains else "evaluates", entry.status) for entry in all_recipes()
    ]
    note = (
        "`hicra recipes costs`: hours, GPU-hours and disk. `hicra recipes check ROW`: what is missing for it here. "
        "What the paper leaves open: recipes/README.md."
    )
    columns = ("row", "paper", "does", "run by us at full scale")
    Table("recipes", columns, rows, (note,), words=4, unbroken=1).print()


@recipes_app.command(context_settings=PASSED_ON)
def show(row: RowArgument, overrides: Overrides = None) -> None:
    """Print the whole command that a row's script runs."""
    from hicra_verl.recipes import command, recipe

    print(command(recipe(row), overrides or []))


@recipes_app.command(context_settings=PASSED_ON)
def run(row: RowArgument, overrides: Overrides = None) -> None:
    """Run a row's script, in place of this process."""
    from hicra_verl.recipes import recipe

    os.execvp("bash", ["bash", str(recipe(row).script), *(overrides or [])])


@recipes_app.command()
def method(
    name: Annotated[
        str | None, Argument(metavar="NAME", help="A selector's or a shaper's name; left out: all of them.")
    ] = None,
) -> None:
    """Print the setting that METHOD=NAME stands for, in recipes/train.sh and wherever no file is the method's."""
    from hicra_verl.recipes import method_names, method_setting

    print("\n".join(map(method_setting, [name] if name is not None else method_names())))


@recipes_app.command(context_settings=PASSED_ON)
def check(
    row: RowArgument,
    overrides: Overrides = None,
    as_json: Annotated[bool, Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check data, paths, versions, nodes, disk and logger before a row is run; exit 1 if it would not work.

    The same environment variables and overrides as for the script. On a Ray cluster (RAY_ADDRESS) every node is asked.
    """
    from hicra_verl import preflight
    from hicra_verl.cli.doctor import print_checks
    from hicra_verl.doctor import as_json as rendered
    from hicra_verl.recipes import recipe

    checks = preflight.check(recipe(row), overrides or [])
    if as_json:
        print(rendered(checks))
    else:
        print_checks(f"hicra recipes check {row}", checks)
        failed = sum(not found.ok for found in checks)
        print(f"{row}: {failed} of {len(checks)} checks failed." if failed else f"{row}: ready.")
    raise typer.Exit(0 if all(found.ok for found in checks) else 1)


@recipes_app.command()
def costs(markdown: Annotated[bool, Option("--markdown", help="As the table of recipes/README.md.")] = False) -> None:
    """Hours, GPU-hours and disk of every row: an estimate for A100-80G, never measured."""
    from hicra_verl import recipe_costs
    from hicra_verl.recipes import all_recipes

    rows = all_recipes()
    if markdown:
        print(recipe_costs.markdown(rows))
        return
    shown: list[tuple[str, ...]] = []
    for entry in rows:
        cost = recipe_costs.cost_of(entry)
        if cost is None:
            shown.append((entry.row, "", "", "", "", "unknown: the model's shape is not known"))
            continue
        numbers = map(recipe_costs.rounded, (cost.total_hours, cost.gpu_hours, cost.disk_gb))
        parts = ", ".join(f"{name} {recipe_costs.rounded(value)}" for name, value in cost.hours.items())
        shown.append((entry.row, str(cost.gpus), *numbers, parts))
    title = "costs (an estimate for A100-80G, never measured)"
    columns = ("row", "GPUs", "hours", "GPU-hours", "disk, GB", "of the hours")
    Table(title, columns, shown, last_in_words=True, unbroken=1).print()


@app.command(context_settings=PASSED_ON)
def stages(
    plan: Annotated[Path, Argument(metavar="PLAN", help="The plan, such as recipes/shared/stages/paper.yaml.")],
    command: Annotated[list[str], Argument(metavar="-- COMMAND…", help="A whole verl training command.")],
    stop: Annotated[bool, Option("--stop", help="Obey the plan's stop rule; it is off otherwise.")] = False,
) -> None:
    """Run a verl training in stages (longer context once responses are cut off), going on after any crash.

    The plan says what each stage sets, which metric ends it, what may stop the run (with --stop), and which validation
    metric tells the best checkpoint, which is kept in best/ of the output folder. Each stage is an ordinary verl run
    that resumes from the last one's checkpoint. Run the same command again after a crash.
    """
    from hicra_verl.training.supervisor import Supervisor

    raise typer.Exit(Supervisor(plan, command, stop).run())
