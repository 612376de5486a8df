"""`hicra tag`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track
from rich.table import Table

from hicra_verl.cli.app import GramsOption, app, fail, load_tokenizer
from hicra_verl.terminal import plain_console
from hicra_verl.version import __version__


@app.command()
def tag(
    input_file: Annotated[Path, typer.Argument(metavar="IN.jsonl", help="Rows with `response` or `token_ids`.")],
    tokenizer: Annotated[str, typer.Option("--tokenizer", help="Folder or hub name of a Hugging Face tokenizer.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="OUT.jsonl", help="Tagged rows.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page to read the traces on.")] = None,
    grams: GramsOption = "paper",
    field: Annotated[str, typer.Option("--field", help="The field with the text (verl's dumps: output).")] = "response",
    html_rows: Annotated[int, typer.Option("--html-rows", help="At most this many traces on the page.")] = 50,
) -> None:
    """Mark the planning tokens of saved responses.

    Output rows keep all fields and add `token_ids`, `planning_mask` (0 or 1 a token) and `grams`: leftmost-longest
    matches as [gram, first_token, end_token].
    """
    from hicra_verl import tagging, trace_html
    from hicra_verl.grams import GramSetError, load_grams
    from hicra_verl.grams.matcher import GramMatcher
    from hicra_verl.grams.token_bytes import UnsupportedTokenizerError

    console = plain_console(stderr=True)
    try:
        gram_set = load_grams(grams)
        rows = list(tagging.read_rows(input_file))  # before the tokenizer, whose library takes seconds to import
        loaded, table_of_bytes = load_tokenizer(tokenizer)
        matcher = GramMatcher(gram_set, table_of_bytes)
        totals = tagging.Totals()
        traces: list[trace_html.Trace] = []
        unfinished = output.with_name(output.name + ".part") if output else None
        target = unfinished.open("w", encoding="utf-8") if unfinished else None
        for number, row in track(rows, "tagging", console=console, transient=True):
            ids = tagging.row_token_ids(row, f"{input_file}, line {number}", loaded, field)
            matches, added = tagging.tag(ids, matcher)
            tagging.add_to_totals(totals, matches)
            if target:
                target.write(json.dumps({**row, **added}, ensure_ascii=False) + "\n")
            if html and len(traces) < html_rows:
                heading = str(row.get("uid", f"line {number}"))
                pieces = trace_html.token_texts(ids, table_of_bytes, loaded)
                traces.append(
                    trace_html.Trace(heading, pieces, tagging.token_functions(matches, gram_set), added["grams"])
                )
        if target and unfinished and output:
            target.close()
            unfinished.replace(output)
    except (GramSetError, tagging.InputError, UnsupportedTokenizerError) as error:
        raise fail(str(error)) from error
    if html:
        note = f"{input_file.name} · gram set {gram_set.name} ({gram_set.sha256[:12]}) · hicra {__version__}"
        html.write_text(trace_html.render(traces, "Planning tokens", note), encoding="utf-8")
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
