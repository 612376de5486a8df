"""`hicra errors`: why failed responses failed, in the words of judges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from hicra_verl.cli.app import app, asking
from hicra_verl.cli.judging import BaseUrlOption, ConcurrencyOption, PerMinuteOption, PriceOption, TimeoutOption
from hicra_verl.tables import Table

if TYPE_CHECKING:
    from hicra_verl.analysis.errors import Opinions

SourceArgument = Annotated[
    str, Argument(metavar="[LABEL=]RUN", help="A run with rollout dumps, or a JSONL or Parquet file.")
]
JudgeOption = Annotated[list[str], Option("--judge", help="The judge's name there; give two to compare them.")]
OutputOption = Annotated[Path, Option("-o", "--output", help="Folder; answers are kept there and not asked again.")]
RepeatsOption = Annotated[
    int, Option(min=1, max=100, help="Ask each judge this often, to see whether it agrees with itself.")
]
StepsOption = Annotated[str | None, Option(help="Only these steps, such as 10,50,100; default: all.")]
PerStepOption = Annotated[int, Option(min=1, help="At most this many failed responses of each step.")]


@app.command()
def errors(
    source: SourceArgument,
    base_url: BaseUrlOption,
    judge: JudgeOption,
    output: OutputOption = Path("errors"),
    repeats: RepeatsOption = 1,
    steps: StepsOption = None,
    per_step: PerStepOption = 200,
    concurrency: ConcurrencyOption = 16,
    per_minute: PerMinuteOption = 0,
    timeout_s: TimeoutOption = 300,
    price: PriceOption = (0.0, 0.0),
) -> None:
    """Ask a judge why failed responses failed: planning and strategy, or something else.

    Rows of a file hold problem, response, correct (or score), and reference_solution or ground_truth. Responses that
    the judge finds acceptable after all are reported apart, as misses of the grading. One judge's opinion is not
    evidence: with two judges, or --repeats 2, their agreement (Cohen's kappa) is printed.
    """
    from hicra_verl.analysis import errors as causes
    from hicra_verl.asking import Answers
    from hicra_verl.endpoint import Endpoint
    from hicra_verl.files import make_folder

    raters = causes.raters(judge, repeats)
    endpoints = {name: Endpoint(base_url, name, concurrency, timeout_s, per_minute=per_minute) for name in judge}
    failures = causes.load_failures(source, causes.parse_steps(steps), per_step)
    answers = Answers(make_folder(output) / "answers.jsonl")
    letters: dict[str, list[str]] = {}
    with asking("judging", len(failures) * len(raters), price) as note:
        for rater, (name, run) in raters.items():
            letters[rater] = causes.judge(failures, endpoints[name], run, answers, note)
    opinions = causes.Opinions.of(failures, letters)
    opinions.save(output)
    _show(opinions)
    print(f"{output}: answers.jsonl, errors.json, errors.png (and .pdf, .svg, .csv)")
    unclear = sum(found.count(causes.NO_LETTER) for found in letters.values()) - len(answers.refused)
    if unclear > 0:
        print(f'no letter in {unclear} answers, counted under "?"; the same command asks for them again')
    answers.check_refusals('they are counted under "?"')


def _show(opinions: Opinions) -> None:
    for rater, rows in opinions.by_rater.items():
        columns = tuple(column.replace("_", " ") for column in rows[0])
        shown = [
            tuple(f"{cell:.1%}" if isinstance(cell, float) else str(cell) for cell in row.values()) for row in rows
        ]
        Table(f"causes, by {rater}", columns, shown, words=0).print()
    for pair, kappa in opinions.kappa.items():
        print(f"agreement of {pair}: kappa {kappa:.2f}")
    if not opinions.kappa:
        print("One opinion: give a second --judge, or --repeats 2, to see whether it can be relied on.")
