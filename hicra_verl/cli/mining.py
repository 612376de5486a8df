"""`hicra mine`: gram sets out of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from hicra_verl.cli.app import app, bar
from hicra_verl.tables import Table

if TYPE_CHECKING:
    from hicra_verl.mining.mine import Mined

CorpusArgument = Annotated[
    list[Path], Argument(metavar="CORPUS...", help="JSONL or parquet files, or folders; a solution a row.")
]
OutputOption = Annotated[Path, Option("-o", "--output", help="The gram-set file to write.")]
FieldOption = Annotated[
    str | None, Option("--field", help="Field with the text. By default response, output, solution or text.")
]
SuccessOption = Annotated[
    str | None,
    Option(
        "--success",
        help="Field that says whether a solution succeeded: true, or above 0. By default correct, score or acc; none "
        "takes every solution.",
    ),
]
NOption = Annotated[str, Option("--n", help="Words of an n-gram, from-to. The paper's.")]
AllowOption = Annotated[
    list[str] | None,
    Option("--allow", help="numbers, variables or latex: what n-grams may hold; otherwise it ends them. Repeat it."),
]
ProfileOption = Annotated[
    str,
    Option(
        help="ours: with three filters that the paper does not have; paper: without. Any option given besides counts."
    ),
]
MinDfOption = Annotated[
    float | None,
    Option(
        min=0, help="Solutions that must hold an n-gram: a fraction if below 1, else a number. Ours 0.005, paper 1."
    ),
]
MaxUsesOption = Annotated[
    float | None,
    Option(min=0, help="Most uses on average in a solution that holds it; 0 for no limit. Ours 1.5, paper 0."),
]
OpeningsOption = Annotated[
    float | None,
    Option(min=0, max=1, help="Least fraction of its uses that open a line or clause. Ours 0.3, paper 0."),
]
EmbedderOption = Annotated[
    str,
    Option(help="A sentence-transformers folder or name; lexical: character n-grams, no model. The paper names none."),
]
ClustererOption = Annotated[
    str | None,
    Option(help="agglomerative, kmeans or hdbscan. The paper names none. Profile ours: agglomerative, paper: kmeans."),
]
ClusterSizeOption = Annotated[
    float | None,
    Option(min=1, help="n-grams a cluster has on average. The paper gives none. Profile ours: 3, paper: 30."),
]
KeepOption = Annotated[
    float, Option(min=0, max=1, help="Fraction of clusters kept, by document frequency. The paper's.")
]
SeedOption = Annotated[int, Option(help="Of the clusterer.")]
NameOption = Annotated[str | None, Option(help="The set's name. By default the file's.")]
WorkOption = Annotated[
    Path | None, Option(help="Where finished steps are kept; by default OUTPUT.work. Delete it when done.")
]
ProcessesOption = Annotated[int | None, Option(min=1, max=1024, help="Processes that count. By default one a core.")]
RayOption = Annotated[bool, Option("--ray", help="Count with Ray Data; every node must see --work.")]


@app.command()
def mine(
    corpus: CorpusArgument,
    output: OutputOption,
    field: FieldOption = None,
    success: SuccessOption = None,
    profile: ProfileOption = "ours",
    n: NOption = "3-5",
    allow: AllowOption = None,
    min_df: MinDfOption = None,
    max_uses: MaxUsesOption = None,
    openings: OpeningsOption = None,
    embedder: EmbedderOption = "all-MiniLM-L6-v2",
    clusterer: ClustererOption = None,
    cluster_size: ClusterSizeOption = None,
    keep: KeepOption = 0.2,
    seed: SeedOption = 0,
    name: NameOption = None,
    work: WorkOption = None,
    processes: ProcessesOption = None,
    ray: RayOption = False,
) -> None:
    """Mine strategic grams from successful solutions: the construction of the paper's third version, and filters.

    The default, the profile `ours`, has three filters that the paper does not describe. `--profile paper` has none of
    them: it embeds and clusters all n-grams, and the set is many times as large (examples/mining shows both).

    Writes the gram set, and beside it a page to browse (OUTPUT.html). Run the same command again after any
    interruption; with another clusterer or fraction it starts from what is counted and embedded already.
    """
    from hicra_verl.files import check_outputs
    from hicra_verl.mining import mine as mining
    from hicra_verl.mining import page as pages
    from hicra_verl.mining.corpus import open_corpus, solution_files

    filters = {"min_df": min_df, "max_uses": max_uses, "openings": openings}
    clusters = {"embedder": embedder, "clusterer": clusterer, "cluster_size": cluster_size, "keep": keep, "seed": seed}
    options = mining.of_profile(profile, words=mining.parse_words(n, allow or []), **filters, **clusters)
    page = pages.page_beside(output)
    check_outputs(output, page, inputs=solution_files(corpus))
    opened = open_corpus(corpus, field, success)
    with bar() as progress:
        tasks: dict[str, Any] = {}

        def note(step: str, done: int, of: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=of)
            progress.update(tasks[step], completed=done, total=of)

        mined = mining.mine(opened, options, work or Path(f"{output}.work"), processes, ray, note)
    grams = pages.save(mined, opened, options, name or output.stem, output)
    _show(mined, grams.name)
    print(
        f"profile {profile}; filters that the paper does not have: {options.filters or 'none'}\n"
        f"{mined.solutions:,} solutions ({mined.megabytes:.1f} MB) · {mined.ngrams:,} n-grams · "
        f"{mined.frequent:,} frequent · {mined.candidates:,} candidates · {len(mined.clusters):,} "
        f"clusters, {len(mined.kept):,} kept\n"
        f"{output}: {len(grams):,} grams, sha256 {grams.sha256[:12]}; browse them in {page}\n"
        "Mining finds what is frequent; judge it with `hicra annotate` or `hicra review` before you train with it."
    )


def _show(mined: Mined, name: str) -> None:
    rows = []
    for number, found in enumerate(mined.kept[:15], 1):
        shown = ", ".join(text for text, _ in found.members[:4])
        rows.append((str(number), f"{found.df:,}", f"{found.df / mined.solutions:.1%}", str(len(found.members)), shown))
    columns = ("cluster", "solutions", "fraction", "n-grams", "the most frequent")
    title = f"{name}: the clusters that stand in the most solutions"
    Table(title, columns, rows, words=0, last_in_words=True).print()
