"""`hicra dynamics`, `hicra report` and `hicra forks`: what is done with finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hicra_verl.cli.app import GramsOption, app, fail, load_tokenizer
from hicra_verl.terminal import plain_console

RunsArgument = Annotated[
    list[str],
    typer.Argument(metavar="[LABEL=]RUN…", help="Folders, metrics files or exports; one label: seeds of one method."),
]


@app.command()
def dynamics(
    run_words: RunsArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for figures and CSV files.")] = Path(
        "dynamics"
    ),
    grams: Annotated[
        str | None, typer.Option("--grams", help="Count this set instead: every text measure is recomputed with it.")
    ] = None,
) -> None:
    """Draw the paper's figures from finished runs, and recompute what their texts alone allow.

    A run is a folder with verl's metrics and rollout dumps, a file of its file logger, or an export of wandb or
    TensorBoard. Figures come as PNG, PDF and SVG, with their numbers beside them.
    """
    from hicra_verl.analysis import dynamics as steps
    from hicra_verl.analysis.runs import RunError, load_runs
    from hicra_verl.grams import GramSetError, load_grams

    try:
        gram_set = load_grams(grams or "paper")
        runs = load_runs(run_words)
        texts = [steps.recompute(run, gram_set, replace=grams is not None) for run in runs]
    except (RunError, GramSetError) as error:
        raise fail(str(error)) from error
    drawings = steps.draw_all(runs, texts, gram_set)
    for drawing in drawings:
        drawing.save(output)
    steps.save_metrics(runs, output / "metrics.csv")
    table = Table(title="dynamics", title_justify="left")
    for column in ("run", "steps", "steps with rollouts", "semantic entropy (nats)", "gaps"):
        table.add_column(column)
    for run in runs:
        _, values = run.series("hicra/semantic_entropy_nats")
        change = f"{values[0]:.3f} to {values[-1]:.3f}" if values else ""
        table.add_row(run.name, str(len(run.metrics)), str(len(run.dumps)), change, "; ".join(run.gaps))
    console = plain_console()
    console.print(table)
    for drawing in drawings:
        for panel, reason in drawing.blank:
            console.print(f"{drawing.name}: the panel {panel!r} is blank ({reason})")
    console.print(f"{output}: {len(drawings)} figures ({', '.join(d.name for d in drawings)}), metrics.csv")


@app.command()
def report(
    run_words: RunsArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path("report.html"),
    grams: Annotated[str | None, typer.Option("--grams", help="Count and colour with this set instead.")] = None,
    title: Annotated[str, typer.Option(help="The page's title.")] = "Training report",
) -> None:
    """Write one page about finished runs: curves with values, traces through training, grams, configuration, gaps.

    The page is one file and opens offline.
    """
    from hicra_verl.analysis import dynamics as steps
    from hicra_verl.analysis import report as pages
    from hicra_verl.analysis.runs import RunError, load_runs
    from hicra_verl.grams import GramSetError, load_grams

    try:
        gram_set = load_grams(grams or "paper")
        runs = load_runs(run_words)
        texts = [steps.recompute(run, gram_set, replace=grams is not None) for run in runs]
        configuration = "\n\n".join(
            f"{run.name}:\n{words}" for run in runs if (words := pages.recorded_configuration(run.path))
        )
        page = pages.render(runs, texts, gram_set, title, configuration)
    except (RunError, GramSetError) as error:
        raise fail(str(error)) from error
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
    print(f"{output}: {len(runs)} runs, {len(page) / 1e6:.1f} MB")


@app.command()
def forks(
    source: Annotated[
        Path, typer.Argument(metavar="ROLLOUTS.jsonl", help="A rollout dump of verl, or rows with `response`.")
    ],
    model: Annotated[str, typer.Option("--model", help="Folder or hub name of the model that reads them.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for forks.csv and forks.html.")] = Path(
        "forks"
    ),
    limit: Annotated[int, typer.Option(help="At most this many responses.")] = 200,
    temperature: Annotated[float, typer.Option(help="The one the responses were sampled at.")] = 1.0,
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, …")] = "cpu",
    grams: GramsOption = "paper",
) -> None:
    """Where is the model uncertain, and where does it plan? Both portions, at several thresholds and by function.

    The model reads the responses again; the page colours each token by its entropy and underlines planning tokens.
    """
    import csv

    from rich.progress import track
    from transformers import AutoModelForCausalLM

    from hicra_verl import tagging
    from hicra_verl.analysis import forks as measures
    from hicra_verl.grams import GramSetError, load_grams
    from hicra_verl.grams.matcher import GramMatcher
    from hicra_verl.trace_html import token_texts

    try:
        gram_set = load_grams(grams)
        pairs = []
        for number, row in tagging.read_rows(source):
            response = row.get("response", row.get("output"))
            if not isinstance(response, str):
                raise fail(f"{source}, line {number}: no text in the field 'response' (or verl's 'output')")
            pairs.append((str(row.get("problem", row.get("input", ""))), response))
    except (GramSetError, tagging.InputError) as error:
        raise fail(str(error)) from error
    tokenizer, table_of_bytes = load_tokenizer(model)
    try:
        loaded = AutoModelForCausalLM.from_pretrained(model).to(device).eval()
    except (OSError, ValueError) as error:
        raise fail(f"--model {model}: cannot be loaded ({str(error).splitlines()[0]})") from error
    matcher = GramMatcher(gram_set, table_of_bytes)
    read = measures.token_entropies(loaded, tokenizer, pairs[:limit], temperature)
    traces = [
        measures.trace(ids, entropy, token_texts(ids, table_of_bytes, tokenizer), gram_set, matcher)
        for ids, entropy in track(read, "reading", total=len(pairs[:limit]), console=plain_console(stderr=True))
    ]
    if not traces:
        raise fail(f"{source}: holds no response with text")
    output.mkdir(parents=True, exist_ok=True)
    table = Table(title="planning and high-entropy tokens (95% intervals over responses)", title_justify="left")
    for column in ("high-entropy: the top", "planning that is high-entropy", "high-entropy that is planning"):
        table.add_column(column)
    rows = []
    for share in measures.THRESHOLDS:
        found, bounds = measures.portions(traces, share), measures.interval(traces, share)
        rows += [
            {"threshold": share, "portion": name, "value": value, "low": bounds[name][0], "high": bounds[name][1]}
            for name, value in found.items()
        ]
        cells = [
            f"{found[name]:.1%} [{bounds[name][0]:.1%}, {bounds[name][1]:.1%}]"
            for name in ("planning_high_entropy_share", "high_entropy_planning_share")
        ]
        table.add_row(f"{share:.0%}", *cells)
    with (output / "forks.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["threshold", "portion", "value", "low", "high"])
        writer.writeheader()
        writer.writerows(rows)
    (output / "forks.html").write_text(measures.render(traces, f"Forks: {source.name}"), encoding="utf-8")
    console = plain_console()
    console.print(table)
    console.print("Paper, at the top 30%: 40-80% and under 10%.")
    console.print(f"{output}: forks.csv (by function, too), forks.html")
