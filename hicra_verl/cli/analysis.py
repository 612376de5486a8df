"""`hicra dynamics`, `hicra report` and `hicra forks`: what is done with finished runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from hicra_verl.cli.app import GramsOption, app
from hicra_verl.tables import Table
from hicra_verl.terminal import plain_console

RunsArgument = Annotated[
    list[str],
    Argument(metavar="[LABEL=]RUN…", help="Folders, metrics files or exports; one label: seeds of one method."),
]


@app.command()
def dynamics(
    run_words: RunsArgument,
    output: Annotated[Path, Option("-o", "--output", help="Folder for figures and CSV files.")] = Path("dynamics"),
    grams: Annotated[
        str | None, Option("--grams", help="Count this set instead: every text measure is recomputed with it.")
    ] = None,
    min_words: Annotated[
        int | None,
        Option("--min-words", min=2, help="Draw each run a second time, with grams of so many words or more alone."),
    ] = None,
    tokenizer: Annotated[
        str | None,
        Option("--tokenizer", help="Count its tokens, where a run kept no token ids; without it, words are counted."),
    ] = None,
) -> None:
    """Draw the paper's figures from finished runs, and recompute what their texts alone allow.

    A run is a folder with verl's metrics and rollout dumps, a file of its file logger, or an export of wandb or
    TensorBoard. Figures come as PNG, PDF and SVG, with their numbers beside them.
    """
    from hicra_verl.analysis.dynamics import draw_runs

    measured, drawings = draw_runs(run_words, output, grams, min_words, tokenizer)
    rows = []
    for run in measured.runs:
        _, values = run.series("hicra/semantic_entropy_nats")
        change = f"{values[0]:.3f} to {values[-1]:.3f}" if values else ""
        rows.append((run.name, str(len(run.metrics)), str(len(run.dumps)), change, "; ".join(run.gaps)))
    columns = ("run", "steps", "steps with rollouts", "semantic entropy (nats)", "gaps")
    Table("dynamics", columns, rows, words=5).print()
    for drawing in drawings:
        for panel, reason in drawing.blank:
            print(f"{drawing.name}: the panel {panel!r} is blank ({reason})")
    print(f"{output}: {len(drawings)} figures ({', '.join(d.name for d in drawings)}), metrics.csv")


@app.command()
def report(
    run_words: RunsArgument,
    output: Annotated[
        Path, Option("-o", "--output", help="The page to write (.html), or a folder, which large runs need.")
    ] = Path("report.html"),
    grams: Annotated[str | None, Option("--grams", help="Count and colour with this set instead.")] = None,
    title: Annotated[str, Option(help="The page's title.")] = "Training report",
    watch: Annotated[bool, Option("--watch", help="Write it again while the runs go on.")] = False,
    every: Annotated[int, Option(min=1, help="Seconds between two looks of --watch.")] = 30,
    serve: Annotated[bool, Option("--serve", help="Serve it to browsers on this machine alone.")] = False,
    port: Annotated[int, Option(min=0, max=65535, help="The port of --serve; 0 takes any free one.")] = 0,
) -> None:
    """Show every rollout of verl runs: curves, groups, search, tokens, grams, errors, configuration, gaps.

    Any run of verl will do, with or without HICRA. One page is a file that opens offline; a folder is opened by its
    index.html and loads what it shows piece by piece. Ctrl-C ends --watch and --serve.
    """
    from hicra_verl.report.serving import present

    with _progress() as progress:
        present(
            run_words,
            output,
            grams,
            title,
            every_s=every if watch else None,
            port=port if serve else None,
            told=lambda words: print(words, flush=True),
            progress=progress,
        )


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing that is done to many files; none where nobody sees it."""
    from rich.progress import Progress

    tasks: dict[str, Any] = {}
    with Progress(console=plain_console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bars:

        def note(what: str, done: int, total: int) -> None:
            if what not in tasks or done == 1:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total, visible=done < total)

        yield note


@app.command()
def forks(
    source: Annotated[
        Path, Argument(metavar="ROLLOUTS.jsonl", help="A rollout dump of verl, or rows with `response`.")
    ],
    model: Annotated[str, Option("--model", help="Folder or hub name of the model that reads them.")],
    output: Annotated[Path, Option("-o", "--output", help="Folder for forks.csv and forks.html.")] = Path("forks"),
    limit: Annotated[int, Option(min=1, help="At most this many responses.")] = 200,
    temperature: Annotated[float, Option(help="The one the responses were sampled at.")] = 1.0,
    device: Annotated[str, Option(help="Where the model runs: cpu, cuda, …")] = "cpu",
    grams: GramsOption = "paper",
) -> None:
    """Where is the model uncertain, and where does it plan? Both portions, at several thresholds and by function.

    The model reads the responses again, from a run's token ids (hicra_tokens/STEP.parquet) where it kept them: a dump's
    text lacks special tokens and the prompt's template, so from it the portions are not those of training. The page
    colours each token by its entropy and underlines planning tokens.
    """
    from rich.progress import track

    from hicra_verl.analysis.forks import TEXT_ONLY, THRESHOLDS, measure_forks

    rows, token_ids = measure_forks(
        source,
        model,
        output,
        grams,
        limit=limit,
        temperature=temperature,
        device=device,
        progress=lambda traces, total: track(traces, "reading", total, console=plain_console(stderr=True)),
    )
    shown = {(row["threshold"], row["portion"]): "{value:.1%} [{low:.1%}, {high:.1%}]".format(**row) for row in rows}
    names = ("planning_high_entropy_fraction", "high_entropy_planning_fraction")
    cells = [(f"{fraction:.0%}", *(shown[fraction, name] for name in names)) for fraction in THRESHOLDS]
    columns = ("high-entropy: the top", "planning that is high-entropy", "high-entropy that is planning")
    note = "Paper, at the top 30%: 40-80% and under 10%."
    Table("planning and high-entropy tokens (95% intervals over responses)", columns, cells, (note,), words=3).print()
    print(f"{output}: forks.csv (by function, too), forks.html")
    if token_ids is not None:
        print(f"read from the run's token ids: {token_ids}")
    else:
        print(f"warning: {TEXT_ONLY}", file=sys.stderr)
