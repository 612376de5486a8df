"""`hicra mine`: gram sets out of a corpus."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hicra_verl.cli.app import app, fail
from hicra_verl.terminal import plain_console

CorpusArgument = Annotated[
    list[Path],
    typer.Argument(metavar="CORPUS...", help="JSONL or parquet files, or folders; a solution a row."),
]
FieldOption = Annotated[
    str | None, typer.Option("--field", help="Field with the text. By default response, output, solution or text.")
]
SuccessOption = Annotated[
    str | None,
    typer.Option(
        "--success",
        help="Field that says whether a solution succeeded: true, or above 0. By default correct, score or acc; none "
        "takes every solution.",
    ),
]


@app.command()
def mine(
    corpus: CorpusArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The gram-set file to write.")],
    field: FieldOption = None,
    success: SuccessOption = None,
    n: Annotated[str, typer.Option("--n", help="Words of an n-gram, from-to. The paper's.")] = "3-5",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", help="numbers, variables or latex: what n-grams may hold; otherwise it ends them. Repeat it."
        ),
    ] = None,
    min_df: Annotated[
        float, typer.Option(min=0, help="Solutions that must hold an n-gram: a share if below 1, else a number. Ours.")
    ] = 0.005,
    max_uses: Annotated[
        float, typer.Option(min=1, help="Most uses on average in a solution that holds it: 'sparingly'. Ours.")
    ] = 1.5,
    openings: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Least share of its uses that open a line or clause; 0: the paper's text alone. Ours."
        ),
    ] = 0.3,
    embedder: Annotated[
        str,
        typer.Option(
            help="A sentence-transformers folder or name; lexical: character n-grams, no model. The paper names none."
        ),
    ] = "all-MiniLM-L6-v2",
    clusterer: Annotated[
        str, typer.Option(help="agglomerative, kmeans or hdbscan. The paper names none.")
    ] = "agglomerative",
    cluster_size: Annotated[float, typer.Option(min=1, help="n-grams a cluster has on average. Ours.")] = 3,
    keep: Annotated[
        float, typer.Option(min=0, max=1, help="Share of clusters kept, by document frequency. The paper's.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the clusterer.")] = 0,
    name: Annotated[str | None, typer.Option(help="The set's name. By default the file's.")] = None,
    work: Annotated[
        Path | None, typer.Option(help="Where finished steps are kept; by default OUTPUT.work. Delete it when done.")
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes that count. By default one a core.")] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Count with Ray Data; every node must see --work.")] = False,
) -> None:
    """Mine strategic grams from successful solutions, as the paper's third version describes.

    Writes the gram set, and beside it a page to browse (OUTPUT.html). Run the same command again after any
    interruption; with another clusterer or share it starts from what is counted and embedded already.
    """
    from hicra_verl.grams import GramSetError
    from hicra_verl.grams.gramset import save_grams
    from hicra_verl.mining.clustering import ClusteringError
    from hicra_verl.mining.corpus import CorpusError, open_corpus
    from hicra_verl.mining.mine import Options, as_gram_set
    from hicra_verl.mining.mine import mine as run
    from hicra_verl.mining.ngrams import ALLOWABLE, MAX_N, Words
    from hicra_verl.mining.page import render
    from hicra_verl.version import __version__

    low, _, high = n.partition("-")
    if not (low.isdigit() and (high or low).isdigit() and 1 <= int(low) <= int(high or low) <= MAX_N):
        raise fail(f"--n {n}: expected two numbers of words such as 3-5, of 1 to {MAX_N}")
    for word in allow or []:
        if word not in ALLOWABLE:
            raise fail(f"--allow {word}: expected one of {', '.join(ALLOWABLE)}")
    if clusterer not in ("kmeans", "agglomerative", "hdbscan"):
        raise fail(f"--clusterer {clusterer}: expected kmeans, agglomerative or hdbscan")
    words = Words(int(low), int(high or low), tuple(sorted(set(allow or []))))
    options = Options(words, min_df, max_uses, openings, embedder, clusterer, cluster_size, keep, seed)  # type: ignore[arg-type]
    # An embedder by name is one that is there already; a long job must not hang on a hub that cannot be reached.
    if Path(embedder).exists():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    console = plain_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        opened = open_corpus(corpus, field, success)
        with Progress(*columns, console=console) as progress:
            tasks: dict[str, Any] = {}

            def note(step: str, done: int, of: int) -> None:
                if step not in tasks:
                    tasks[step] = progress.add_task(step, total=of)
                progress.update(tasks[step], completed=done, total=of)

            mined = run(opened, options, work or Path(f"{output}.work"), processes, ray, note)
        grams = as_gram_set(mined, opened, options, name or output.stem, __version__)
        output.parent.mkdir(parents=True, exist_ok=True)
        save_grams(grams, output)
    except (CorpusError, ClusteringError, GramSetError) as error:
        raise fail(str(error)) from error
    page = output.with_suffix(".html")
    page.write_text(render(mined, f"Strategic grams: {grams.name}", dict(grams.provenance)), encoding="utf-8")

    table = Table(title=f"{grams.name}: the clusters that stand in the most solutions", title_justify="left")
    for column in ("cluster", "solutions", "share", "n-grams", "the most frequent"):
        table.add_column(column, justify="left" if column == "the most frequent" else "right")
    for number, found in enumerate(mined.kept[:15], 1):
        shown = ", ".join(text for text, _ in found.members[:4])
        table.add_row(str(number), f"{found.df:,}", f"{found.df / mined.solutions:.1%}", str(len(found.members)), shown)
    plain_console().print(table)
    print(
        f"{mined.solutions:,} solutions ({mined.megabytes:.1f} MB) · {mined.ngrams:,} n-grams · "
        f"{mined.frequent:,} frequent · {mined.candidates:,} candidates · {len(mined.clusters):,} "
        f"clusters, {len(mined.kept):,} kept\n"
        f"{output}: {len(grams):,} grams, sha256 {grams.sha256[:12]}; browse them in {page}\n"
        "Mining finds what is frequent; judge it with `hicra annotate` or `hicra review` before you train with it."
    )
