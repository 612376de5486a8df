"""The application all commands belong to, and what they share."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from typer import Option

from hicra_verl.cli.door import Door
from hicra_verl.terminal import plain_console
from hicra_verl.version import __version__

app = typer.Typer(
    cls=Door,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="HICRA (Hierarchy-Aware Credit Assignment) for verl. Training itself is verl's own command: "
    "[bold]python -m verl.trainer.main_ppo algorithm.adv_estimator=hicra …[/bold]",
)

GramsOption = Annotated[str, Option("--grams", help="Name of a shipped gram set, or path of a gram-set file.")]


def bar(*more: ProgressColumn) -> Progress:
    """A progress bar on the terminal, with further columns."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *more, TimeRemainingColumn())
    return Progress(*columns, console=plain_console(stderr=True))


@contextmanager
def asking(what: str, total: int, price: tuple[float, float]) -> Iterator[Callable[..., None]]:
    """A progress bar with tokens and cost, for questions to a model.

    Args:
        what: what is done.
        total: how many steps it takes.
        price: per million tokens asked and answered.

    Yields:
        A function of an answer with ``prompt_tokens`` and ``completion_tokens``, or None for one that cost nothing, and
        of the steps done by now (left out: one more).
    """
    tokens = [0, 0]
    with bar(TextColumn("{task.fields[cost]}")) as progress:
        task = progress.add_task(what, total=total, cost="")

        def note(answer: Any, done: int | None = None) -> None:
            if answer is not None:
                tokens[0] += answer.prompt_tokens
                tokens[1] += answer.completion_tokens
            cost = (tokens[0] * price[0] + tokens[1] * price[1]) / 1e6
            shown = f"{sum(tokens):,} tokens" + (f", cost {cost:.2f}" if cost else "")
            progress.update(task, advance=1 if done is None else None, completed=done, cost=shown)

        yield note


def _show_version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, Option("--version", callback=_show_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the ``hicra`` command; a terminal that lacks a letter gets its escape sequence."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()
