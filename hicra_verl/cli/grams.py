"""`hicra grams …`: making and looking at gram sets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from hicra_verl.cli.app import GramsOption, app
from hicra_verl.cli.mining import FieldOption, OutputOption
from hicra_verl.tables import Table, render
from hicra_verl.version import __version__

if TYPE_CHECKING:
    from hicra_verl.grams import GramSet

grams_app = typer.Typer(no_args_is_help=True, help="Make, check, compare and choose gram sets.")
app.add_typer(grams_app, name="grams")


def _save(grams: GramSet, path: Path) -> None:
    from hicra_verl.grams.gramset import save_grams

    save_grams(grams, path)
    print(f"{path}: {len(grams)} grams, sha256 {grams.sha256[:12]}")


def _check(output: Path, *sets: str, corpus: Sequence[Path] = (), tokenizer: str | None = None) -> None:
    from hicra_verl.files import check_outputs
    from hicra_verl.mining.corpus import solution_files

    given = [path for name in sets if os.path.lexists(path := Path(name))]
    check_outputs(output, inputs=[*given, *solution_files(corpus)], folders=[Path(tokenizer)] if tokenizer else [])


@grams_app.command()
def placebo(
    corpus: Annotated[list[Path], Argument(metavar="CORPUS...", help="Solutions to draw random phrases from.")],
    tokenizer: Annotated[str, Option("--tokenizer", help="Folder or hub name; it counts the tokens.")],
    output: OutputOption,
    match: Annotated[str, Option("--match", help="The set whose fraction of flagged tokens to match.")] = "paper",
    seed: Annotated[int, Option(help="Of the random draw.")] = 0,
    field: FieldOption = None,
) -> None:
    """Draw random phrases that flag as many tokens as a gram set: the control for HICRA's own.

    Each gram is replaced by a random phrase of as many words and about as many occurrences in the corpus.
    """
    from hicra_verl.grams import load_grams
    from hicra_verl.grams.token_bytes import load_tokenizer
    from hicra_verl.mining.corpus import ANY_SOLUTION, open_corpus
    from hicra_verl.mining.placebo import make_placebo

    _check(output, match, corpus=corpus, tokenizer=tokenizer)
    reference = load_grams(match)
    opened = open_corpus(corpus, field, ANY_SOLUTION)
    solutions = list(opened.texts())
    loaded, table = load_tokenizer(tokenizer)
    grams, shares = make_placebo(reference, solutions, loaded, table, seed)
    provenance = {
        "made_by": f"hicra grams placebo, hicra_verl {__version__}",
        "matched_to": f"{reference.name} ({reference.sha256[:12]})",
        "flagged_tokens": {name: round(share, 5) for name, share in shares.items()},
        "tokenizer": Path(tokenizer).name,
        "seed": seed,
        "corpus": opened.fingerprint(),
        "solutions": len(solutions),
    }
    _save(replace(grams, provenance=tuple(provenance.items())), output)
    print(f"they flag {shares['placebo']:.2%} of the tokens, {reference.name} {shares['reference']:.2%}")


@grams_app.command()
def show(grams: GramsOption = "paper") -> None:
    """Print a set: its provenance, and a gram a line with its function."""
    from hicra_verl.grams import load_grams

    loaded = load_grams(grams)
    print(f"{loaded.name}: {len(loaded)} grams, sha256 {loaded.sha256}\n{loaded.description}")
    for key, value in loaded.provenance:
        print(f"{key}: {value}")
    for gram in loaded:
        print(f"{gram.function:12s} {gram.text}")


@grams_app.command("list")
def list_sets() -> None:
    """List the sets that come with the package."""
    from collections import Counter

    from hicra_verl.grams.gramset import FUNCTIONS, load_grams, shipped_sets
    from hicra_verl.grams.operations import words_in

    rows = []
    sets = [load_grams(name) for name in shipped_sets()]
    for grams in sets:
        functions = Counter(gram.function for gram in grams)
        lengths = Counter(min(3, words_in(gram)) for gram in grams)
        by_words = ", ".join(str(lengths[words]) for words in (1, 2, 3))
        by_function = ", ".join(f"{functions[function]} {function}" for function in FUNCTIONS if functions[function])
        rows.append((grams.name, str(len(grams)), by_words, by_function, grams.sha256[:12]))
    columns = ("name", "grams", "of 1, 2, 3+ words", "functions", "sha256")
    Table("gram sets: algorithm.hicra.grams=NAME, or --grams NAME", columns, rows, words=5).print()
    for grams in sets:
        print(f"{grams.name}: {grams.description}")


@grams_app.command()
def validate(paths: Annotated[list[Path], Argument(metavar="FILE...", help="Gram-set files.")]) -> None:
    """Check files: duplicates, empty grams, unknown labels and keys, grams that can never match, the schema's version.

    Names the line, the field and the remedy of the first fault of each file; exits with 2 if there is one.
    """
    from hicra_verl.grams import GramSetError, load_grams

    faults = []
    for path in paths:
        try:
            grams = load_grams(path)
            print(f"{path}: valid; {len(grams)} grams, sha256 {grams.sha256[:12]}")
        except GramSetError as error:
            faults.append(str(error))
    if faults:
        raise GramSetError("\n".join(faults))


@grams_app.command()
def diff(
    first: Annotated[str, Argument(metavar="FIRST", help="A set: name or path.")],
    second: Annotated[str, Argument(metavar="SECOND", help="Another.")],
    corpus: Annotated[
        list[Path] | None, Option("--corpus", help="Also compare what they flag in these solutions. Repeat it.")
    ] = None,
    field: FieldOption = None,
    top: Annotated[int, Option(min=0, help="Grams listed of each kind.")] = 15,
) -> None:
    """Compare two sets: gram by gram, and on a corpus by what they flag."""
    from hicra_verl.grams import load_grams
    from hicra_verl.grams.operations import difference, labels
    from hicra_verl.grams.statistics import agreement, frequent_first
    from hicra_verl.mining.corpus import ANY_SOLUTION, open_corpus

    sets = load_grams(first), load_grams(second)
    found = difference(*sets)
    one, other = labels(sets)
    print(
        f"in both: {len(found.both)}; only in {one}: {len(found.only_first)}; only in {other}: "
        f"{len(found.only_second)}; with another function: {len(found.other_function)}"
    )
    for left, right in found.other_function[:top]:
        print(f"  {left.text}: {left.function} in {one}, {right.function} in {other}")
    if not corpus:
        for name, grams in ((one, found.only_first), (other, found.only_second)):
            shown = ", ".join(gram.text for gram in grams[:top])
            print(f"only in {name}: {shown}{', …' if len(grams) > top else ''}")
        return
    measured = agreement(*sets, open_corpus(corpus, field, ANY_SOLUTION).texts())
    print(
        f"of the corpus's characters {one} flags {measured.first:.2%}, {other} {measured.second:.2%}, both "
        f"{measured.both:.2%}: {measured.jaccard:.0%} of what either flags"
    )
    for gram_set, name, only in zip(sets, (one, other), (measured.only_first, measured.only_second), strict=True):
        places = [place for place in frequent_first(only)[:top] if only[place]]
        rows = [(f"{only[place]:,}", gram_set.grams[place].text) for place in places]
        Table(f"{name} alone flags", ("uses", "gram"), rows, words=0, last_in_words=True).print()


@grams_app.command()
def merge(
    sets: Annotated[list[str], Argument(metavar="SET...", help="Names or paths; the first one's labels win.")],
    output: OutputOption,
) -> None:
    """Make one set of several."""
    from hicra_verl.grams import load_grams
    from hicra_verl.grams.operations import merge as merged

    _check(output, *sets)
    grams, conflicts = merged([load_grams(name) for name in sets], output.stem)
    _save(grams, output)
    for line in conflicts:
        print(line)


@grams_app.command()
def drop(
    grams: Annotated[str, Argument(metavar="SET", help="A set: name or path.")],
    output: OutputOption,
    fraction: Annotated[
        float, Option("--fraction", "--share", help="Fraction to drop; the paper's sensitivity check drops 0.3.")
    ] = 0.3,
    seed: Annotated[int, Option(help="Of the draw.")] = 0,
) -> None:
    """Drop a random fraction of a set's grams: how much do results depend on single grams?"""
    from hicra_verl.grams import load_grams
    from hicra_verl.grams.operations import drop as thinned

    _check(output, grams)
    _save(thinned(load_grams(grams), fraction, seed), output)


