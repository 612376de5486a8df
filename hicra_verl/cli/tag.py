"""`hicra tag`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track
from rich.table import Table

from hicra_verl.cli.app import GramsOption, app
from hicra_verl.terminal import plain_console


@app.command()
def tag(
    input_file: Annotated[
        Path, typer.Argument(metavar="IN.jsonl", help="Rows with `response` or `token_ids`; Parquet, too.")
    ],
    tokenizer: Annotated[str, typer.Option("--tokenizer", help="Folder or hub name of a Hugging Face tokenizer.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="OUT.jsonl", help="Tagged rows.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page to read the traces on.")] = None,
    grams: GramsOption = "paper",
    field: Annotated[str, typer.Option("--field", help="The field with the text (verl's dumps: output).")] = "response",
    html_rows: Annotated[int, typer.Option("--html-rows", min=1, help="At most this many traces on the page.")] = 50,
) -> None:
    """Mark the planning tokens of saved responses.

    Output rows keep all fields and add `token_ids`, `planning_mask` (0 or 1 a token) and `grams`: the leftmost-longest
    matches, each as the gram, its first token and the token after its last.
    """
    from hicra_verl.tagging import tag_file

    console = plain_console(stderr=True)
    totals, gram_set = tag_file(
        input_file,
        tokenizer,
        grams,
        output,
        html,
        field,
        html_rows,
        lambda rows: track(rows, "tagging", console=console, transient=True),
    )
    _print_totals(totals, gram_set)


def _print_totals(totals: Any, gram_set: Any) -> None:
    console = plain_console()
    share = totals.planning_tokens / max(1, totals.tokens)
    without = totals.responses_without_planning / max(1, totals.responses)
    summary = Table(title="tokens", title_justify="left", show_header=False)
    summary.add_column()
    summary.add_column(justify="right")
    for name, value in (
        ("responses", f"{totals.responses:,}"),
        ("tokens", f"{totals.tokens:,}"),
        ("planning tokens", f"{totals.planning_tokens:,}"),
        ("planning fraction", f"{share:.2%}"),
        ("responses without planning", f"{without:.2%}"),
    ):
        summary.add_row(name, value)
    console.print(summary)
    top = Table(title="top grams (leftmost-longest)", title_justify="left")
    for column in ("gram", "function", "count", "share"):
        top.add_column(column, justify="right" if column in ("count", "share") else "left")
    counted = sum(totals.by_gram.values())
    for index, count in totals.by_gram.most_common(15):
        gram = gram_set.grams[index]
        top.add_row(gram.text, gram.function, f"{count:,}", f"{count / counted:.1%}")
    console.print(top)
