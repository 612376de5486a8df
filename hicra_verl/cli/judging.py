"""`hicra annotate` and `hicra review`: a model's and a person's judgement of candidate grams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hicra_verl.cli.app import app, asking, fail
from hicra_verl.cli.mining import FieldOption

if TYPE_CHECKING:
    from hicra_verl.grams import GramSet
    from hicra_verl.mining.judging import Phrase

SetArgument = Annotated[str, typer.Argument(metavar="SET", help="The candidates: a gram set's name or path.")]
SetOutput = Annotated[Path, typer.Option("-o", "--output", help="The gram-set file to write.")]
CorpusOption = Annotated[
    list[Path] | None, typer.Option("--corpus", help="Solutions to show uses of each phrase from. Repeat it.")
]
BaseUrlOption = Annotated[str, typer.Option(help="An OpenAI-compatible server.")]
ModelOption = Annotated[str, typer.Option("--model", help="The model's name there.")]
ConcurrencyOption = Annotated[int, typer.Option(help="Requests in flight.")]
PerMinuteOption = Annotated[float, typer.Option(help="Requests a minute, at most; 0 for no limit.")]
TimeoutOption = Annotated[float, typer.Option(help="Of one request.")]
PriceOption = Annotated[
    tuple[float, float], typer.Option(help="Per million tokens asked and answered, to show the cost.")
]
PortOption = Annotated[int, typer.Option(help="Of the page; 0 for any free one.")]


def load_phrases(grams: GramSet, corpus: list[Path] | None, field: str | None, uses: int) -> list[Phrase]:
    """A set's grams with some of their uses in a corpus."""
    from hicra_verl.mining.contexts import find_contexts
    from hicra_verl.mining.corpus import ANY_SOLUTION, open_corpus
    from hicra_verl.mining.judging import Phrase

    if corpus:
        contexts = find_contexts(grams, open_corpus(corpus, field, ANY_SOLUTION).texts(), uses)
    else:
        contexts = [[] for _ in grams]
    return [Phrase(gram.text, gram.text, gram.source, found) for gram, found in zip(grams, contexts, strict=True)]


def show_page(url: str) -> None:
    """Say where the page is."""
    print(f"Open {url}\nEvery judgement is saved at once; end with the page's button or Ctrl-C, go on at any time.")


@app.command()
def annotate(
    grams: SetArgument,
    base_url: BaseUrlOption,
    model: ModelOption,
    output: SetOutput,
    corpus: CorpusOption = None,
    field: FieldOption = None,
    uses: Annotated[int, typer.Option(help="Uses of each phrase shown to the model.")] = 2,
    batch: Annotated[int, typer.Option(help="Phrases a question.")] = 20,
    structured: Annotated[bool, typer.Option(help="Ask the server to hold answers to a JSON schema.")] = True,
    concurrency: ConcurrencyOption = 8,
    per_minute: PerMinuteOption = 0,
    timeout_s: TimeoutOption = 300,
    price: PriceOption = (0.0, 0.0),
) -> None:
    """Have a language model judge candidates, as the paper's first version did: strategic or not, and its function.

    Writes the grams judged strategic, and beside them every judgement (OUTPUT.tsv). Answers are kept in
    OUTPUT.answers.jsonl as they come; the same command again asks for the missing ones only.
    """
    from hicra_verl.append_log import AppendLogError
    from hicra_verl.endpoint import Endpoint, EndpointError
    from hicra_verl.grams import GramSetError, load_grams
    from hicra_verl.grams.gramset import save_grams
    from hicra_verl.mining.annotate import annotate as judge
    from hicra_verl.mining.annotate import annotated_set
    from hicra_verl.mining.corpus import CorpusError

    if batch < 1 or uses < 0:
        raise fail("--batch must be at least 1 and --uses at least 0")
    try:
        candidates = load_grams(grams)
        phrases = load_phrases(candidates, corpus, field, uses)
        endpoint = Endpoint(base_url, model, concurrency, timeout_s, per_minute=per_minute)
        cache = Path(f"{output}.answers.jsonl")
        with asking("judging", len(phrases), price) as note:
            judged = judge(phrases, endpoint, batch, cache, structured, lambda done, answer: note(answer, done))
    except (GramSetError, CorpusError, EndpointError, AppendLogError) as error:
        raise fail(str(error)) from error
    made = annotated_set(candidates, judged, model, output.stem)
    sheet = output.with_suffix(".tsv")
    with sheet.open("w", encoding="utf-8") as stream:
        stream.write("phrase\tstrategic\tfunction\treason\n")
        for gram in candidates:
            if gram.text in judged:
                found = judged[gram.text]
                strategic = "yes" if found.strategic else "no"
                stream.write(f"{gram.text}\t{strategic}\t{found.function}\t{found.reason}\n")
    unjudged = [gram.text for gram in candidates if gram.text not in judged]
    print(f"{len(judged)} of {len(candidates)} judged, {len(made)} strategic; every judgement is in {sheet}")
    if unjudged:
        print(f"no usable answer about {len(unjudged)}, left out: {', '.join(unjudged[:5])}")
    if not len(made):
        raise fail(f"{model} calls none of {candidates.name} strategic: nothing to write to {output}")
    save_grams(made, output)
    print(f"{output}: {len(made)} grams, sha256 {made.sha256[:12]}")


