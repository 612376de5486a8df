"""`hicra errors`: why failed responses failed, in the words of judges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
PerStepOption = Annotated[int, Option(min=1, help="Judge a random sample of at most this many of each step.")]
OfOption = Annotated[
    Literal["validation", "training"] | None,
    Option(help="Whose failures: to held-out problems (default, where the run has them) or of training batches."),
]
SolutionsOption = Annotated[
    Path | None, Option(metavar="DATA.parquet", help="Show the judge the solutions in this file of `hicra data`.")
]


@app.command()
def errors(
    source: SourceArgument,
    base_url: BaseUrlOption,
    judge: JudgeOption,
    output: OutputOption = Path("errors"),
    repeats: RepeatsOption = 1,
    steps: StepsOption = None,
    per_step: PerStepOption = 200,
    of: OfOption = None,
    solutions: SolutionsOption = None,
    concurrency: ConcurrencyOption = 16,
    per_minute: PerMinuteOption = 0,
    timeout_s: TimeoutOption = 300,
    price: PriceOption = (0.0, 0.0),
) -> None:
    """Ask a judge why failed responses failed: planning and strategy, or something else.

    Rows of a file hold problem, response, correct (or score), and reference_solution or ground_truth. Responses that
    the judge finds acceptable after all are reported apart, as misses of the grading. Where only a sample is judged,
    the counts are scaled to all failures, with 95% intervals. One judge's opinion is not evidence: with two judges, or
    --repeats 2, their agreement (Cohen's kappa) is printed.
    """
    from hicra_verl.analysis import errors as causes
    from hicra_verl.analysis.error_counts import NO_LETTER
    from hicra_verl.analysis.failures import load_failures
    from hicra_verl.asking import Answers
    from hicra_verl.endpoint import Endpoint
    from hicra_verl.files import make_folder

    raters = causes.raters(judge, repeats)
    endpoints = {name: Endpoint(base_url, name, concurrency, timeout_s, per_minute=per_minute) for name in judge}
    failures = load_failures(source, causes.parse_steps(steps), per_step, of, solutions)
    answers = Answers(make_folder(output) / "answers.jsonl")
    verdicts = {}
    with asking("judging", len(failures.sample) * len(raters), price) as note:
        for rater, (name, run) in raters.items():
            verdicts[rater] = causes.judge(failures.sample, endpoints[name], run, answers, note)
    opinions = causes.Opinions(failures, verdicts)
    opinions.save(output)
    _show(opinions)
    print(f"{output}: answers.jsonl, {causes.JUDGED}, {causes.COUNTS}, errors.png (and .pdf, .svg, .csv)")
    letters = [verdict.letter for found in verdicts.values() for verdict in found]
    unclear = letters.count(NO_LETTER) - len(answers.refused)
    if unclear > 0:
        print(f'no letter in {unclear} answers, counted under "?"; the same command asks for them again')
    answers.check_refusals('they are counted under "?"')


def _show(opinions: Opinions) -> None:
    for rater, rows in opinions.by_rater.items():
        shown = [row for row in rows if row["failures"]]
        numbers = ("step", "failures", "sampled", "A", "B", "C", "D", "?")
        cells = [
            (*(str(row[name]) for name in numbers), *(_interval(*bounds) for bounds in row["estimated"].values()))
            for row in shown
        ]
        title = f"causes of failed responses to {opinions.whose}, by {rater}"
        Table(title, (*numbers, *shown[0]["estimated"]), cells, words=0).print()
    for pair, kappa in opinions.kappa.items():
        print(f"agreement of {pair}: kappa {kappa:.2f}")
    if not opinions.kappa:
        print("One opinion: give a second --judge, or --repeats 2, to see whether it can be relied on.")


def _interval(count: float, low: float, high: float) -> str:
    if count != count:
        return "unknown"
    return f"{count:.0f}" if low == high else f"{count:.0f} ({low:.0f} to {high:.0f})"
