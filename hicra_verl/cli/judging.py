"""`hicra annotate` and `hicra review`: a model's and a person's judgement of candidate grams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from hicra_verl.cli.app import app, asking
from hicra_verl.cli.mining import FieldOption, OutputOption

if TYPE_CHECKING:
    from hicra_verl.grams import GramSet

SetArgument = Annotated[str, Argument(metavar="SET", help="The candidates: a gram set's name or path.")]
CorpusOption = Annotated[
    list[Path] | None, Option("--corpus", help="Solutions to show uses of each phrase from. Repeat it.")
]
UsesOption = Annotated[int, Option(min=0, max=100, help="Uses of each phrase that are shown.")]
BatchOption = Annotated[int, Option(min=1, max=1000, help="Phrases a question.")]
StructuredOption = Annotated[bool, Option(help="Ask the server to hold answers to a JSON schema.")]
BaseUrlOption = Annotated[str, Option(help="An OpenAI-compatible server.")]
ModelOption = Annotated[str, Option("--model", help="The model's name there.")]
ConcurrencyOption = Annotated[int, Option(help="Requests in flight.")]
PerMinuteOption = Annotated[float, Option(help="Requests a minute, at most; 0 for no limit.")]
TimeoutOption = Annotated[float, Option(help="Of one request.")]


def _check_price(price: tuple[float, float]) -> tuple[float, float]:
    if not all(0 <= part < 1e9 for part in price):
        raise typer.BadParameter(f"expected two numbers from 0 up, got {price[0]} {price[1]}")
    return price


PriceOption = Annotated[
    tuple[float, float],
    Option(
        callback=_check_price,
        help="Price of a million tokens asked and of a million answered, such as 0.5 1.5; without it no cost is shown.",
        show_default=False,
    ),
]
ReviewerOption = Annotated[str, Option(help="Who judges; the set's provenance says so.")]
SheetOption = Annotated[Path | None, Option("--sheet", help="Write a TSV to fill in instead of serving the page.")]
FromSheetOption = Annotated[Path | None, Option("--from-sheet", help="Take them from a filled-in TSV.")]
PortOption = Annotated[int, Option(min=0, max=65535, help="Of the page; 0 for any free one.")]


def show_page(url: str) -> None:
    """Say where the page is."""
    print(f"Open {url}\nEvery judgement is saved at once; end with the page's button or Ctrl-C, go on at any time.")


@app.command()
def annotate(
    grams: SetArgument,
    base_url: BaseUrlOption,
    model: ModelOption,
    output: OutputOption,
    corpus: CorpusOption = None,
    field: FieldOption = None,
    uses: UsesOption = 2,
    batch: BatchOption = 20,
    structured: StructuredOption = True,
    concurrency: ConcurrencyOption = 8,
    per_minute: PerMinuteOption = 0,
    timeout_s: TimeoutOption = 300,
    price: PriceOption = (0.0, 0.0),
) -> None:
    """Have a language model judge candidates, as the paper's first version did: strategic or not, and its function.

    Writes the grams judged strategic, and beside them every judgement (OUTPUT.tsv). Answers are kept in
    OUTPUT.answers.jsonl as they come; the same command again asks for the missing ones only.
    """
    from hicra_verl.asking import Answers
    from hicra_verl.endpoint import Endpoint
    from hicra_verl.files import check_outputs
    from hicra_verl.grams import load_grams
    from hicra_verl.mining.annotate import annotate as judge
    from hicra_verl.mining.annotate import annotated_set, save_judgements, sheet_beside
    from hicra_verl.mining.corpus import solution_files
    from hicra_verl.mining.judging import load_phrases

    endpoint = Endpoint(base_url, model, concurrency, timeout_s, per_minute=per_minute)
    cache, sheet = Path(f"{output}.answers.jsonl"), sheet_beside(output)
    check_outputs(output, sheet, cache, inputs=[Path(grams), *solution_files(corpus or [])])
    candidates = load_grams(grams)
    phrases = load_phrases(candidates, corpus, field, uses)
    answers = Answers(cache)
    with asking("judging", len(phrases), price) as note:
        judged = judge(phrases, endpoint, batch, answers, structured, lambda done, answer: note(answer, done))
    save_judgements(sheet, candidates, judged)
    made = annotated_set(candidates, judged, model, output.stem)
    print(f"{len(judged)} of {len(candidates)} judged, {len(made)} strategic; every judgement is in {sheet}")
    unjudged = [gram.text for gram in candidates if gram.text not in judged]
    if unjudged:
        shown = ", ".join(unjudged[:5])
        print(f"no usable answer about {len(unjudged)}, left out: {shown}; the same command asks again")
    if len(made) or not answers.refused:
        _save(made, output)
    answers.check_refusals("all others are judged")


@app.command()
def review(
    grams: SetArgument,
    output: OutputOption,
    corpus: CorpusOption = None,
    field: FieldOption = None,
    uses: UsesOption = 3,
    reviewer: ReviewerOption = "a person",
    sheet: SheetOption = None,
    from_sheet: FromSheetOption = None,
    port: PortOption = 0,
) -> None:
    """Go through candidates one key at a time: accept as deduction, branching, backtracing or other, or reject.

    Serves a page to this machine alone. Judgements are kept in OUTPUT.judgements.jsonl as they are made; the same
    command again goes on. The set of what was accepted is written at the end of each sitting.
    """
    from hicra_verl.files import check_outputs
    from hicra_verl.grams import load_grams
    from hicra_verl.mining import review as reviews
    from hicra_verl.mining.corpus import solution_files
    from hicra_verl.mining.judging import Judgements, load_phrases
    from hicra_verl.mining.local_page import serve
    from hicra_verl.mining.sheets import read_sheet, write_sheet

    if sheet is not None and from_sheet is not None:
        raise typer.BadParameter("--sheet writes a sheet and --from-sheet reads one; give one of the two")
    kept = Path(f"{output}.judgements.jsonl")
    inputs = [Path(grams), *solution_files(corpus or []), *([from_sheet] if from_sheet else [])]
    check_outputs(output, kept, *([sheet] if sheet else []), inputs=inputs)
    candidates = load_grams(grams)
    phrases = load_phrases(candidates, corpus, field, uses)
    judgements = Judgements(kept, reviews.VALUES)
    if sheet is not None:
        write_sheet(sheet, phrases, judgements.latest, "judgement", new=True)
        values = ", ".join(reviews.VALUES)
        print(f"{sheet}: fill in the column judgement with one of {values}; then --from-sheet {sheet}")
        return
    if from_sheet is not None:
        judged = read_sheet(from_sheet, phrases, reviews.VALUES, "judgement")
        judgements.take_over(judged, from_sheet, replace=True)
    else:
        serve(reviews.sitting(candidates, phrases, judgements), show_page, port)
    made, left = reviews.reviewed_set(candidates, judgements.latest, output.stem, reviewer)
    print(f"{len(candidates) - left} of {len(candidates)} judged, {len(made)} accepted, {left} left")
    _save(made, output)


def _save(made: GramSet, output: Path) -> None:
    from hicra_verl.mining.review import save_accepted

    save_accepted(made, output)
    print(f"{output}: {len(made)} grams, sha256 {made.sha256[:12]}")
