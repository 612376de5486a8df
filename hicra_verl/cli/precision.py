"""`hicra precision`: the human check of gram sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from hicra_verl.cli.app import app, asking
from hicra_verl.cli.judging import ConcurrencyOption, PerMinuteOption, PortOption, PriceOption, TimeoutOption, show_page
from hicra_verl.cli.mining import FieldOption, SuccessOption
from hicra_verl.tables import Table

precision_app = typer.Typer(
    no_args_is_help=True,
    help="Check gram sets blindly: draw a sample, have it rated by three or more, read precision and agreement.",
)
app.add_typer(precision_app, name="precision")

RandomOption = Annotated[
    int, Option("--random", min=0, max=100_000, help="Random n-grams, of the same lengths, to mix in.")
]
FolderArgument = Annotated[Path, Argument(metavar="FOLDER", help="The sample's folder.")]


@precision_app.command()
def sample(
    corpus: Annotated[list[Path], Argument(metavar="CORPUS...", help="Where the phrases are found in use.")],
    sets: Annotated[
        list[str], Option("--set", help="SET=COUNT: draw so many grams of a set, by name or path. Repeat it.")
    ],
    output: Annotated[Path, Option("-o", "--output", help="The sample's folder.")],
    random: RandomOption = 150,
    seed: Annotated[int, Option(help="Of every draw.")] = 0,
    field: FieldOption = None,
    success: SuccessOption = None,
) -> None:
    """Draw a blind sample: grams of one or several sets, mixed with random n-grams, in real contexts.

    Raters see items.json (or the page of `hicra precision rate`); key.json says which item is what.
    """
    from hicra_verl.mining.corpus import open_corpus
    from hicra_verl.mining.sample import parse_sets, save_sample

    items = save_sample(output, parse_sets(sets), random, open_corpus(corpus, field, success), seed)
    print(f"{output}: {len(items)} items. Next, by each rater: hicra precision rate {output} --rater NAME")


@precision_app.command()
def rate(
    folder: FolderArgument,
    rater: Annotated[str, Option("--rater", help="Your name, or any other; FOLDER/RATER.tsv is written.")],
    base_url: Annotated[str | None, Option(help="Have a model rate: an OpenAI-compatible server.")] = None,
    model: Annotated[str | None, Option("--model", help="The model's name there.")] = None,
    sheet: Annotated[bool, Option("--sheet", help="Write FOLDER/RATER.tsv to fill in; serve no page.")] = False,
    concurrency: ConcurrencyOption = 8,
    per_minute: PerMinuteOption = 0,
    timeout_s: TimeoutOption = 300,
    price: PriceOption = (0.0, 0.0),
    port: PortOption = 0,
) -> None:
    """Rate a sample, yes or no: on a page, one key an item; in a TSV; or by a model.

    Whoever rates must not look at key.json, nor at other raters' files. Ratings are kept as they are made, in
    FOLDER/RATER.jsonl; the same command again goes on.
    """
    from hicra_verl.asking import Answers
    from hicra_verl.endpoint import Endpoint
    from hicra_verl.mining import rating, sheets
    from hicra_verl.mining.local_page import serve
    from hicra_verl.mining.sample import load_items, phrases_of

    if (base_url is None) != (model is None):
        raise typer.BadParameter("a model rates with both --base-url and --model")
    phrases = phrases_of(load_items(folder))
    ratings, table = rating.open_ratings(folder, rater, phrases)
    answers = None
    if base_url is not None and model is not None:
        endpoint = Endpoint(base_url, model, concurrency, timeout_s, per_minute=per_minute)
        answers = Answers(folder / f"{rater}.answers.jsonl", model)
        with asking("rating", len(phrases), price) as note:
            rating.rate_by_model(phrases, endpoint, ratings, answers, lambda done, answer: note(answer, done))
    elif not sheet:
        serve(rating.sitting(phrases, ratings), show_page, port)
    sheets.write_sheet(table, phrases, ratings.latest, "rating")
    print(f"{table}: {len(ratings.latest)} of {len(phrases)} rated")
    if answers is not None:
        unclear = len(phrases) - len(ratings.latest) - len(answers.refused)
        if unclear > 0:
            print(f"no clear yes or no about {unclear} ({answers.path}); the same command asks again")
        answers.check_refusals("all others are rated")


@precision_app.command()
def score(
    folder: FolderArgument,
    ratings: Annotated[list[Path], Argument(metavar="RATINGS...", help="The raters' files (.tsv).")],
    disagreements: Annotated[int, Option(min=0, help="How many disagreements to list; 0 for all.")] = 20,
) -> None:
    """Print precision with 95% intervals, agreement, and the disagreements. A phrase counts if most raters say yes."""
    from hicra_verl.mining.precision import AUTHORS_PRECISION
    from hicra_verl.mining.precision import score as count
    from hicra_verl.mining.sample import RANDOM_ARM

    result = count(folder, ratings)
    rows = []
    for name, arm in result.arms.items():
        low, high = arm.interval
        each = ", ".join(f"{share:.0%}" for share in arm.by_rater.values())
        interval = f"{low:.1%} to {high:.1%}"
        rows.append((name, str(arm.items), f"{arm.precision:.1%}", interval, each, f"{arm.kappa:.2f}"))
    columns = ("arm", "items", "precision", "95% interval", "each rater", "Fleiss' kappa")
    Table(f"strategic, by {len(ratings)} raters", columns, rows).print()
    print(
        f"Fleiss' kappa over all items: {result.kappa:.2f}\n"
        "the paper's authors in review (second-hand), beside it: "
        f"{AUTHORS_PRECISION['strategic grams']:.0%} of its strategic grams, "
        f"{AUTHORS_PRECISION[RANDOM_ARM]:.0%} of random n-grams; three crowd annotators, sample size and kappa "
        "not given"
    )
    shown = result.disagreements[: disagreements or None]
    print(f"{len(result.disagreements)} disagreements" + (f", the first {len(shown)}:" if shown else ""))
    for number, phrase, said_yes in shown:
        print(f"  {number:4d}  {phrase}  (yes: {', '.join(said_yes)})")