@app.command()
def review(
    grams: SetArgument,
    output: SetOutput,
    corpus: CorpusOption = None,
    field: FieldOption = None,
    uses: Annotated[int, typer.Option(help="Uses of each phrase shown.")] = 3,
    reviewer: Annotated[str, typer.Option(help="Who judges; the set's provenance says so.")] = "a person",
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write a TSV to fill in instead of serving the page.")
    ] = None,
    from_sheet: Annotated[Path | None, typer.Option("--from-sheet", help="Take them from a filled-in TSV.")] = None,
    port: PortOption = 0,
) -> None:
    """Go through candidates one key at a time: accept as deduction, branching, backtracing or other, or reject.

    Serves a page to this machine alone. Judgements are kept in OUTPUT.judgements.jsonl as they are made; the same
    command again goes on. The set of what was accepted is written at the end of each sitting.
    """
    from hicra_verl.append_log import AppendLogError
    from hicra_verl.grams import GramSetError, load_grams
    from hicra_verl.grams.gramset import FUNCTIONS, save_grams
    from hicra_verl.mining.corpus import CorpusError
    from hicra_verl.mining.judging import Choice, Judgements, JudgingError, read_sheet, serve, write_sheet
    from hicra_verl.mining.review import QUESTION, REJECT, reviewed_set

    choices = [Choice(str(number), name, name) for number, name in enumerate(FUNCTIONS, 1)]
    choices.append(Choice("r", REJECT, "reject"))
    values = [choice.value for choice in choices]
    try:
        candidates = load_grams(grams)
        phrases = load_phrases(candidates, corpus, field, uses)
        judgements = Judgements(Path(f"{output}.judgements.jsonl"), values)
        if sheet is not None:
            if sheet.exists():
                raise fail(f"{sheet} is there already; --from-sheet takes what is filled in, or give another name")
            write_sheet(sheet, phrases, judgements.latest, "judgement")
            print(f"{sheet}: fill in the column judgement with one of {', '.join(values)}; then --from-sheet {sheet}")
            return
        if from_sheet is not None:
            for name, value in read_sheet(from_sheet, phrases, values, "judgement").items():
                if judgements.latest.get(name) != value:
                    judgements.record(name, value)
        else:
            serve(f"Review of {candidates.name}", QUESTION, phrases, choices, judgements, show_page, port)
        made, left = reviewed_set(candidates, judgements.latest, output.stem, reviewer)
    except (GramSetError, CorpusError, AppendLogError, JudgingError, OSError) as error:
        raise fail(str(error)) from error
    print(f"{len(candidates) - left} of {len(candidates)} judged, {len(made)} accepted, {left} left")
    if not len(made):
        raise fail(f"nothing is accepted yet, so {output} is not written; the judgements are kept")
    save_grams(made, output)
    print(f"{output}: {len(made)} grams, sha256 {made.sha256[:12]}")
