"""`hicra tag`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from rich.progress import track
from typer import Argument, Option

from hicra_verl.cli.app import GramsOption, app
from hicra_verl.tables import Table
from hicra_verl.terminal import plain_console


@app.command()
def tag(
    input_file: Annotated[
        Path, Argument(metavar="IN.jsonl", help="Rows with `response` or `token_ids`; Parquet, too.")
    ],
    tokenizer: Annotated[str, Option("--tokenizer", help="Folder or hub name of a Hugging Face tokenizer.")],
    output: Annotated[Path | None, Option("-o", "--output", metavar="OUT.jsonl", help="Tagged rows.")] = None,
    html: Annotated[Path | None, Option("--html", help="Write a page to read the traces on.")] = None,
    grams: GramsOption = "paper",
    field: Annotated[str, Option("--field", help="The field with the text (verl's dumps: output).")] = "response",
    html_rows: Annotated[int, Option("--html-rows", min=1, help="At most this many traces on the page.")] = 50,
) -> None:
    """Mark the planning tokens of saved responses.

    Output rows keep all fields and add `token_ids`, `planning_mask` (0 or 1 a token) and `grams`: the leftmost-longest
    matches, each as the gram, its first token and the token after its last.
    """
    from hicra_verl.tagging import tag_file

    bar = partial(track, description="tagging", console=plain_console(stderr=True), transient=True)
    totals, gram_set = tag_file(input_file, tokenizer, grams, output, html, field, html_rows, bar)
    _print_totals(totals, gram_set)


def _print_totals(totals: Any, gram_set: Any) -> None:
    share = totals.planning_tokens / max(1, totals.tokens)
    without = totals.responses_without_planning / max(1, totals.responses)
    summary = (
        ("responses", f"{totals.responses:,}"),
        ("tokens", f"{totals.tokens:,}"),
        ("planning tokens", f"{totals.planning_tokens:,}"),
        ("planning fraction", f"{share:.2%}"),
        ("responses without planning", f"{without:.2%}"),
    )
    Table("tokens", ("", ""), summary).print()
    counted = totals.by_gram.total()
    top = [
        (gram_set.grams[index].text, gram_set.grams[index].function, f"{count:,}", f"{count / counted:.1%}")
        for index, count in totals.by_gram.most_common(15)
    ]
    Table("top grams (leftmost-longest)", ("gram", "function", "count", "share"), top, words=2).print()
