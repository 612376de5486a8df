"""`hicra grams …`: making and looking at gram sets."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hicra_verl.cli.app import GramsOption, app, fail, load_tokenizer
from hicra_verl.version import __version__

grams_app = typer.Typer(no_args_is_help=True, help="Make and look at strategic grams.")
app.add_typer(grams_app, name="grams")


@grams_app.command()
def placebo(
    corpus: Annotated[Path, typer.Argument(metavar="CORPUS.jsonl", help="Solutions to draw random phrases from.")],
    tokenizer: Annotated[str, typer.Option("--tokenizer", help="Folder or hub name; it counts the tokens.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The gram-set file to write.")],
    match: Annotated[str, typer.Option("--match", help="The set whose share of flagged tokens to match.")] = "paper",
    seed: Annotated[int, typer.Option(help="Of the random draw.")] = 0,
    field: Annotated[str, typer.Option("--field", help="The field with the text (verl's dumps: output).")] = "response",
) -> None:
    """Draw random phrases that flag as many tokens as a gram set: the control for HICRA's own.

    Each gram is replaced by a random phrase of as many words and about as many occurrences in the corpus.
    """
    from hicra_verl import tagging
    from hicra_verl.grams import GramSetError, load_grams
    from hicra_verl.grams.gramset import save_grams
    from hicra_verl.grams.placebo import PlaceboError, make_placebo

    try:
        reference = load_grams(match)
        solutions = []
        for number, row in tagging.read_rows(corpus):
            if not isinstance(row.get(field), str):
                raise fail(f"{corpus}, line {number}: no text in the field {field!r}; --field names it")
            solutions.append(row[field])
        loaded, table = load_tokenizer(tokenizer)
        grams, shares = make_placebo(reference, solutions, loaded, table, seed)
    except (GramSetError, tagging.InputError, PlaceboError) as error:
        raise fail(str(error)) from error
    provenance = {
        "command": " ".join(["hicra", *sys.argv[1:]]),
        "hicra_verl": __version__,
        "matched_to": f"{reference.name} ({reference.sha256[:12]})",
        "flagged_tokens": {name: round(share, 5) for name, share in shares.items()},
        "solutions": len(solutions),
    }
    save_grams(replace(grams, provenance=tuple(provenance.items())), output)
    print(
        f"{output}: {len(grams)} random phrases; they flag {shares['placebo']:.2%} of the tokens, "
        f"{reference.name} {shares['reference']:.2%}"
    )


@grams_app.command()
def show(grams: GramsOption = "paper") -> None:
    """Print a set: its provenance, and a gram a line with its function."""
    from hicra_verl.grams import GramSetError, load_grams

    try:
        loaded = load_grams(grams)
    except GramSetError as error:
        raise fail(str(error)) from error
    print(f"{loaded.name}: {len(loaded)} grams, sha256 {loaded.sha256}\n{loaded.description}")
    for key, value in loaded.provenance:
        print(f"{key}: {value}")
    for gram in loaded:
        print(f"{gram.function:12s} {gram.text}")
