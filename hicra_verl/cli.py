"""The command line: everything outside training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hicra_verl.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="HICRA (Hierarchy-Aware Credit Assignment) for verl. Training itself is verl's own command: "
    "[bold]python -m verl.trainer.main_ppo algorithm.adv_estimator=hicra …[/bold]",
)

GramsOption = Annotated[str, typer.Option("--grams", help="Name of a shipped gram set, or path of a gram-set file.")]


def _fail(message: str) -> typer.Exit:
    Console(stderr=True).print(f"[red]error:[/red] {message}", highlight=False, soft_wrap=True)
    return typer.Exit(2)


def _show_version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    grams: GramsOption = "paper",
    ray: Annotated[bool, typer.Option(help="Also ask a fresh Ray worker (some seconds).")] = True,
) -> None:
    """Say what is installed, registered and in force; exit 1 if a HICRA run would not work."""
    from hicra_verl import doctor as checks_of

    checks = checks_of.run_checks(grams, ray)
    ok = all(check.ok for check in checks)
    if as_json:
        print(checks_of.as_json(checks))
    else:
        table = Table(title="hicra doctor", title_justify="left")
        for column in ("", "what", "found", "what to do"):
            table.add_column(column, overflow="fold")
        for check in checks:
            mark = "[green]ok[/green]" if check.ok else "[red]no[/red]"
            table.add_row(mark, f"{check.group}: {check.name}", check.found, check.remedy)
        Console().print(table)
        print("A HICRA run will work." if ok else "A HICRA run would not work: see the lines marked 'no'.")
    raise typer.Exit(0 if ok else 1)


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

    console = Console(stderr=True)
    try:
        gram_set = load_grams(grams)
        loaded, table_of_bytes = _load_tokenizer(tokenizer)
        matcher = GramMatcher(gram_set, table_of_bytes)
        totals = tagging.Totals()
        traces: list[trace_html.Trace] = []
        rows = list(tagging.read_rows(input_file))
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
        raise _fail(str(error)) from error
    if html:
        note = f"{input_file.name} · gram set {gram_set.name} ({gram_set.sha256[:12]}) · hicra {__version__}"
        html.write_text(trace_html.render(traces, "Planning tokens", note), encoding="utf-8")
    _print_totals(totals, gram_set)


def _load_tokenizer(name: str) -> tuple[Any, list[bytes | None]]:
    from transformers import AutoTokenizer

    from hicra_verl.grams.token_bytes import token_bytes

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise _fail(f"--tokenizer {name}: cannot be loaded ({first}); give a folder with tokenizer.json") from error
    return tokenizer, token_bytes(tokenizer)


def _print_totals(totals: Any, gram_set: Any) -> None:
    console = Console()
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


def main() -> None:
    """Entry point of the ``hicra`` command."""
    app()


if __name__ == "__main__":
    main()