@grams_app.command()
def stats(
    corpus: Annotated[list[Path], Argument(metavar="CORPUS...", help="JSONL or parquet files, or folders.")],
    grams: GramsOption = "paper",
    tokenizer: Annotated[
        str | None, Option("--tokenizer", help="Count tokens with this one; characters without.")
    ] = None,
    field: FieldOption = None,
    top: Annotated[int, Option(min=0, help="Rows of each table; 0 for all.")] = 20,
    output: Annotated[
        Path | None, Option("-o", "--output", help="Also write the tables as Markdown to this file.")
    ] = None,
) -> None:
    """Show what a set does on a corpus: coverage by gram and function, with and without short grams, and overlaps."""
    from hicra_verl.files import write_text
    from hicra_verl.grams import load_grams
    from hicra_verl.grams.statistics import statistics
    from hicra_verl.grams.statistics_tables import tables
    from hicra_verl.grams.token_bytes import load_tokenizer
    from hicra_verl.mining.corpus import ANY_SOLUTION, open_corpus

    if output is not None:
        _check(output, grams, corpus=corpus, tokenizer=tokenizer)
    gram_set = load_grams(grams)
    opened = open_corpus(corpus, field, ANY_SOLUTION)
    loaded, table_of_bytes = load_tokenizer(tokenizer) if tokenizer else (None, None)
    made = tables(gram_set, statistics(gram_set, opened.texts(), loaded, table_of_bytes), top or None)
    for each in made:
        each.print()
    if output is not None:
        write_text(output, render(made, "markdown"))
        print(f"written to {output}")
