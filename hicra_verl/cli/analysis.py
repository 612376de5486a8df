"""`hicra dynamics`, `hicra report`, `hicra errors` and `hicra forks`: what is done with finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hicra_verl.cli.app import GramsOption, app, asking, fail
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
    from hicra_verl.analysis.dynamics import draw_runs

    measured, drawings = draw_runs(run_words, output, grams)
    table = Table(title="dynamics", title_justify="left")
    for column in ("run", "steps", "steps with rollouts", "semantic entropy (nats)", "gaps"):
        table.add_column(column)
    for run in measured.runs:
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
    from hicra_verl.analysis.report import write_report

    runs, size = write_report(run_words, output, grams, title)
    print(f"{output}: {runs} runs, {size / 1e6:.1f} MB")


@app.command()
def errors(
    source: Annotated[
        str, typer.Argument(metavar="[LABEL=]RUN", help="A run with rollout dumps, or a JSONL file of responses.")
    ],
    base_url: Annotated[str, typer.Option(help="An OpenAI-compatible server with the judge.")],
    judge: Annotated[list[str], typer.Option("--judge", help="The judge's name there; give two to compare them.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder; answers are kept there and not asked again.")
    ] = Path("errors"),
    repeats: Annotated[int, typer.Option(help="Ask each judge this often, to see whether it agrees with itself.")] = 1,
    steps: Annotated[str | None, typer.Option(help="Only these steps, such as 10,50,100; default: all.")] = None,
    per_step: Annotated[int, typer.Option(help="At most this many failed responses of each step.")] = 200,
    concurrency: Annotated[int, typer.Option(help="Requests in flight.")] = 16,
    timeout_s: Annotated[float, typer.Option(help="Of one request.")] = 300,
    price: Annotated[
        tuple[float, float], typer.Option(help="Per million tokens asked and answered, to show the cost.")
    ] = (0.0, 0.0),
) -> None:
    """Ask a judge why failed responses failed: planning and strategy, or something else.

    Rows of a JSONL file hold problem, response, correct (or score), and reference_solution or ground_truth. Responses
    that the judge finds acceptable after all are reported apart, as misses of the grading. One judge's opinion is not
    evidence: with two judges, or --repeats 2, their agreement (Cohen's kappa) is printed.
    """
    import json
    from itertools import combinations

    from hicra_verl.analysis import errors as causes
    from hicra_verl.analysis.figures import draw_errors
    from hicra_verl.analysis.runs import RunError
    from hicra_verl.append_log import AppendLogError
    from hicra_verl.endpoint import Endpoint, EndpointError
    from hicra_verl.tagging import InputError

    try:
        wanted = None if steps is None else [int(step) for step in steps.split(",")]
    except ValueError as error:
        raise fail(f"--steps {steps}: expected numbers with commas between them") from error
    try:
        failures = causes.load_failures(source, wanted, per_step)
    except (RunError, InputError) as error:
        raise fail(str(error)) from error
    raters = [(name, run) for name in judge for run in range(repeats)]
    letters: dict[str, list[str]] = {}
    try:
        with asking("judging", len(failures) * len(raters), price) as note:
            for name, run in raters:
                endpoint = Endpoint(base_url, name, concurrency, timeout_s)
                verdicts = causes.judge(failures, endpoint, run, output / "answers.jsonl", note)
                letters[f"{name} #{run + 1}"] = [verdict.letter for verdict in verdicts]
    except (AppendLogError, EndpointError) as error:
        raise fail(str(error)) from error
    console = plain_console()
    for rater, found in letters.items():
        rows = causes.counts_by_step(failures, found)
        table = Table(title=f"causes, by {rater}", title_justify="left")
        for column in rows[0]:
            table.add_column(column.replace("_", " "), justify="right")
        for row in rows:
            table.add_row(*(f"{value:.1%}" if isinstance(value, float) else str(value) for value in row.values()))
        console.print(table)
    agreement = {
        f"{one} and {two}": causes.cohen_kappa(letters[one], letters[two]) for one, two in combinations(letters, 2)
    }
    for pair, kappa in agreement.items():
        console.print(f"agreement of {pair}: kappa {kappa:.2f}")
    if not agreement:
        console.print("One opinion: give a second --judge, or --repeats 2, to see whether it can be relied on.")
    by_rater = {rater: causes.counts_by_step(failures, found) for rater, found in letters.items()}
    first = next(iter(by_rater.values()))
    drawing = draw_errors(
        [
            {"step": row["step"], "category": category, "count": row[category]}
            for row in first
            for category in ("Planning & Strategy", "Others")
        ]
    )
    drawing.save(output)
    result = {"prompt_version": causes.PROMPT_VERSION, "judges": by_rater, "kappa": agreement}
    (output / "errors.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console.print(f"{output}: answers.jsonl, errors.json, errors.png (and .pdf, .svg, .csv)")


@app.command()
def forks(
    source: Annotated[
        Path, typer.Argument(metavar="ROLLOUTS.jsonl", help="A rollout dump of verl, or rows with `response`.")
    ],
    model: Annotated[str, typer.Option("--model", help="Folder or hub name of the model that reads them.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for forks.csv and forks.html.")] = Path(
        "forks"
    ),
    limit: Annotated[int, typer.Option(min=1, help="At most this many responses.")] = 200,
    temperature: Annotated[float, typer.Option(help="The one the responses were sampled at.")] = 1.0,
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, …")] = "cpu",
    grams: GramsOption = "paper",
) -> None:
    """Where is the model uncertain, and where does it plan? Both portions, at several thresholds and by function.

    The model reads the responses again; the page colours each token by its entropy and underlines planning tokens.
    """
    from rich.progress import track

    from hicra_verl.analysis.forks import THRESHOLDS, measure_forks

    rows = measure_forks(
        source,
        model,
        output,
        grams,
        limit=limit,
        temperature=temperature,
        device=device,
        progress=lambda traces, total: track(traces, "reading", total, console=plain_console(stderr=True)),
    )
    table = Table(title="planning and high-entropy tokens (95% intervals over responses)", title_justify="left")
    for column in ("high-entropy: the top", "planning that is high-entropy", "high-entropy that is planning"):
        table.add_column(column)
    shown = {(row["threshold"], row["portion"]): "{value:.1%} [{low:.1%}, {high:.1%}]".format(**row) for row in rows}
    for fraction in THRESHOLDS:
        names = ("planning_high_entropy_fraction", "high_entropy_planning_fraction")
        table.add_row(f"{fraction:.0%}", *(shown[fraction, name] for name in names))
    console = plain_console()
    console.print(table)
    console.print("Paper, at the top 30%: 40-80% and under 10%.")
    console.print(f"{output}: forks.csv (by function, too), forks.html")
